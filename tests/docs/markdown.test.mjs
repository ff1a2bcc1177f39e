/** The parser of the documents finds all links: a link that it missed would not be checked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { anchorsOf, linksOf, takeApart } from "./markdown.mjs";

const page = `# A page: \`code\` & more
See [one](other.md#there "title"), ![two](picture.png) and \`[no](link.md)\`.

\`\`\`toml
# not a heading
[not]: a-link.md
\`\`\`

[three]: third.md
## Again
## Again
<a id="by-hand"></a>
`;

test("links are found in prose, and not in code", () => {
  const targets = linksOf(takeApart(page).prose).map(({ target, line }) => `${line}: ${target}`);
  assert.deepEqual(targets, ["2: other.md#there", "2: picture.png", "9: third.md"]);
});

test("anchors are named as GitHub names them", () => {
  assert.deepEqual(anchorsOf(takeApart(page).prose), ["a-page-code--more", "again", "again-1", "by-hand"]);
});

test("snippets have their language and the line of their fence", () => {
  assert.deepEqual(takeApart(page).snippets, [
    { language: "toml", line: 4, text: "# not a heading\n[not]: a-link.md\n" },
  ]);
});
