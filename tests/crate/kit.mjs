/** The crate as others get it: packed, and unpacked again outside of our workspace. */
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CRATE, readManifest } from "../../scripts/lib/crate.mjs";
import { target } from "../../scripts/lib/modules.mjs";
import { root, run } from "../../scripts/lib/process.mjs";

/** The crate's manifest. */
export const manifest = await readManifest();

/** Packages are made anew in here. Their place never changes, so Cargo's folder does not grow. */
const scratch = join(target, "crate");

/**
 * Runs Cargo, which shares what it has compiled with the builds of the repository.
 * @param {string[]} args
 * @param {string} [cwd]
 * @returns {Promise<string>} what it prints
 */
export async function cargo(args, cwd = root) {
  const env = { CARGO_TARGET_DIR: target, CARGO_TERM_COLOR: "never" };
  const { text } = await run("cargo", args, { cwd, output: "quiet", env });
  return text;
}

/**
 * Packs the crate as `cargo publish` does, and unpacks it.
 * @param {string} name of the folder
 * @returns {Promise<string>} the folder
 */
export async function unpack(name) {
  await cargo(["package", "--package", CRATE, "--no-verify", "--allow-dirty"]);
  const folder = await emptyFolder(name);
  const archive = join(target, "package", `${CRATE}-${manifest.version}.crate`);
  // In the archive every file has the same old date, by which Cargo would not see changes.
  await run("tar", ["-xzmf", archive, "--strip-components=1"], { cwd: folder });
  return folder;
}

/**
 * Makes a package of our own beside the unpacked one.
 * @param {string} name
 * @param {Record<string, string>} files
 * @returns {Promise<string>} its folder
 */
export async function makePackage(name, files) {
  const folder = await emptyFolder(name);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return folder;
}

/** @param {string} name */
async function emptyFolder(name) {
  const folder = join(scratch, name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return folder;
}

/**
 * Makes a package a workspace of its own. It starts with the versions that this repository has
 * locked, and compiles dependencies as this repository does, so that both can share them.
 * @param {string} folder
 */
export async function separate(folder) {
  const path = join(folder, "Cargo.toml");
  const text = await readFile(path, "utf8");
  const ours = await readFile(join(root, "Cargo.toml"), "utf8");
  const profiles = text.includes("[profile.dev]") ? [] : ours.match(/^\[profile\.dev\b[^[]*/gm);
  await writeFile(path, [text, ...(profiles ?? []), "[workspace]\n"].join("\n"));
  await copyFile(join(root, "Cargo.lock"), join(folder, "Cargo.lock"));
}
