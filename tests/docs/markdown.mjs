/** Reads the documents of the repository: their links, their anchors and their snippets. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/process.mjs";

/** The documents that people read, as paths from the root. */
export const documents = [".", "docs", "pkg", ...foldersIn("examples"), ...foldersIn("templates")].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name)),
);

/** @param {string} folder */
function foldersIn(folder) {
  const inside = readdirSync(join(root, folder), { withFileTypes: true });
  return inside.filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name));
}

/** @param {string} path from the root */
export function read(path) {
  return readFileSync(join(root, path), "utf8");
}

/** @typedef {{ language: string, line: number, text: string }} Snippet */

/**
 * Takes a document apart.
 * @param {string} text
 * @returns {{ prose: string, snippets: Snippet[] }} `prose` has empty lines in place of snippets
 */
export function takeApart(text) {
  /** @type {Snippet[]} */
  const snippets = [];
  /** @type {Snippet | undefined} */
  let open;
  const prose = text.split("\n").map((line, n) => {
    const fence = line.match(/^\s*```(.*)$/);
    if (fence && open) open = undefined;
    else if (fence) {
      open = { language: fence[1].trim(), line: n + 1, text: "" };
      snippets.push(open);
    } else if (open) open.text += `${line}\n`;
    else return line;
    return "";
  });
  return { prose: prose.join("\n"), snippets };
}

/**
 * The targets of all links and pictures, with their lines.
 * @param {string} prose
 */
export function linksOf(prose) {
  return prose.split("\n").flatMap((line, n) => {
    const withoutCode = line.replaceAll(/`[^`]*`/g, "``");
    const inline = withoutCode.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g);
    const defined = withoutCode.matchAll(/^\s*\[[^\]]+\]:\s*(\S+)/g);
    return [...inline, ...defined].map(([, target]) => ({ target, line: n + 1 }));
  });
}

/**
 * The anchors of a document: its headings, as GitHub names them, and each `<a id>`.
 * @param {string} prose
 */
export function anchorsOf(prose) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  const headings = [...prose.matchAll(/^#{1,6} +(.+?) *#*$/gm)].map(([, heading]) => {
    const slug = slugOf(heading);
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    return times === 0 ? slug : `${slug}-${times}`;
  });
  return [...headings, ...[...prose.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id)];
}

/** @param {string} heading */
function slugOf(heading) {
  return heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, "")
    .replaceAll(" ", "-");
}
