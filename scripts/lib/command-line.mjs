/** Builds the command line, `omnitrade-edge`. */
import { join, resolve } from "node:path";
import { root, run } from "./process.mjs";
import { ensureRust } from "./toolchain.mjs";

// Without the default features, because it needs no HTTP client, whose TLS takes a minute to
// compile.
const FEATURES = ["--no-default-features", "--features", "cli", "--bin", "omnitrade-edge"];

/**
 * @param {{ release?: boolean }} [options] `release`: optimized; the first such build takes some
 *   minutes
 * @returns {Promise<string>} the program's path
 */
export async function buildCommandLine({ release = false } = {}) {
  await ensureRust();
  await run("cargo", ["build", ...(release ? ["--release"] : []), ...FEATURES]);
  const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target");
  return join(target, release ? "release" : "debug", "omnitrade-edge");
}
