/** Bundles the built Worker with what a test puts around it. */
import { join, relative } from "node:path";
import { build } from "esbuild";
import { root } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";

/**
 * With a probe that counts the calls and the bytes copied between JavaScript and wasm.
 * @returns {Promise<string>} the script, from the root of the repository
 */
export function bundleCountingWorker() {
  // The probe has to run first, because the Worker takes references to the copying functions as
  // soon as it runs.
  return bundle("counting/worker.mjs", ["counting/probe.mjs"]);
}

/**
 * With a probe that tells how large wasm's memory is.
 * @param {string} [worker] another Worker than the built one; from the root of the repository
 * @returns {Promise<string>} the script, from the root of the repository
 */
export function bundleWithMemory(worker) {
  return bundle("memory/worker.mjs", ["memory/probe.mjs"], worker);
}

/**
 * With a binding that records what Workers Analytics Engine would get.
 * @returns {Promise<string>} the script, from the root of the repository
 */
export function bundleWithDataset() {
  return bundle("dataset/worker.mjs", []);
}

/**
 * In a runtime that refuses what a request tells it to refuse.
 * @returns {Promise<string>} the script, from the root of the repository
 */
export function bundleRefusingWorker() {
  return bundle("refusing/worker.mjs", ["refusing/probe.mjs"]);
}

/**
 * @param {string} entry in this folder, as are the files that run first
 * @param {string[]} first
 * @param {string} [worker] from the root of the repository
 */
async function bundle(entry, first, worker = "build/index.js") {
  const outfile = join(scratchFolder(), "index.js");
  const here = (/** @type {string} */ file) => join(root, "tests/support", file);
  await build({
    entryPoints: [here(entry)],
    inject: first.map(here),
    alias: { "built-worker": join(root, worker) },
    outfile,
    bundle: true,
    format: "esm",
    target: "es2024",
    external: ["*.wasm", "cloudflare:*"],
    logLevel: "error",
  });
  return relative(root, outfile);
}
