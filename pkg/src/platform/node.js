/** What Node gives. Its `fetch` takes twice the processor time of its own HTTP client. */
import { MOST_BYTES, tooLarge } from "../rest.js";

export * from "./others.js";

/** @type {any} */
const { process } = globalThis;

/** How long a connection waits for the next request, in milliseconds. Servers keep it longer. */
const IDLE = 4_000;

/** @type {Record<string, { request: Function, agent: unknown }>} */
const clients = {};

/** @param {string} name */
function clientOf(name) {
  if (clients[name] === undefined) {
    const { request, Agent } = process.getBuiltinModule(`node:${name}`);
    clients[name] = { request, agent: new Agent({ keepAlive: true, timeout: IDLE }) };
  }
  return clients[name];
}

/** Under this name Node's `fetch` finds what sends its requests. */
const DISPATCHER = Symbol.for("undici.globalDispatcher.1");

/**
 * A `fetch` for the client's own requests; `undefined` if the platform's is to be used: an older
 * Node, a `fetch` that a program has replaced, or one that goes through a proxy.
 */
export function ownFetch() {
  if (typeof process?.getBuiltinModule !== "function" || process.versions.bun) return undefined;
  const isNodes = /internal\/deps\/undici|lazyUndici/.test(Function.prototype.toString.call(globalThis.fetch));
  const dispatcher = /** @type {any} */ (globalThis)[DISPATCHER]?.constructor.name ?? "Agent";
  return isNodes && dispatcher === "Agent" ? exchange : undefined;
}

/**
 * @param {string} url
 * @param {{ headers: Record<string, string>, body: string, signal: AbortSignal }} init of a `POST`
 * @returns {Promise<any>} as much of a response as the client reads
 */
function exchange(url, { headers, body, signal }) {
  return new Promise((resolve, reject) => {
    const { request, agent } = clientOf(url.startsWith("https:") ? "https" : "http");
    const length = String(new TextEncoder().encode(body).length);
    const sent = request(url, { method: "POST", agent, signal, headers: { ...headers, "content-length": length } });
    sent.on("error", reject);
    sent.on("response", (/** @type {any} */ response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (/** @type {string} */ chunk) => {
        text += chunk;
        if (text.length > MOST_BYTES) response.destroy(tooLarge());
      });
      response.on("error", reject);
      response.on("end", () => {
        const { statusCode: status, headers: received } = response;
        resolve({
          ok: status >= 200 && status < 300,
          status,
          headers: {
            has: (/** @type {string} */ name) => name in received,
            get: (/** @type {string} */ name) => received[name] ?? null,
          },
          body: null,
          text: async () => text,
        });
      });
    });
    sent.end(body);
  });
}
