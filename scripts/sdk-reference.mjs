/**
 * The reference of the npm package, `docs/sdk-reference.md`, from its declarations.
 *
 *     node scripts/sdk-reference.mjs            prints it
 *     node scripts/sdk-reference.mjs --write    writes it
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { main, root } from "./lib/process.mjs";

/** The entries, and the files that declare them. */
const ENTRIES = {
  "@omnitrade/edge": "index.d.ts",
  "@omnitrade/edge/gate": "gate.d.ts",
  "@omnitrade/edge/worker": "worker.d.ts",
  "@omnitrade/edge/clients": "clients.d.ts",
  "@omnitrade/edge/queue": "queue.d.ts",
};

const HEAD = `# Reference of the npm package

Generated from the package's declarations by \`npm run build:docs\`; a test compares. What to do with it is in
[the npm package](sdk.md).
`;

/** @returns {Promise<string>} the page */
export async function sdkReference() {
  const sections = Object.entries(ENTRIES).map(async ([entry, file]) => {
    const text = await readFile(join(root, "pkg/types", file), "utf8");
    return `## \`${entry}\`\n\n${declarationsIn(text).map(described).join("\n\n")}\n`;
  });
  return [HEAD, ...(await Promise.all(sections))].join("\n");
}

/**
 * @typedef {object} Declaration
 * @property {string} name
 * @property {string} doc its comment, in one line
 * @property {string} code
 */

/**
 * What a file declares, in order, without its imports and exports of names.
 * @param {string} text formatted: a declaration begins at the start of a line and ends with a line
 *   that does too
 * @returns {Declaration[]}
 */
export function declarationsIn(text) {
  /** @type {Declaration[]} */
  const all = [];
  let doc = "";
  /** @type {string[] | undefined} */
  let open;
  for (const line of text.split("\n")) {
    const comment = /^\/\*\* (.*) \*\/$/.exec(line);
    if (open === undefined && comment) {
      doc = comment[1];
      continue;
    }
    const start = /^(?:export )?(?:declare )?(?:class|interface|function|const|type) (\w+)/.exec(line);
    if (open === undefined && start) {
      open = [];
      all.push({ name: start[1], doc, code: "" });
      doc = "";
    }
    if (open === undefined) continue;
    open.push(line);
    if (!isWhole(open.join("\n"))) continue;
    const last = all.at(-1);
    if (last) last.code = open.join("\n");
    open = undefined;
  }
  return all;
}

/**
 * Whether a declaration is at its end: all its brackets are closed.
 * @param {string} code
 */
function isWhole(code) {
  const bare = code.replaceAll(/\/\*\*.*?\*\//gs, "").replaceAll(/=>/g, "");
  const count = (/** @type {RegExp} */ bracket) => bare.match(bracket)?.length ?? 0;
  return count(/[({[]/g) === count(/[)}\]]/g) && /[;}]$/.test(bare.trimEnd());
}

/** @param {Declaration} declaration */
function described({ name, doc, code }) {
  const prose = doc === "" ? "" : `${doc.replace(/ ?@default /, " Default: ").replace(/@throws /, "Throws ")}\n\n`;
  return `### ${name}\n\n${prose}\`\`\`ts\n${code}\n\`\`\``;
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    const page = await sdkReference();
    if (process.argv.includes("--write")) await writeFile(join(root, "docs/sdk-reference.md"), page);
    else process.stdout.write(page);
  });
}
