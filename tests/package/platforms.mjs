/**
 * Where the package runs, and how a program of a user is run there. The page in `docs/` that lists
 * them has exactly these names.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, extname, join } from "node:path";
import * as esbuild from "esbuild";
import { ensureChromium } from "../../scripts/lib/chromium.mjs";
import { capture, freePort, root, run, spawnServer } from "../../scripts/lib/process.mjs";
import { ensureNode } from "../../scripts/lib/runtimes.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";
import { startBrowser } from "../support/browser.mjs";
import { PACKAGE } from "./project.mjs";

/** @typedef {import("./project.mjs").Project} Project */
/** @typedef {import("./assertions.mjs").Store} Store */
/**
 * @typedef {{ parts: string[], isOneClass?: boolean }} Ran the parts of the assertions that have
 *   run, and whether `import` and `require` give one class
 */

/**
 * @typedef {object} Platform
 * @property {string} name
 * @property {boolean} [local] whether programs have no store here
 * @property {() => Promise<string | undefined>} [missing] why it cannot be installed here
 * @property {(project: Project, store: Store) => Promise<Ran>} run
 */

const binaries = join(root, "node_modules/.bin");

/** @type {Platform[]} */
export const PLATFORMS = [
  ...nodes(20),
  ...nodes(22),
  ...nodes(24),
  {
    name: "Bun",
    missing: () => missing("bun"),
    run: async (project, store) => ran(join(binaries, "bun"), [await imports(project, "bun.mjs", store)]),
  },
  {
    name: "Deno",
    missing: () => missing("deno"),
    run: async (project, store) => {
      const program = await imports(project, "deno.mjs", store);
      const args = ["run", "--cached-only", "--allow-read", "--allow-env", "--allow-net=127.0.0.1", program];
      return ran(join(binaries, "deno"), args, { cwd: project.folder });
    },
  },
  { name: "Cloudflare Workers", run: runWorker },
  { name: "esbuild for browsers", local: true, missing: ensureChromium, run: runBrowserBundle },
  { name: "esbuild for Node", run: (project, store) => runBundle(project, store, { platform: "node", format: "esm" }) },
  {
    name: "esbuild, neutral",
    run: (project, store) => runBundle(project, store, { platform: "neutral", format: "esm" }),
  },
  {
    name: "esbuild, CommonJS",
    run: (project, store) => runBundle(project, store, { platform: "node", format: "cjs" }),
  },
  {
    name: "esbuild, require",
    run: (project, store) => runBundle(project, store, { platform: "node", format: "cjs", requires: true }),
  },
  { name: "Vite, development", local: true, missing: ensureChromium, run: runViteServer },
  { name: "Vite, build", local: true, missing: ensureChromium, run: runViteBuild },
  { name: "Vitest", run: runVitest },
  { name: "Jest", run: runJest },
];

/**
 * Node with `import` and with `require`; both must give the same class.
 * @param {import("../../scripts/lib/runtimes.mjs").Major} major
 * @returns {Platform[]}
 */
function nodes(major) {
  const missing = async () => {
    const found = await ensureNode(major);
    return "problem" in found ? found.problem : undefined;
  };
  const runIn = async (/** @type {string} */ file) => {
    const found = await ensureNode(major);
    return ran("program" in found ? found.program : "", [file]);
  };
  return [
    {
      name: `Node ${major}, import`,
      missing,
      run: async (project, store) => runIn(await imports(project, `node-${major}.mjs`, store)),
    },
    {
      name: `Node ${major}, require`,
      missing,
      run: async (project, store) => runIn(await requires(project, `node-${major}.cjs`, store)),
    },
  ];
}

/** @param {string} program of `node_modules/.bin` */
async function missing(program) {
  const version = await capture(join(binaries, program), ["--version"]);
  return version === undefined ? `npm has installed no ${program} for this machine` : undefined;
}

const IMPORTS = `import * as edge from "${PACKAGE}";
import * as gate from "${PACKAGE}/gate";
import * as clients from "${PACKAGE}/clients";
import * as queue from "${PACKAGE}/queue";`;
const REQUIRES = `const edge = require("${PACKAGE}");
const gate = require("${PACKAGE}/gate");
const clients = require("${PACKAGE}/clients");
const queue = require("${PACKAGE}/queue");`;
const ENTRIES = "{ edge, gate, clients, queue }";

/**
 * A program that imports the package, and prints a `Ran`.
 * @param {Project} project
 * @param {string} name
 * @param {Store} store
 */
function imports(project, name, store) {
  return project.write(
    name,
    `import { createRequire } from "node:module";
    ${IMPORTS}
    import { assertPackage } from "./assertions.mjs";
    const required = createRequire(import.meta.url)("${PACKAGE}");
    const isOneClass = required.RateLimiter === edge.RateLimiter;
    const parts = await assertPackage(${ENTRIES}, ${JSON.stringify(store)});
    console.log(JSON.stringify({ parts, isOneClass }));
    `,
  );
}

/**
 * The same, with `require`.
 * @param {Project} project
 * @param {string} name
 * @param {Store} store
 */
