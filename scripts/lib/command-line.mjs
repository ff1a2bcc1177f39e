/** Builds the command line, `omnitrade-edge`, and programs of other packages of the workspace. */
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

/**
 * Builds a program of another package of the workspace.
 * @param {string} name of the package
 * @param {string} program
 * @param {{ optimized?: boolean }} [options] `optimized`: with the profile `bench`; the first such
 *   build takes some minutes
 * @returns {Promise<string>} the program's path
 */
export async function buildProgram(name, program, { optimized = false } = {}) {
  await ensureRust();
  // Otherwise as the tests build the command line, so that both share what they depend on.
  const how = optimized
    ? ["--profile", "bench", "--bin", program]
    : ["-p", "omnitrade-edge", "--all-features", "--bins"];
  await run("cargo", ["build", "-p", name, ...how]);
  const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target");
  return join(target, optimized ? "release" : "debug", program);
}
