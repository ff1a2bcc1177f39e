/**
 * Builds the npm package: `pkg/dist/`, which `npm pack` in `pkg/` packs.
 *
 * wasm-pack makes two modules of `wasm/`. The sources in `pkg/src/` import each of them, and its
 * JavaScript, by a name that only this build knows. It bundles them in a form for each kind of
 * platform:
 *
 * | form | files | how the module gets in |
 * |---|---|---|
 * | Workers | `*.workerd.js`, `worker.js` | `import module from "./edge.wasm?module"` |
 * | other platforms that load modules | `*.module.js` | the same |
 * | all others | `*.js` | compiled from the base64 in `edge.wasm.js` |
 * | Node | `*.node.js` | the same |
 * | Node, CommonJS | `*.cjs` | the same, in `edge.wasm.cjs` |
 *
 * What several entries use lies in files of its own, so that a class is the same in all of them.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import {
  areCurrent,
  bundleWorker,
  initialization,
  kilobytes,
  MODULE_SOURCES,
  moduleEnvironment,
  optimize,
  SMALL,
  target,
  virtualModules,
  wrapGlue,
} from "./modules.mjs";
import { root, run } from "./process.mjs";
import { scratchFolder } from "./servers.mjs";
import { ensureBindgen, ensureWasmPack, ensureWasmTarget } from "./toolchain.mjs";
import { withoutCustomSections } from "./wasm.mjs";

const SOURCES = [
  ...MODULE_SOURCES,
  ...["pkg/src", "pkg/types", "pkg/README.md", "pkg/package.json", "scripts/lib/package.mjs"],
];

/** The modules: the feature of `wasm/` that each is built with, and how its glue is wrapped. */
const MODULES = {
  edge: {
    feature: "sdk",
    profile: "npm",
    // SHA-256 as a loop, which is small. Digests are kept there, so they need not be fast.
    flags: ['--cfg=sha2_backend_soft="compact"'],
    how: SMALL,
    // Its functions take numbers, and so need no glue.
    glue: initialization,
  },
  gate: {
    // What queues need, too: a gate of the package is not built for its configuration.
    feature: "worker,queue",
    profile: "release",
    flags: [],
    how: undefined,
    glue: wrapGlue,
  },
};
/** @typedef {keyof typeof MODULES} Name */
const NAMES = /** @type {Name[]} */ (Object.keys(MODULES));

/** The entries that exist in each form. */
const ENTRIES = ["index", "gate", "clients", "queue"];
/** The entry that exists in one form, and has no `require`: it imports `cloudflare:workers`. */
const FOR_WORKERS = "worker";

const LICENCES = ["LICENSE-APACHE", "LICENSE-MIT"];

const packageFolder = join(root, "pkg");
const dist = join(packageFolder, "dist");
/** The file of the build that is written last. */
const complete = join(target, "package/complete");

/** Builds `pkg/dist/`, unless no source has changed, and prints its sizes. */
export async function buildPackage() {
  const started = new Date();
  if (existsSync(dist) && (await areCurrent([complete], SOURCES))) return;
  await rm(complete, { force: true });
  for (const name of NAMES) await makeModule(name);

  await rm(dist, { recursive: true, force: true });
  await mkdir(dist, { recursive: true });
  for (const name of NAMES) await writeModule(name);
  await writeQueueScripts();
  await bundle("inlined");
  await writeCommonJs(await bundle("node"));
  await bundle("module");
  await bundle("workerd");
  const glue = await readFile(built("gate").glue, "utf8");
  await writeFile(join(dist, `${FOR_WORKERS}.js`), await bundleWorker({ glue, module: "./gate.wasm?module" }));
  await writeDeclarations();
  for (const licence of LICENCES) await cp(join(root, licence), join(packageFolder, licence));

  await writeFile(complete, "");
  // A source that was saved during the build must be newer than the build.
  await utimes(complete, started, started);
  for (const [what, { bytes, gzipped }] of Object.entries(await packageSizes())) {
    console.error(`pkg/: ${what}: ${kilobytes(bytes)}, ${kilobytes(gzipped)} gzipped`);
  }
}

/**
 * Where a built module lies, with its glue and with the names of its functions.
 * @param {Name} name
 */
