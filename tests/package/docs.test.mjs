/**
 * What the documents say of the npm package: its snippets compile, and its lists are those of the
 * tests.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { declarationsIn, sdkReference } from "../../scripts/sdk-reference.mjs";
import { read, takeApart } from "../docs/markdown.mjs";
import { PLATFORMS } from "./platforms.mjs";
import { makeProject } from "./project.mjs";
import { compile } from "./types.mjs";

const PAGES = ["docs/sdk.md", "pkg/README.md"];

test("the reference is what the declarations make it", async () => {
  assert.equal(read("docs/sdk-reference.md"), await sdkReference(), "run `npm run build:docs`");
});

test("the reference describes all that is exported", () => {
  const page = read("docs/sdk-reference.md");
  for (const file of ["index", "gate", "clients", "queue"]) {
    const text = read(`pkg/types/${file}.d.ts`);
    const exported = [...text.matchAll(/^export (?:declare )?(?:class|interface|function|const|type) (\w+)/gm)];
    assert.ok(exported.length > 2, file);
    const described = declarationsIn(text);
    for (const [, name] of exported) {
      const code = described.find((each) => each.name === name)?.code ?? "";
      assert.ok(code.length > 0 && page.includes(`### ${name}\n`), `${file}: ${name}`);
    }
  }
});

test("the list of what it runs on is that of the tests", () => {
  const { prose } = takeApart(read("docs/sdk.md"));
  const section = prose.split("## Runs on")[1].split("\n## ")[0];
  const listed = [...section.matchAll(/^- (.+)$/gm)].map(([, name]) => name);
  assert.deepEqual(
    listed,
    PLATFORMS.map(({ name }) => name),
  );
});

test("every snippet of TypeScript compiles by itself", async () => {
  const project = await makeProject();
  await project.link("ioredis");
  const snippets = PAGES.flatMap((page) => takeApart(read(page)).snippets.filter(({ language }) => language === "ts"));
  assert.ok(snippets.length >= 8, `only ${snippets.length} were found`);
  const files = [];
  for (const [n, { text }] of snippets.entries()) {
    await project.write(`snippet-${n}.ts`, text);
    files.push(`snippet-${n}.ts`);
  }
  assert.equal(await compile(project, { name: "snippets", files, settings: "a bundler" }), "");
});