function requires(project, name, store) {
  return project.write(
    name,
    `${REQUIRES}
    (async () => {
      const imported = await import("${PACKAGE}");
      const isOneClass = imported.RateLimiter === edge.RateLimiter;
      const { assertPackage } = await import("./assertions.mjs");
      const parts = await assertPackage(${ENTRIES}, ${JSON.stringify(store)});
      console.log(JSON.stringify({ parts, isOneClass }));
    })();
    `,
  );
}

/**
 * Runs a program to its end, whose last line is a `Ran`.
 * @param {string} program
 * @param {string[]} args
 * @param {import("../../scripts/lib/process.mjs").SpawnOptions} [options]
 * @returns {Promise<Ran>}
 */
async function ran(program, args, options) {
  const { text } = await run(program, args, { ...options, output: "quiet" });
  return JSON.parse(text.trim().split("\n").at(-1) ?? "");
}

/**
 * A Worker that runs the assertions when it is asked, in `wrangler dev`.
 * @param {Project} project
 * @param {Store} store
 * @returns {Promise<Ran>}
 */
async function runWorker(project, store) {
  await project.write(
    "worker.mjs",
    `${IMPORTS}
    import { assertPackage } from "./assertions.mjs";
    export default {
      async fetch() {
        try {
          return Response.json({ parts: await assertPackage(${ENTRIES}, ${JSON.stringify(store)}) });
        } catch (error) {
          return new Response(error.stack + "\\n" + error.cause?.stack, { status: 500 });
        }
      },
    };
    `,
  );
  const server = await startWrangler(project, "worker.mjs");
  try {
    const response = await fetch(server.ready[0][1]);
    const text = await response.text();
    if (!response.ok) throw new Error(`${text}\n${server.output()}`);
    return JSON.parse(text);
  } finally {
    await server.stop();
  }
}

/**
 * `wrangler dev` in the project.
 * @param {Project} project
 * @param {string} main the Worker's file
 * @param {object} [more] of the configuration
 */
async function startWrangler(project, main, more) {
  const name = main.replaceAll(/\W/g, "-");
  const config = { name, main, compatibility_date: "2026-10-01", ...more };
  const file = await project.write(`${name}.json`, JSON.stringify(config));
  return spawnServer(join(binaries, "wrangler"), ["dev", "--config", file, ...(await wranglerArguments())], {
    cwd: project.folder,
    env: { WRANGLER_SEND_METRICS: "false", CI: "1" },
    ready: /Ready on (http:\/\/\S+)/,
    name: "wrangler dev",
  });
}

/** Arguments of `wrangler dev` with ports that are free. */
export async function wranglerArguments() {
  return ["--port", `${await freePort()}`, "--inspector-port", `${await freePort()}`];
}

/** Arguments of `vite` with a port that is free. */
export async function viteArguments() {
  return ["--host", "127.0.0.1", "--port", `${await freePort()}`, "--strictPort", "--clearScreen", "false"];
}

/**
 * What pages run: it sets a global promise of a `Ran`.
 * @param {Project} project
 * @param {string} name
 */
function pageScript(project, name) {
  return project.write(
    name,
    `${IMPORTS}
    import { assertPackage } from "${join(project.folder, "assertions.mjs")}";
    globalThis.ran = assertPackage(${ENTRIES}).then((parts) => ({ parts }), (error) => ({ error: error.stack }));
    `,
  );
}

/**
 * Opens a page that runs `pageScript`.
 * @param {string} url
 * @returns {Promise<Ran>}
 */
