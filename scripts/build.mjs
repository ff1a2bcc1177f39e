/**
 * `npm run build`: compiles the Worker into `build/`, and prints its size.
 *
 *     node scripts/build.mjs [worker]     the parts to build; without names: all
 */
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { bootstrap } from "./lib/bootstrap.mjs";
import { compileConfiguration } from "./lib/edge-toml.mjs";
import { Failure, main, root, run } from "./lib/process.mjs";
import { scratchFolder } from "./lib/servers.mjs";
import { ensureBindgen, ensureWasmTarget, WASM_TARGET } from "./lib/toolchain.mjs";
import { withoutCustomSections } from "./lib/wasm.mjs";

const WORKER_SOURCES = [
  ...["src", "wasm", "tools/bindgen", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"],
  ...["scripts/build.mjs", "scripts/lib/wasm.mjs", "package-lock.json"],
];
const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target");

/** The module in `build/` with the names of its functions, for `scripts/trace.mjs`. */
export const namesFile = join(target, "names.wasm");

/** @type {Record<string, () => Promise<void>>} */
const parts = { worker: buildWorker };

/**
 * Builds `build/index.js` and `build/index_bg.wasm` in release mode, unless no source has changed,
 * and compiles `edge.toml` into the first.
 */
export async function buildWorker() {
  const folder = join(root, "build");
  if (await compileWorker({ feature: "worker", folder, names: namesFile })) {
    const files = await Promise.all(["index.js", "index_bg.wasm"].map((name) => readFile(join(folder, name))));
    const sum = (/** @type {(file: Buffer) => number} */ size) => files.reduce((all, file) => all + size(file), 0);
    const [bytes, gzipped] = [sum(({ length }) => length), sum((file) => gzipSync(file).length)];
    console.error(`build/: ${kilobytes(bytes)}, ${kilobytes(gzipped)} gzipped`);
  }
  await compileConfiguration({ script: join(folder, "index.js"), file: join(root, "edge.toml") });
}

/**
 * Builds a Worker that traps when it is asked to, for the tests, unless no source has changed.
 * @returns {Promise<{ folder: string, names: string }>}
 */
export async function buildPanickingWorker() {
  const folder = join(target, "panicking");
  const names = join(target, "panicking-names.wasm");
  await compileWorker({ feature: "panics", folder, names });
  return { folder, names };
}

/**
 * Does nothing when no source has changed. Returns whether it did anything.
 * @param {{ feature: string, folder: string, names: string }} options `feature`: of `wasm/`;
 *   `names`: the file for the names of its functions
 */
async function compileWorker({ feature, folder, names }) {
  const started = new Date();
  const [script, module] = ["index.js", "index_bg.wasm"].map((name) => join(folder, name));
  const oldest = Math.min(...(await Promise.all([script, module, names].map((file) => newest([file])))));
  if ((await newest(WORKER_SOURCES)) < oldest) return false;

  const scratch = scratchFolder();
  const [bindgen] = await Promise.all([ensureBindgen(), compileModule(feature)]);
  await run(bindgen, [join(target, WASM_TARGET, "release/omnitrade_edge_wasm.wasm"), scratch]);

  // Small functions take the place of their calls: CONTRIBUTING.md says what that gives.
  const named = join(scratch, "named.wasm");
  await run(join(root, "node_modules/.bin/wasm-opt"), [
    "-O3",
    "-aimfs",
    "12",
    "-g",
    join(scratch, "index_bg.wasm"),
    "-o",
    named,
  ]);
  const withNames = await readFile(named);

  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await mkdir(dirname(names), { recursive: true });
  await writeFile(names, withNames);
  await writeFile(module, withoutCustomSections(withNames));
  await writeFile(script, await bundleEntry(join(scratch, "index_bg.js")));
  // A source that was saved during the build must be newer than the build.
  for (const file of [script, module, names]) await utimes(file, started, started);
  return true;
}

/** @param {string} feature */
async function compileModule(feature) {
  await ensureWasmTarget();
  await run("cargo", [
    ...["build", "--release", "--package", "omnitrade-edge-wasm"],
    ...["--target", WASM_TARGET, "--features", feature],
  ]);
}

/**
 * `wasm/entry.js` with what wasm-bindgen wrote and the JavaScript beside the Rust sources, as one
 * module.
 * @param {string} glue the file that wasm-bindgen wrote
 */
async function bundleEntry(glue) {
  // Imported here, because it exists only after `bootstrap`.
  const { build } = await import("esbuild");
  // A function in place of a module, so that it can be called for each instance; and all that is
  // global in the glue, but not for every instance, is a parameter.
  const bundled = await build({ entryPoints: [glue], bundle: true, format: "cjs", write: false, logLevel: "warning" });
  const contents = `export function makeGlue({ fetch, setTimeout, clearTimeout, console, Math, Response }) {
    const module = { exports: {} };
    ${bundled.outputFiles[0].text}
    return module.exports;
  }`;
  const { outputFiles } = await build({
    entryPoints: [join(root, "wasm/entry.js")],
    plugins: [
      {
        name: "glue",
        setup: ({ onResolve, onLoad }) => {
          onResolve({ filter: /^omnitrade-edge:glue$/ }, ({ path }) => ({ path, namespace: "glue" }));
          onLoad({ filter: /.*/, namespace: "glue" }, () => ({ contents }));
        },
      },
    ],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2024",
    external: ["*.wasm", "cloudflare:*"],
    write: false,
    logLevel: "warning",
  });
  return outputFiles[0].contents;
}

/**
 * The latest modification time of these files and of everything in these folders; 0 if none exists.
 * @param {string[]} paths from the root of the repository
 * @returns {Promise<number>}
 */
async function newest(paths) {
  const times = paths.map(async (path) => {
    const found = await stat(resolve(root, path)).catch(() => undefined);
    if (!found?.isDirectory()) return found?.mtimeMs ?? 0;
    const inside = await readdir(resolve(root, path));
    return Math.max(found.mtimeMs, await newest(inside.map((name) => join(path, name))));
  });
  return Math.max(0, ...(await Promise.all(times)));
}

/** @param {number} bytes */
function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(1)} kB`;
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
