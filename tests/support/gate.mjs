/**
 * Runs the built Worker inside workerd, for the tests.
 *
 * It uses workerd itself and not wrangler's test harness, because the harness sends the Worker's
 * fetches through Node, which opens no WebSocket, decodes bodies and adds its own headers. Here the
 * connections to Redis and to the origin are the Worker's own.
 *
 * The variable `EDGE_FORM` chooses which form of the gate the tests are for:
 *
 * - `worker`, or none: the built Worker;
 * - `create-gate`: a Worker that makes its gate by `createGate` of the npm package;
 * - `create-gate-over-store`: the same, whose Redis is a store of two functions.
 */
import { cpSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { root, spawnServer } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";
import { readWranglerConfig } from "../../scripts/lib/wrangler.mjs";
import { buildCreateGate } from "./create-gate.mjs";

/** The form of the gate that the tests are for. */
export const FORM = process.env.EDGE_FORM || "worker";

/**
 * @typedef {object} Isolate one running copy of the Worker, with a memory of its own
 * @property {string} url where it listens, without a slash at the end
 * @property {(path: string, init?: RequestInit) => Promise<Response>} fetch
 *   asks for a path of it; follows no redirect
 */

/**
 * @typedef {Isolate & {
 *   isolates: Isolate[],
 *   pid: number,
 *   times: { spawned: number, listening: number },
 *   logs: () => string[],
 *   clearLogs: () => void,
 *   stop: (signal?: NodeJS.Signals) => Promise<void>,
 * }} Gate the first isolate's address and `fetch`, all isolates, their process, when it was spawned
 *   and when it listened by `performance.now()`, and what the Worker logged
 */

/**
 * Starts the Worker. Without `cf-connecting-ip` among a request's headers it sees no client
 * address.
 * @param {object} options
 * @param {unknown} [options.edge] the `EDGE` binding; a text is bound as a text; absent: no binding
 * @param {Record<string, unknown>} [options.vars] the other bindings, texts or JSON: the store's
 *   address and token, …
 * @param {number} [options.isolates] how many copies of the Worker run side by side
 * @param {string} [options.script] another Worker than the built one; from the root of the
 *   repository. The modules beside it, `*.wasm`, take the place of the built one
 * @param {string[]} [options.v8Flags] for the JavaScript engine
 * @returns {Promise<Gate>}
 */
export async function startGate({ edge, vars = {}, isolates = 1, script, v8Flags = [] }) {
  const { compatibility_date, compatibility_flags } = readWranglerConfig();
  const folder = scratchFolder();
  /** @type {Record<string, unknown>} */
  const env = { ...(edge === undefined ? {} : { EDGE: edge }), ...vars };
  if (FORM === "worker" || script !== undefined) {
    const built = resolve(root, script ?? "build/index.js");
    cpSync(built, join(folder, "index.js"));
    const own = readdirSync(dirname(built)).filter((name) => name.endsWith(".wasm"));
    if (own.length === 0) cpSync(join(root, "build/index_bg.wasm"), join(folder, "index_bg.wasm"));
    for (const name of own) cpSync(join(dirname(built), name), join(folder, name));
  } else {
    cpSync(await buildCreateGate("worker"), folder, { recursive: true });
    if (FORM === "create-gate-over-store") env.THROUGH_A_STORE = "yes";
  }
  // The first one is the Worker.
  const modules = ["index.js", ...readdirSync(folder).filter((name) => name.endsWith(".wasm"))].map((name) => {
    const kind = name.endsWith(".wasm") ? "wasm" : "esModule";
    return `(name = "${name}", ${kind} = embed "${name}")`;
  });

  const bindings = Object.entries(env).map(([name, value]) => {
    const isText = typeof value === "string";
    writeFileSync(join(folder, name), isText ? value : JSON.stringify(value));
    return `(name = "${name}", ${isText ? "text" : "json"} = embed "${name}")`;
  });
  const names = Array.from({ length: isolates }, (_, index) => `isolate${index}`);
  writeFileSync(
    join(folder, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    ${names.map((name) => `(name = "${name}", worker = .gate),`).join("\n    ")}
    (name = "internet", network = (
      allow = ["public", "private"], tlsOptions = (trustBrowserCas = true)
    )),
  ],
  v8Flags = ${JSON.stringify(v8Flags)},
  sockets = [
    ${names.map((name) => `(name = "${name}", address = "127.0.0.1:0", http = (), service = "${name}"),`).join("\n    ")}
  ],
);
const gate :Workerd.Worker = (
  modules = [
    ${modules.join(",\n    ")},
  ],
  bindings = [${bindings.join(", ")}],
  compatibilityDate = "${compatibility_date}",
  compatibilityFlags = ${JSON.stringify(compatibility_flags)},
  globalOutbound = "internet",
);
`,
  );

  /** @type {string[]} */
  let logs = [];
  const spawned = performance.now();
  const server = await spawnServer(
    join(root, "node_modules/.bin/workerd"),
    ["serve", "--control-fd=1", join(folder, "config.capnp")],
    {
      name: "workerd",
      ready: /^\{"event":"listen","socket":"isolate(\d+)","port":(\d+)\}$/,
      count: isolates,
      onLine: (line) => line.startsWith('{"event":"listen"') || logs.push(line),
    },
  );
  const times = { spawned, listening: performance.now() };
  const running = server.ready
    .toSorted((a, b) => Number(a[1]) - Number(b[1]))
    .map(([, , port]) => isolateAt(`http://127.0.0.1:${port}`));
  return {
    ...running[0],
    isolates: running,
    pid: server.pid,
    times,
    logs: () => logs,
    clearLogs: () => {
      logs = [];
    },
    stop: server.stop,
  };
}

/**
 * @param {string} url
 * @returns {Isolate}
 */
function isolateAt(url) {
  return { url, fetch: (path, init) => fetch(`${url}${path}`, { redirect: "manual", ...init }) };
}
