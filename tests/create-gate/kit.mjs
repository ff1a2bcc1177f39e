/** What the tests of `createGate` in Node share. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after } from "node:test";
import { createGate, EdgeError } from "../support/package.mjs";

/** @typedef {import("../../pkg/types/gate.js").GateConfig} GateConfig */
/** @typedef {import("../../pkg/types/gate.js").GateOptions} GateOptions */

/**
 * @typedef {(
 *   request: import("node:http").IncomingMessage,
 *   response: import("node:http").ServerResponse,
 * ) => unknown} Handler
 */

/**
 * An origin that answers as `answer` says, until the tests of the file are over.
 * @param {Handler} answer
 */
export async function startOrigin(answer) {
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
}

/**
 * A gate in front of a function in this process, which answers with its own count.
 * @param {Partial<GateConfig>} config
 * @param {GateOptions} [options]
 */
export function gateBeforeCounter(config, options) {
  /** @type {Request[]} */
  const requests = [];
  const gate = createGate(/** @type {GateConfig} */ ({ origin: "https://origin.example/v1", ...config }), {
    fetch: async (request) => {
      requests.push(request);
      return new Response(`answer ${requests.length}`, { headers: { "content-type": "text/plain" } });
    },
    ...options,
  });
  return { gate, requests };
}

/**
 * A request of a client with an address.
 * @param {string} path
 * @param {RequestInit & { duplex?: "half", ip?: string }} [init]
 */
export function request(path, { ip = "192.0.2.1", headers, ...init } = {}) {
  return new Request(`https://gate.example${path}`, { ...init, headers: { "cf-connecting-ip": ip, ...headers } });
}

/**
 * The gate's member of `Cache-Status`, without its name.
 * @param {Response} response
 */
export function cacheStatus(response) {
  const members = response.headers.get("cache-status")?.split(", ") ?? [];
  return members.at(-1)?.replace(/^omnitrade-edge; /, "");
}

/**
 * An error as a store rejects with. Programs do not make such errors, so their declaration has no
 * constructor.
 * @param {import("../../pkg/types/index.js").ErrorCode} code
 * @param {boolean} mayHaveRun
 * @param {string} message
 * @returns {import("../../pkg/types/index.js").EdgeError}
 */
export function edgeError(code, mayHaveRun, message) {
  return new /** @type {any} */ (EdgeError)(code, mayHaveRun, message);
}

/**
 * What a promise rejects with.
 * @param {Promise<unknown>} promise
 * @returns {Promise<import("../../pkg/types/index.js").EdgeError>}
 */
export async function rejection(promise) {
  const error = await promise.then(
    (value) => assert.fail(`it did not fail, but is ${JSON.stringify(value)}`),
    (error) => error,
  );
  assert.ok(error instanceof EdgeError, `${error}`);
  return error;
}
