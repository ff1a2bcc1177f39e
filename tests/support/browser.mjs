/** Pages in a headless Chromium, for tests of what the browser lets their scripts read. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { spawnServer } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";

/** With these the browser sends no requests of its own. */
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-extensions",
  "--disable-sync",
  "--no-proxy-server",
];

/**
 * A page that is open in the browser.
 * @typedef {object} Page
 * @property {string} origin the page's scheme, host and port
 * @property {<A extends any[], R>(run: (...args: A) => R, ...args: A) => Promise<Awaited<R>>} run
 *   runs a function in the page. The function sees only its arguments. They and its result are
 *   JSON.
 * @property {() => Promise<string>} text the text that the page shows
 * @property {(method: string, params?: Record<string, unknown>) => Promise<any>} call
 *   calls a method of the Chrome DevTools Protocol for this page
 */

/**
 * Starts the browser that the variable `CHROMIUM` names (without it, `chromium`), with an empty
 * profile.
 * @returns {Promise<{ open: (address?: string) => Promise<Page>, stop: () => Promise<void> }>}
 *   `open` opens the page at this address, or an empty one, each on a port of its own and so of
 *   another origin
 */
export async function startBrowser() {
  const browser = await spawnServer(
    process.env.CHROMIUM ?? "chromium",
    [...FLAGS, "--remote-debugging-port=0", `--user-data-dir=${scratchFolder()}`, "about:blank"],
    { name: "chromium", ready: /^DevTools listening on (ws:\S+)$/ },
  );
  const protocol = await connect(browser.ready[0][1]);
  /** @type {import("node:http").Server[]} */
  const servers = [];
  const serveEmptyPage = async () => {
    const server = createServer((_, response) => {
      response.setHeader("content-type", "text/html").end("<!doctype html><title>page</title>");
    });
    servers.push(server.listen(0, "127.0.0.1"));
    await once(server, "listening");
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    return `http://127.0.0.1:${port}`;
  };
  const open = async (/** @type {string | undefined} */ address) => {
    const url = address ?? (await serveEmptyPage());
    const { origin } = new URL(url);

    const { targetId } = await protocol.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await protocol.call("Target.attachToTarget", { targetId, flatten: true });
    await protocol.call("Page.enable", {}, sessionId);
    const loaded = protocol.next("Page.loadEventFired", sessionId);
    await protocol.call("Page.navigate", { url }, sessionId);
    await loaded;

    /** @type {Page["run"]} */
    const run = async (script, ...args) => {
      const expression = `(${script})(...${JSON.stringify(args)})`;
      const options = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await protocol.call("Runtime.evaluate", options, sessionId);
      assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
      return result.value;
    };
    const text = () => run(() => /** @type {any} */ (globalThis).document.body.innerText);
    const call = (/** @type {string} */ method, params = {}) => protocol.call(method, params, sessionId);
    return { origin, run, text, call };
  };
  const stop = async () => {
    protocol.close();
    await browser.stop("SIGKILL");
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  };
  return { open, stop };
}

/**
 * The Chrome DevTools Protocol: calls, and events by name.
 * @param {string} url
 */
async function connect(url) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  /** @type {Map<number | string, (message: any) => void>} */
  const waiting = new Map();
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(String(data));
    const key = message.id ?? `${message.method} ${message.sessionId}`;
    waiting.get(key)?.(message);
    waiting.delete(key);
  });
  let calls = 0;
  /** @param {string} method @param {Record<string, unknown>} params @param {string} [sessionId] */
  const call = async (method, params, sessionId) => {
    calls++;
    const id = calls;
    const answered = new Promise((resolve) => void waiting.set(id, resolve));
    socket.send(JSON.stringify({ id, method, params, sessionId }));
    const { result, error } = await answered;
    assert.equal(error, undefined, `${method}: ${JSON.stringify(error)}`);
    return result;
  };
  const next = (/** @type {string} */ event, /** @type {string} */ sessionId) =>
    new Promise((resolve) => void waiting.set(`${event} ${sessionId}`, resolve));
  return { call, next, close: () => socket.close() };
}
