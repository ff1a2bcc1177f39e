/**
 * Starts the servers around the gate, for `npm start` and for the tests: a Redis, and REST in front
 * of it.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort, root, spawnServer } from "./process.mjs";

/** @type {string[]} */
const scratchFolders = [];
process.on("exit", () => {
  for (const folder of scratchFolders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

/**
 * Makes a folder under `parent` that is removed when this process exits.
 * @param {string} [parent]
 */
export function scratchFolder(parent = tmpdir()) {
  const folder = mkdtempSync(join(parent, "omnitrade-edge-"));
  scratchFolders.push(folder);
  return folder;
}

/**
 * @typedef {object} Redis
 * @property {string} url `redis://127.0.0.1:port`
 * @property {number} port
 * @property {() => void} pause stops answering, but keeps the connections
 * @property {() => void} resume
 * @property {() => Promise<void>} kill ends it at once, and its data is lost
 * @property {() => Promise<void>} restart starts it on the same port, empty
 * @property {() => Promise<void>} stop stops it for good
 */

/**
 * Starts a separate `redis-server` on a loopback port, which stores nothing on disk.
 * @param {string[]} [options] more of its command line
 * @returns {Promise<Redis>}
 */
export async function startRedis(options = []) {
  const dir = scratchFolder();
  const listen = (/** @type {number} */ port) =>
    spawnServer(
      "redis-server",
      ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no", ...options],
      { ready: /Ready to accept connections/ },
    );
  let port = await freePort();
  let server = await listen(port).catch(async (error) => {
    // Another process took the port after it was found to be free.
    if (!/Address already in use/.test(`${error}`)) throw error;
    port = await freePort();
    return listen(port);
  });
  const kill = () => server.stop("SIGKILL");
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pause: () => void process.kill(server.pid, "SIGSTOP"),
    resume: () => void process.kill(server.pid, "SIGCONT"),
    kill,
    restart: async () => {
      await kill();
      server = await listen(port);
    },
    stop: async () => {
      await kill(); // It has nothing to save, and may be paused.
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Where `cargo build` puts the command line. */
export const commandLine = resolve(root, process.env.CARGO_TARGET_DIR ?? "target", "debug/omnitrade-edge");

/**
 * Serves Upstash's REST protocol over a Redis: `omnitrade-edge serve-redis`.
 * @param {{ redisUrl: string, token?: string, port?: number, program?: string }} options
 */
export async function startRestRedis({
  redisUrl,
  token = randomBytes(16).toString("hex"),
  port = 0,
  program = commandLine,
}) {
  const server = await spawnServer(
    program,
    ["serve-redis", "--redis", redisUrl, "--listen", `127.0.0.1:${port}`, "--token", token],
    { ready: /serving Upstash's REST protocol on (http:\S+)/, name: "omnitrade-edge serve-redis" },
  );
  return { url: server.ready[0][1], token, exited: server.exited, stop: () => server.stop() };
}

/**
 * Starts the sample API of `examples/origin`.
 * @param {string[]} [args] arguments in addition to the port
 */
export async function startSampleApi(args = []) {
  const server = await spawnServer(process.execPath, [join(root, "examples/origin/main.js"), "--port", "0", ...args], {
    ready: /sample API on (http:\S+)/,
    name: "the sample API",
  });
  return { url: server.ready[0][1], exited: server.exited, stop: () => server.stop() };
}

/**
 * Starts the trading bots of `examples/origin`, which run the jobs of a queue in a Redis.
 * @param {{ redisUrl: string, apiUrl: string, onLine?: (line: string) => void }} options `onLine`:
 *   gets each line of their log
 */
export async function startBots({ redisUrl, apiUrl, onLine }) {
  const program = [join(root, "examples/origin/bots.js"), "--redis", redisUrl, "--api", apiUrl];
  const server = await spawnServer(process.execPath, program, {
    ready: /bots wait for jobs/,
    name: "the bots",
    onLine,
  });
  return { exited: server.exited, stop: () => server.stop() };
}