async function runPage(url) {
  const browser = await startBrowser();
  try {
    const page = await browser.open(url);
    const ran = await page.run(async () => {
      const global = /** @type {any} */ (globalThis);
      for (let tries = 0; global.ran === undefined && tries < 1_000; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return (await global.ran) ?? { error: "the script of the page has not run" };
    });
    if (ran.error) throw new Error(ran.error);
    return ran;
  } finally {
    await browser.stop();
  }
}

const TYPES = /** @type {Record<string, string>} */ ({ ".html": "text/html", ".js": "text/javascript" });

/**
 * Serves a folder while something is done with its address.
 * @template T
 * @param {string} folder
 * @param {(url: string) => Promise<T>} use
 */
async function serving(folder, use) {
  const server = createServer(async (request, response) => {
    const path = request.url === "/" ? "/index.html" : (request.url ?? "");
    const file = await readFile(join(folder, path)).catch(() => undefined);
    response.writeHead(file ? 200 : 404, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
    response.end(file);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  try {
    return await use(`http://127.0.0.1:${port}/`);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

const PAGE = '<!doctype html><title>page</title><script type="module" src="./page.js"></script>';

/**
 * @param {Project} project
 * @returns {Promise<Ran>}
 */
async function runBrowserBundle(project) {
  const folder = dirname(await project.write("esbuild-browser/index.html", PAGE));
  const entry = await pageScript(project, "esbuild-browser.js");
  await esbuild.build({
    entryPoints: { page: entry },
    outdir: folder,
    bundle: true,
    minify: true,
    format: "esm",
    logLevel: "error",
  });
  return serving(folder, runPage);
}

/**
 * @typedef {object} Bundle
 * @property {"node" | "neutral"} platform
 * @property {"esm" | "cjs"} format
 * @property {boolean} [requires] whether its program requires the package
 * @property {string[]} [conditions]
 */

/**
 * A bundle, moved away from the installed package.
 * @param {Project} project
 * @param {Store} store
 * @param {Bundle} options
 * @returns {Promise<Ran>}
 */
export async function runBundle(project, store, { platform, format, requires = false, conditions = [] }) {
  const name = ["esbuild", platform, format, ...(requires ? ["require"] : []), ...conditions].join("-");
  const entry = await project.write(
    `${name}.${requires ? "cjs" : "mjs"}`,
    `${requires ? REQUIRES : IMPORTS}
    ${requires ? 'const { assertPackage } = require("./assertions.mjs");' : 'import { assertPackage } from "./assertions.mjs";'}
    assertPackage(${ENTRIES}, ${JSON.stringify(store)}).then((parts) => console.log(JSON.stringify({ parts })));
    `,
  );
  const outfile = join(scratchFolder(), `${name}.${format === "esm" ? "mjs" : "cjs"}`);
  const mainFields = platform === "neutral" ? { mainFields: ["module", "main"] } : {};
  await esbuild.build({
    ...{ entryPoints: [entry], outfile, bundle: true, platform, format, logLevel: "error" },
    ...{ ...mainFields, conditions, plugins: [importedModules] },
  });
  return ran(process.execPath, [outfile]);
}

/**
 * Stands for the platforms that load a module that is imported with `?module`.
 * @type {esbuild.Plugin}
 */
const importedModules = {
  name: "module",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /\.wasm\?module$/ }, ({ path, resolveDir }) => ({
      path: join(resolveDir, path.replace(/\?module$/, "")),
      namespace: "module",
    }));
    onLoad({ filter: /.*/, namespace: "module" }, ({ path }) => ({
      contents: `import { readFileSync } from "node:fs";
        export default new WebAssembly.Module(readFileSync(${JSON.stringify(path)}));`,
    }));
  },
};

/**
 * A project of Vite: a folder with a page and its script.
 * @param {Project} project
 * @param {string} name
 */
async function viteProject(project, name) {
  await pageScript(project, `${name}/page.js`);
  return dirname(await project.write(`${name}/index.html`, PAGE));
}

/**
 * @param {Project} project
 * @returns {Promise<Ran>}
 */
async function runViteServer(project) {
  const folder = await viteProject(project, "vite-dev");
  const server = await spawnServer(join(binaries, "vite"), await viteArguments(), {
    ...{ cwd: folder, env: { NO_COLOR: "1" }, ready: /Local:\s+(http:\S+)/, name: "vite" },
  });
  try {
    return await runPage(server.ready[0][1]);
  } finally {
    await server.stop();
  }
}

/**
 * @param {Project} project
 * @returns {Promise<Ran>}
 */
async function runViteBuild(project) {
  const folder = await viteProject(project, "vite-build");
  await run(join(binaries, "vite"), ["build", "--base", "./"], { cwd: folder, output: "quiet" });
  return serving(join(folder, "dist"), runPage);
}

/**
 * @param {Project} project
 * @param {Store} store
 * @returns {Promise<Ran>}
 */
async function runVitest(project, store) {
  await project.link("vitest");
  const file = await project.write(
    "vitest/package.test.js",
    `import { writeFile } from "node:fs/promises";
    import { test } from "vitest";
    ${IMPORTS}
    import { assertPackage } from "../assertions.mjs";
    test("package", async () => {
      const parts = await assertPackage(${ENTRIES}, ${JSON.stringify(store)});
      await writeFile(new URL("ran.json", import.meta.url), JSON.stringify({ parts }));
    });
    `,
  );
  await run(join(binaries, "vitest"), ["run"], { cwd: dirname(file), output: "quiet" });
  return JSON.parse(await readFile(join(dirname(file), "ran.json"), "utf8"));
}

/**
 * Jest as it is by default: CommonJS, with globals of its own.
 * @param {Project} project
 * @param {Store} store
 * @returns {Promise<Ran>}
 */
async function runJest(project, store) {
  const file = await project.write(
    "jest/package.test.cjs",
    `const { writeFileSync } = require("node:fs");
    ${REQUIRES}
    const { assertPackage } = require("./assertions.cjs");
    test("package", async () => {
      const parts = await assertPackage(${ENTRIES}, ${JSON.stringify(store)});
      writeFileSync(__dirname + "/ran.json", JSON.stringify({ parts }));
    });
    `,
  );
  await esbuild.build({
    entryPoints: [join(project.folder, "assertions.mjs")],
    outfile: join(dirname(file), "assertions.cjs"),
    format: "cjs",
  });
  await project.write(
    "jest/jest.config.cjs",
    'module.exports = { testMatch: ["**/*.test.cjs"], testTimeout: 60_000 };',
  );
  await run(join(binaries, "jest"), [], { cwd: dirname(file), output: "quiet" });
  return JSON.parse(await readFile(join(dirname(file), "ran.json"), "utf8"));
}
