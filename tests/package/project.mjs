/** A project of a user, outside the repository, in which the packed package is installed. */
import { existsSync } from "node:fs";
import { cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { root, run } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";

/** The name of the package. */
export const PACKAGE = "@omnitrade/edge";

/**
 * @typedef {object} Project
 * @property {string} folder
 * @property {string} tarball what `npm pack` has packed
 * @property {{ size: number, unpackedSize: number, files: { path: string }[] }} packed what it says
 * @property {(name: string, text: string) => Promise<string>} write makes a file, and returns its
 *   path
 * @property {(name: string) => Promise<void>} link a package of this repository, for the project's
 *   imports
 */

/**
 * Packs what `npm run build` has built, and installs it in a new project.
 * @returns {Promise<Project>}
 */
export async function makeProject() {
  const folder = scratchFolder();
  const args = ["pack", "--json", "--pack-destination", folder];
  const { text } = await run("npm", args, { cwd: join(root, "pkg"), output: "quiet" });
  const [packed] = JSON.parse(text.slice(text.indexOf("[")));
  const tarball = join(folder, packed.filename);

  const write = async (/** @type {string} */ name, /** @type {string} */ content) => {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    return path;
  };
  const link = async (/** @type {string} */ name) => {
    const path = join(folder, "node_modules", name);
    await mkdir(dirname(path), { recursive: true });
    if (!existsSync(path)) await symlink(join(root, "node_modules", name), path);
  };
  await write("package.json", JSON.stringify({ name: "project", private: true, type: "module" }));
  await run("npm", ["install", "--no-audit", "--no-fund", "--offline", tarball], { cwd: folder, output: "quiet" });
  await cp(join(root, "tests/package/assertions.mjs"), join(folder, "assertions.mjs"));
  return { folder, tarball, packed, write, link };
}
