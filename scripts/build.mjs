/**
 * `npm run build`: compiles the Worker into `build/`, and the npm package into `pkg/dist/`, and
 * prints their sizes.
 *
 *     node scripts/build.mjs [worker] [package]     the parts to build; without names: all
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { bootstrap } from "./lib/bootstrap.mjs";
import { compileConfiguration } from "./lib/edge-toml.mjs";
import {
  areCurrent,
  bundleWorker,
  kilobytes,
  MODULE_SOURCES,
  moduleEnvironment,
  optimize,
  target,
  wrapGlue,
} from "./lib/modules.mjs";
import { buildPackage } from "./lib/package.mjs";
import { Failure, main, root, run } from "./lib/process.mjs";
import { scratchFolder } from "./lib/servers.mjs";
import { ensureBindgen, ensureWasmTarget, WASM_TARGET } from "./lib/toolchain.mjs";
import { withoutCustomSections } from "./lib/wasm.mjs";

/** The module in `build/` with the names of its functions, for `scripts/trace.mjs`. */
export const namesFile = join(target, "names.wasm");

/** @type {Record<string, () => Promise<void>>} */
const parts = { worker: buildWorker, package: buildPackage };

/**
 * Builds `build/index.js` and `build/index_bg.wasm` in release mode, unless no source has changed,
 * and compiles `edge.toml` into the first. What queues need is in it only if the configuration has
 * queues.
 */
export async function buildWorker() {
  const folder = join(root, "build");
  const features = (await namesQueues()) ? ["worker", "queue"] : ["worker"];
  if (await compileWorker({ features, folder, names: namesFile })) {
    const files = await Promise.all(["index.js", "index_bg.wasm"].map((name) => readFile(join(folder, name))));
    const sum = (/** @type {(file: Buffer) => number} */ size) => files.reduce((all, file) => all + size(file), 0);
    const [bytes, gzipped] = [sum(({ length }) => length), sum((file) => gzipSync(file).length)];
    console.error(`build/: ${kilobytes(bytes)}, ${kilobytes(gzipped)} gzipped`);
  }
  await compileConfiguration({ script: join(folder, "index.js"), file: join(root, "edge.toml") });
}

/** Whether `edge.toml` or some environment of `wrangler.toml` has queues. */
async function namesQueues() {
  // Imported here, because it exists only after `bootstrap`.
  const { experimental_readRawConfig } = await import("wrangler");
  const read = (/** @type {string} */ name) => {
    const config = join(root, name);
    return existsSync(config) ? experimental_readRawConfig({ config }).rawConfig : {};
  };
  /** @type {any} */
  const { vars, env = {} } = read("wrangler.toml");
  const all = [read("edge.toml"), ...[{ vars }, ...Object.values(env)].map(({ vars }) => vars?.EDGE)];
  const tables = all.map((edge) => (typeof edge === "string" ? JSON.parse(edge) : edge));
  return tables.some((edge) => edge?.queues !== undefined);
}

/**
 * Builds a Worker that traps when it is asked to, for the tests, unless no source has changed.
 * @returns {Promise<{ folder: string, names: string }>}
 */
export async function buildPanickingWorker() {
  const folder = join(target, "panicking");
  const names = join(target, "panicking-names.wasm");
  await compileWorker({ features: ["panics"], folder, names });
  return { folder, names };
}

/**
 * Does nothing when neither a source nor the features have changed. Returns whether it did
 * anything.
 * @param {{ features: string[], folder: string, names: string }} options `features`: of `wasm/`;
 *   `names`: the file for the names of its functions
 */
export async function compileWorker({ features, folder, names }) {
  const started = new Date();
  const [script, module] = ["index.js", "index_bg.wasm"].map((name) => join(folder, name));
  const [built, wanted] = [`${names}.features`, `${features}`];
  const isSame = existsSync(built) && (await readFile(built, "utf8")) === wanted;
  if (isSame && (await areCurrent([script, module, names], [...MODULE_SOURCES, "pkg/src"]))) return false;

  const scratch = scratchFolder();
  const [bindgen] = await Promise.all([ensureBindgen(), compileModule(features)]);
  // As wasm-pack does for the npm package: both have the same module.
  await run(bindgen, [
    ...[join(target, WASM_TARGET, "release/omnitrade_edge_wasm.wasm"), "--target", "web", "--no-typescript"],
    ...["--out-dir", scratch, "--out-name", "index", "--omit-default-module-path"],
  ]);

  const withNames = await optimize(join(scratch, "index_bg.wasm"), join(scratch, "named.wasm"));

  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await mkdir(dirname(names), { recursive: true });
  await writeFile(names, withNames);
  await writeFile(module, withoutCustomSections(withNames));
  await writeFile(
    script,
    await bundleWorker({ glue: await wrapGlue({ file: join(scratch, "index.js") }), module: "./index_bg.wasm" }),
  );
  await writeFile(built, wanted);
  // A source that was saved during the build must be newer than the build.
  for (const file of [script, module, names]) await utimes(file, started, started);
  return true;
}

/** @param {string[]} features */
async function compileModule(features) {
  await ensureWasmTarget();
  await run(
    "cargo",
    [
      ...["build", "--release", "--package", "omnitrade-edge-wasm"],
      ...["--target", WASM_TARGET, "--features", `${features}`],
    ],
    { env: moduleEnvironment() },
  );
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