function built(name) {
  const folder = join(target, "package", name);
  return {
    folder,
    module: join(folder, "module.wasm"),
    glue: join(folder, "glue.js"),
    names: join(folder, "names.wasm"),
  };
}

/**
 * The file of a built module with the names of its functions.
 * @param {Name} name
 */
export function namesOf(name) {
  return built(name).names;
}

/**
 * Makes a module and the glue that belongs to it, unless no source has changed.
 * @param {Name} name
 */
async function makeModule(name) {
  const started = new Date();
  const { folder, module, glue, names } = built(name);
  if (await areCurrent([module, glue, names], MODULE_SOURCES)) return;

  const [wasmPack, wasmBindgen] = await Promise.all([ensureWasmPack(), ensureBindgen(), ensureWasmTarget()]);
  const scratch = scratchFolder();
  const { feature, profile, flags, how, glue: glueOf } = MODULES[name];
  await run(
    wasmPack,
    [
      ...[
        "--log-level",
        "error",
        "build",
        join(root, "wasm"),
        "--target",
        "web",
        "--mode",
        "no-install",
        "--profile",
        profile,
      ],
      ...["--no-opt", "--no-typescript", "--no-pack", "--no-gitignore", "--out-dir", scratch, "--out-name", "index"],
      ...["--", "--features", feature],
    ],
    { env: { ...moduleEnvironment(flags), PATH: `${dirname(wasmBindgen)}${delimiter}${process.env.PATH}` } },
  );

  const withNames = await optimize(join(scratch, "index_bg.wasm"), join(scratch, "named.wasm"), how);
  await mkdir(folder, { recursive: true });
  await writeFile(names, withNames);
  await writeFile(module, withoutCustomSections(withNames));
  await writeFile(glue, await glueOf({ file: join(scratch, "index.js") }));
  for (const file of [names, module, glue]) await utimes(file, started, started);
}

/**
 * A module as a file, and as base64 in files that the bundles import.
 * @param {Name} name
 */
async function writeModule(name) {
  const module = await readFile(built(name).module);
  const text = JSON.stringify(module.toString("base64"));
  await writeFile(join(dist, `${name}.wasm`), module);
  await writeFile(join(dist, `${name}.wasm.js`), `export default ${text};\n`);
  await writeFile(join(dist, `${name}.wasm.cjs`), name === "gate" ? fromBeside(name) : `module.exports = ${text};\n`);
}

/**
 * The CommonJS form of a module whose base64 is too large for two copies: that of the ES module in
 * bundles and in Node; where no ES module can be required, as in Jest, that of the module's file.
 * @param {Name} name
 */
function fromBeside(name) {
  return `let text;
try {
  text = require("./${name}.wasm.js").default;
} catch (error) {
  try {
    text = require("node:fs").readFileSync(require("node:path").join(__dirname, "${name}.wasm"), "base64");
  } catch {
    throw error;
  }
}
module.exports = text;
`;
}

/**
 * How the module gets in, and for whom.
 * @typedef {"inlined" | "node" | "module" | "workerd"} Form
 */

/**
 * The source of `omnitrade-edge:wasm/NAME`.
 * @param {Name} name
 * @param {Form} form
 */
function loader(name, form) {
  if (form === "module" || form === "workerd") {
    return `import module from "./${name}.wasm?module";
      export const wasmModule = () => module;`;
  }
  return `import base64 from "./${name}.wasm.js";
    import { fromBase64 } from "./pkg/src/base64.js";
    let module;
    export const wasmModule = () => (module ??= new WebAssembly.Module(fromBase64(base64)));`;
}

/** BullMQ's scripts and their digests, in a file that all forms of `./queue` import. */
async function writeQueueScripts() {
  /** @type {Record<string, Record<string, { sha1: string, lua: string }>>} */
  const scripts = {};
  for (const major of [5, 6]) {
    scripts[major] = {};
    for (const name of ["standard", "delayed", "prioritized"]) {
      const lua = await readFile(join(root, `src/queue/lua/bullmq-${major}/${name}.lua`), "utf8");
      scripts[major][name] = { sha1: createHash("sha1").update(lua).digest("hex"), lua };
    }
  }
  const text = JSON.stringify(scripts);
  await writeFile(join(dist, "queue-scripts.js"), `export const scripts = ${text};\n`);
  await writeFile(join(dist, "queue-scripts.cjs"), `exports.scripts = ${text};\n`);
  await cp(join(root, "src/queue/lua/bullmq-5/LICENSE"), join(dist, "LICENSE-BullMQ"));
}

