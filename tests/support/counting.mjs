/**
 * Bundles the built Worker with a probe that counts the bytes copied between JavaScript and wasm.
 */
import { join, relative } from "node:path";
import { build } from "esbuild";
import { root } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";

/** @returns {Promise<string>} the script, from the root of the repository */
export async function bundleCountingWorker() {
  const outfile = join(scratchFolder(), "index.js");
  await build({
    entryPoints: [join(root, "tests/support/counting/worker.mjs")],
    // The probe has to run first, because the Worker takes references to the copying functions as
    // soon as it runs.
    inject: [join(root, "tests/support/counting/probe.mjs")],
    alias: { "built-worker": join(root, "build/index.js") },
    outfile,
    bundle: true,
    format: "esm",
    target: "es2024",
    external: ["*.wasm", "cloudflare:*"],
    logLevel: "error",
  });
  return relative(root, outfile);
}
