/**
 * `npm run build`: compiles the Worker into `build/`, and prints its size.
 *
 *     node scripts/build.mjs [worker]     the parts to build; without names: all
 */
import { readdir, readFile, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { bootstrap } from "./lib/bootstrap.mjs";
import { compileConfiguration } from "./lib/edge-toml.mjs";
import { Failure, main, root, run } from "./lib/process.mjs";
import { ensureWorkerTools } from "./lib/toolchain.mjs";

const WORKER_SOURCES = ["src", "wasm", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "scripts/build.mjs"];

/** @type {Record<string, () => Promise<void>>} */
const parts = { worker: buildWorker };

/**
 * Builds `build/index.js` and `build/index_bg.wasm` in release mode, unless no source has changed,
 * and compiles `edge.toml` into the first.
 */
export async function buildWorker() {
  await compileWorker();
  await compileConfiguration({ script: join(root, "build/index.js"), file: join(root, "edge.toml") });
}

/** Does nothing when no source has changed. */
async function compileWorker() {
  const started = new Date();
  const output = join(root, "build/index_bg.wasm");
  if ((await newest(WORKER_SOURCES)) < (await newest(["build/index_bg.wasm"]))) return;
  const { workerBuild, wasmBindgen } = await ensureWorkerTools();
  const bin = join(root, "node_modules/.bin");
  // The path of the output is relative to the workspace member.
  await run(workerBuild, ["--release", "--out-dir", "../build", "wasm", "--", "--features", "worker"], {
    // Without these, worker-build would download its own tools, and without the last two not the
    // pinned versions.
    env: {
      WASM_BINDGEN_BIN: wasmBindgen,
      WASM_OPT_BIN: join(bin, "wasm-opt"),
      ESBUILD_BIN: join(bin, "esbuild"),
    },
  });
  // A source that was saved during the build must be newer than the build.
  await utimes(output, started, started);
  const wasm = await readFile(output);
  console.error(`build/index_bg.wasm: ${kilobytes(wasm)}, ${kilobytes(gzipSync(wasm))} gzipped`);
}

/**
 * The latest modification time of these files and of everything in these folders; 0 if none exists.
 * @param {string[]} paths
 * @returns {Promise<number>}
 */
async function newest(paths) {
  const times = paths.map(async (path) => {
    const found = await stat(join(root, path)).catch(() => undefined);
    if (!found?.isDirectory()) return found?.mtimeMs ?? 0;
    const inside = await readdir(join(root, path));
    return Math.max(found.mtimeMs, await newest(inside.map((name) => join(path, name))));
  });
  return Math.max(0, ...(await Promise.all(times)));
}

/** @param {Uint8Array} bytes */
function kilobytes(bytes) {
  return `${(bytes.length / 1000).toFixed(1)} kB`;
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    await bootstrap();
    const names = process.argv.slice(2);
    for (const name of names.length ? names : Object.keys(parts)) {
      const build = parts[name];
      if (!build) throw new Failure(`nothing is called ${name}; there are ${Object.keys(parts).join(", ")}`);
      await build();
    }
  });
}
