/** The published crate: what its manifest says, and its documentation as docs.rs builds it. */
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { target } from "./modules.mjs";
import { Failure, root, run } from "./process.mjs";
import { scratchFolder } from "./servers.mjs";
import { ensureRust, ensureWasmTarget, WASM_TARGET } from "./toolchain.mjs";

/** The crate's name. */
export const CRATE = "omnitrade-edge";

/**
 * The platforms for which the crate is checked, the first of which is this machine's.
 *
 * - `args`: Cargo's arguments to compile for it. Without any, Cargo shares its folder with all
 *   other builds for this machine.
 * - `output`: where Cargo puts what it has made for it.
 */
export const PLATFORMS = [
  { name: "native", args: [], output: target },
  { name: "wasm32", args: ["--target", WASM_TARGET], output: join(target, WASM_TARGET) },
];

/**
 * @typedef {object} Manifest
 * @property {string} version
 * @property {string} rust_version
 * @property {Record<string, string[]>} features
 * @property {{ docs: { rs: DocsRs } }} metadata
 *
 * @typedef {{ "all-features": boolean, targets: string[], "rustdoc-args": string[] }} DocsRs
 */

/**
 * What Cargo reads in the crate's manifest.
 * @returns {Promise<Manifest>}
 */
export async function readManifest() {
  const { text } = await run("cargo", ["metadata", "--no-deps", "--format-version", "1"], { output: "quiet" });
  const { packages } = JSON.parse(text.slice(text.indexOf("{")));
  return packages.find((/** @type {{ name: string }} */ { name }) => name === CRATE);
}

/**
 * Builds the documentation with the arguments that the manifest has for docs.rs; a warning is an
 * error. It lies in the folders `doc` of the platforms.
 */
export async function buildDocumentation() {
  await ensureRust();
  await ensureWasmTarget();
  const { "all-features": all, targets, "rustdoc-args": args } = (await readManifest()).metadata.docs.rs;
  if (!all) throw new Failure("docs.rs is to show the items of all features: all-features = true");
  // What is native there is native here, whatever this machine is.
  const platforms = targets.map((name) => PLATFORMS[name === WASM_TARGET ? 1 : 0]);
  // docs.rs has a nightly toolchain. Rustdoc alone gets the variable, because dependencies would be
  // built anew under it.
  const rustdoc = join(scratchFolder(), "rustdoc");
  await writeFile(rustdoc, '#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc "$@"\n');
  await chmod(rustdoc, 0o755);
  for (const platform of platforms) {
    await run(
      "cargo",
      ["rustdoc", "--package", CRATE, "--lib", "--all-features", ...platform.args, "--", ...args, "-D", "warnings"],
      { cwd: root, env: { RUSTDOC: rustdoc } },
    );
  }
}

/** Compiles the crate with the oldest Rust that its manifest names, which rustup installs. */
export async function checkOldestRust() {
  const { rust_version: version } = await readManifest();
  await run("rustup", ["toolchain", "install", version, "--profile", "minimal", "--target", WASM_TARGET]);
  for (const { args } of PLATFORMS) {
    await run("cargo", [`+${version}`, "check", "--locked", "--package", CRATE, "--all-features", ...args]);
  }
}
