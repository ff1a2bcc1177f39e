/** What the builds of the Worker and of the npm package share: modules, and their JavaScript. */
import { readdir, readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { Failure, root, run } from "./process.mjs";

/** Cargo's folder for what it builds. */
export const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target");

/**
 * What Cargo gets for the modules: they hold no path of the machine that builds them.
 * @param {string[]} [flags] more for the compiler
 */
export function moduleEnvironment(flags = []) {
  const crates = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "registry/src");
  const all = [`--remap-path-prefix=${crates}=crates`, ...flags];
  return { CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS: all.join(" ") };
}

/** What decides what the modules of `wasm/` are, and how they are built. */
export const MODULE_SOURCES = [
  ...["src", "wasm", "tools/bindgen", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"],
  ...["scripts/build.mjs", "scripts/lib/modules.mjs", "scripts/lib/wasm.mjs", "package-lock.json"],
];

/**
 * What of the platform not every instance of the gate may use: `pkg/src/worker.js` runs a rehearsal
 * with others, and `pkg/src/gate.js` lets a store stand in for `fetch`.
 */
const GATE_GLOBALS = ["fetch", "setTimeout", "clearTimeout", "console", "Math", "Response"];

/**
 * The functions of the glue by which its caller can make the instance, and so can wrap what it
 * exports.
 */
const INSTANCE_FUNCTIONS = ["__wbg_get_imports", "__wbg_finalize_init"];

/** Small functions take the place of their calls: CONTRIBUTING.md says what that gives. */
const FAST = ["-O3", "-aimfs", "12"];

/**
 * For a module of which every kilobyte counts: 2 % smaller than with `-Oz` alone. At the beginning
 * of the memory lies the end of the stack, so no object lies below 1,024.
 */
export const SMALL = ["-O4", "--flatten", "--rereloop", "-Oz", "--code-folding", "--low-memory-unused", "-Oz"];

/**
 * Optimizes a module. The names of its functions stay in it.
 * @param {string} from
 * @param {string} to
 * @param {string[]} [how] options of `wasm-opt`
 * @returns {Promise<Buffer>} the new module
 */
export async function optimize(from, to, how = FAST) {
  await run(join(root, "node_modules/.bin/wasm-opt"), [...how, "-g", from, "-o", to]);
  return readFile(to);
}

/**
 * What wasm-bindgen wrote for the gate and the JavaScript beside the Rust sources, as a module with
 * a function `makeGlue`, so that each instance can have functions and variables of its own.
 * @param {{ file: string }} options
 */
export async function wrapGlue({ file }) {
  const text = await bundled({ entryPoints: [file], plugins: [instanceFunctions(file)], format: "esm" });
  // What the module exports is what the function returns.
  const [clause] = text.match(/^export \{[^}]*\};$/m) ?? [];
  if (clause === undefined) throw new Failure(`${file} exports nothing`);
  const exported = [...clause.matchAll(/(\w+)(?: as (\w+))?,?\n/g)].map(
    ([, local, name = local]) => `${name}: ${local}`,
  );
  return `export function makeGlue({ ${GATE_GLOBALS.join(", ")} }) {
    ${text.replace(clause, `return { ${exported.join(", ")} };`)}
  }`;
}

/**
 * A plugin of esbuild: what wasm-bindgen wrote, with the functions by which its caller can make the
 * instance in place of those that make it.
 * @param {string} file
 * @returns {import("esbuild").Plugin}
 */
function instanceFunctions(file) {
  return {
    name: "glue",
    setup: ({ onLoad }) => {
      onLoad({ filter: /\.js$/ }, async ({ path }) => {
        if (path !== file) return undefined;
        const text = await readFile(file, "utf8");
        const contents = text
          // wasm-bindgen names a file once for each block of declarations.
          .replace(/^ *("\.\/snippets\/.+"): \w+,\n(?=[\s\S]*^ *\1: )/gm, "")
          .replace(/^export \{ initSync, .*\};$/m, `export { ${INSTANCE_FUNCTIONS.join(", ")} };`);
        return { contents };
      });
    },
  };
}

/**
 * Of what wasm-bindgen wrote, only what makes the one instance: for a module whose functions take
 * numbers. Its own `initSync` is twice as long, because it takes arguments of many kinds.
 * @param {{ file: string }} options
 */
export function initialization({ file }) {
  const [imports, finalize] = INSTANCE_FUNCTIONS;
  const contents = `import { ${INSTANCE_FUNCTIONS.join(", ")} } from ${JSON.stringify(file)};
    export const initSync = ({ module }) =>
      ${finalize}(new WebAssembly.Instance(module, ${imports}()), module);`;
  return bundled({ stdin: { contents, resolveDir: root }, plugins: [instanceFunctions(file)], format: "esm" });
}

/**
 * `pkg/src/worker.js` with its glue, as one module. The Worker of this repository and the package's
 * differ only in where their WebAssembly lies.
 * @param {{ glue: string, module: string }} options `glue`: as {@link wrapGlue} makes it;
 *   `module`: how the WebAssembly is imported
 */
export function bundleWorker({ glue, module }) {
  return bundled({
    entryPoints: [join(root, "pkg/src/worker.js")],
    plugins: [
      virtualModules({
        "wasm/gate": () => `import module from ${JSON.stringify(module)}; export const wasmModule = () => module;`,
        "glue/gate": () => glue,
      }),
    ],
    minify: true,
    format: "esm",
    target: "es2024",
    external: [module, "cloudflare:*"],
  });
}

/** @param {import("esbuild").BuildOptions} options */
async function bundled(options) {
  // Imported here, because it exists only after `bootstrap`.
  const { build } = await import("esbuild");
  const { outputFiles } = await build({ ...options, bundle: true, write: false, logLevel: "warning" });
  return /** @type {import("esbuild").OutputFile[]} */ (outputFiles)[0].text;
}

/**
 * A plugin of esbuild: modules that exist only in a build, each under the name by which it is
 * imported.
 * @param {Record<string, () => string | Promise<string>>} modules by the part of the name after
 *   `omnitrade-edge:`
 * @returns {import("esbuild").Plugin}
 */
export function virtualModules(modules) {
  return {
    name: "omnitrade-edge",
    setup: ({ onResolve, onLoad }) => {
      const namespace = "omnitrade-edge";
      onResolve({ filter: /^omnitrade-edge:/ }, ({ path }) => {
        const name = path.slice(namespace.length + 1);
        if (!(name in modules)) return { errors: [{ text: `this build has no ${path}` }] };
        return { path: name, namespace };
      });
      onLoad({ filter: /.*/, namespace }, async ({ path }) => ({ contents: await modules[path](), resolveDir: root }));
    },
  };
}

/**
 * The latest modification time of these files and of everything in these folders; 0 if none exists.
 * @param {string[]} paths from the root of the repository
 * @returns {Promise<number>}
 */
export async function newest(paths) {
  const times = paths.map(async (path) => {
    const found = await stat(resolve(root, path)).catch(() => undefined);
    if (!found?.isDirectory()) return found?.mtimeMs ?? 0;
    const inside = await readdir(resolve(root, path));
    return Math.max(found.mtimeMs, await newest(inside.map((name) => join(path, name))));
  });
  return Math.max(0, ...(await Promise.all(times)));
}

/**
 * Whether each of these files exists and is newer than all sources.
 * @param {string[]} files
 * @param {string[]} sources
 */
export async function areCurrent(files, sources) {
  const oldest = Math.min(...(await Promise.all(files.map((file) => newest([file])))));
  return (await newest(sources)) < oldest;
}

/** @param {number} bytes */
export function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