/** What bundles leave to be imported: the modules, and what only platforms have. */
const EXTERNAL = ["*.wasm?module", "./edge.wasm.js", "./gate.wasm.js", "./queue-scripts.js", "cloudflare:*"];

/**
 * Bundles the entries in one form of ESM.
 * @param {Form} form
 * @returns {Promise<string[]>} the names of its files in `dist`
 */
async function bundle(form) {
  const { build } = await import("esbuild");
  const nameOf = (/** @type {string} */ name) => (form === "inlined" ? name : `${name}.${form}`);
  const platform = form === "workerd" || form === "node" ? form : "others";
  const { outputFiles } = await build({
    entryPoints: ENTRIES.map((name) => ({ in: join(packageFolder, "src", `${name}.js`), out: nameOf(name) })),
    plugins: [
      virtualModules(
        Object.fromEntries(
          NAMES.flatMap((name) => [
            [`wasm/${name}`, () => loader(name, form)],
            [`glue/${name}`, () => readFile(built(name).glue, "utf8")],
          ]).concat([
            ["platform", () => `export * from "./pkg/src/platform/${platform}.js";`],
            ["queue-scripts", () => `export { scripts } from "./queue-scripts.js";`],
          ]),
        ),
      ),
    ],
    bundle: true,
    splitting: true,
    // Names stay, for those who read a stack trace.
    minifyWhitespace: true,
    minifySyntax: true,
    format: "esm",
    target: "es2022",
    outdir: dist,
    external: EXTERNAL,
    write: false,
    logLevel: "warning",
  });
  const names = [];
  for (const { path, text } of outputFiles) {
    names.push(path.slice(dist.length + 1));
    await writeFile(path, text);
  }
  return names;
}

/**
 * The CommonJS form of bundled files: the same files, each by itself.
 * @param {string[]} names
 */
async function writeCommonJs(names) {
  const { build } = await import("esbuild");
  await build({
    entryPoints: names.map((name) => join(dist, name)),
    plugins: [
      {
        name: "beside",
        setup: ({ onResolve }) => {
          onResolve({ filter: /^\.\// }, ({ path }) => ({ path: path.replace(/\.js$/, ".cjs"), external: true }));
        },
      },
    ],
    bundle: true,
    minifyWhitespace: true,
    format: "cjs",
    target: "es2022",
    outdir: dist,
    outExtension: { ".js": ".cjs" },
    logLevel: "warning",
  });
}

/** The declarations, and for `require` the same ones that import each other's. */
async function writeDeclarations() {
  const types = join(packageFolder, "types");
  for (const name of await readdir(types)) {
    const text = await readFile(join(types, name), "utf8");
    await writeFile(join(dist, name), text);
    if (name === `${FOR_WORKERS}.d.ts`) continue;
    const require = text.replaceAll(/(from ")(\.\/[^"]+)\.js"/g, '$1$2.cjs"');
    await writeFile(join(dist, name.replace(/\.ts$/, ".cts")), require);
  }
}

/**
 * The sizes of what is in `pkg/dist/`.
 * @returns {Promise<Record<string, { bytes: number, gzipped: number }>>}
 */
export async function packageSizes() {
  /** @type {Record<string, { bytes: number, gzipped: number }>} */
  const sizes = {};
  for (const name of NAMES) sizes[`${name}.wasm`] = sizeOf(await readFile(join(dist, `${name}.wasm`)));
  for (const name of ENTRIES) {
    sizes[`${name}.js, minified`] = sizeOf(await minified(name));
  }
  return sizes;
}

/**
 * The JavaScript of an entry with all it imports, but without the inlined modules and scripts.
 * @param {string} name
 */
async function minified(name) {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: [join(dist, `${name}.js`)],
    bundle: true,
    minify: true,
    format: "esm",
    external: EXTERNAL,
    write: false,
    logLevel: "warning",
  });
  return Buffer.from(outputFiles[0].contents);
}

/** @param {Buffer} bytes */
function sizeOf(bytes) {
  return { bytes: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
}
