/**
 * What the tests of the package's entry `.` share: the built package, clocks, and stores that fail
 * when they are told to.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after } from "node:test";

export { choices, seed, times } from "../support/random.mjs";
export { costOf, since, startStore, startTap, until } from "../worker/kit.mjs";

/** @import { Store, RedisCommand, RedisArg, LimitResult } from "@omnitrade/edge" */

const built = "../../pkg/dist/index.js";
/** @type {typeof import("@omnitrade/edge")} */
export const edge = await import(built);

/** A time that no test depends on: some day in 2027. */
export const T0 = 1_800_000_000_000;

/**
 * A clock that stands still until it is moved.
 * @param {number} [at]
 */
export function clock(at = T0) {
  const time = {
    at,
    now: () => time.at,
    /** @param {number} ms */
    pass: (ms) => {
      time.at += ms;
    },
  };
  return time;
}

/** A prefix of keys that no other test has. */
export const freshPrefix = () => `t${randomUUID().slice(0, 8)}`;

/**
 * What a promise rejects with.
 * @param {Promise<unknown> | (() => unknown)} promise
 * @returns {Promise<any>}
 */
export async function rejection(promise) {
  try {
    await (typeof promise === "function" ? promise() : promise);
  } catch (error) {
    return error;
  }
  return assert.fail("it did not fail");
}

/**
 * Checks that something fails with an error of the package's, and returns it.
 * @param {Promise<unknown> | (() => unknown)} promise
 * @param {string} code
 * @param {boolean} [mayHaveRun]
 * @returns {Promise<InstanceType<typeof edge.EdgeError>>}
 */
export async function fails(promise, code, mayHaveRun) {
  const error = await rejection(promise);
  assert.ok(error instanceof edge.EdgeError, `${error?.stack}`);
  assert.equal(error.code, code, error.message);
  if (mayHaveRun !== undefined) assert.equal(error.mayHaveRun, mayHaveRun, error.message);
  return error;
}

/**
 * An error as the package makes it.
 * @param {string} code
 * @param {boolean} mayHaveRun
 */
export function edgeError(code, mayHaveRun) {
  return new /** @type {any} */ (edge.EdgeError)(code, mayHaveRun, "made to fail");
}

/**
 * A REST server that answers as told: what it gets is the body, parsed.
 * @param {(body: any, request: import("node:http").IncomingMessage) => unknown} answer what it
 *   answers, as JSON; or `{ status, text, headers }`
 */
export async function startFakeRest(answer) {
  const seen = /** @type {{ path: string, body: any, headers: Record<string, any> }[]} */ ([]);
  const server = createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = JSON.parse(Buffer.concat(pieces).toString());
    seen.push({ path: request.url ?? "", body, headers: request.headers });
    const said = /** @type {any} */ (await answer(body, request));
    if (said === undefined) return;
    const { status = 200, text = JSON.stringify(said), headers = {} } = said?.text === undefined ? {} : said;
    response.writeHead(status, headers).end(text);
  });
  server.keepAliveTimeout = 65_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    server.close();
    server.closeAllConnections();
  };
  after(close);
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}`, token: "fake-token-of-this-test", seen, close };
}

/**
 * @typedef {object} Tapped
 * @property {number} calls
 * @property {{ name: string, words: readonly RedisArg[] }[]} seen
 * @property {(words: readonly RedisArg[]) => unknown} before what a call waits for
 * @property {(reply: any, words: readonly RedisArg[]) => unknown} after takes a reply, and returns
 *   another one
 */

/**
 * A store in front of another one, which counts calls, and can hold them up or fail.
 * @param {Store} store
 * @returns {Store & Tapped}
 */
export function tapped(store) {
  /** @type {any} */
  const tap = {
    calls: 0,
    seen: [],
    before: () => {},
    after: (/** @type {unknown} */ reply) => reply,
    /**
     * @param {RedisCommand} command
     * @param {import("@omnitrade/edge").CallOptions} [options]
     * @returns {Promise<any>}
     */
    command: async (command, options) => {
      tap.calls++;
      tap.seen.push({ name: command[0], words: command.slice(1) });
      await tap.before(command);
      return tap.after(await store.command(command, options), command);
    },
    /** @type {Store["evaluate"]} */
    evaluate: async (script, keys, args, options) => {
      tap.calls++;
      const words = [...keys, ...args];
      tap.seen.push({ name: "EVALSHA", words });
      await tap.before(words);
      return /** @type {any} */ (tap.after(await store.evaluate(script, keys, args, options), words));
    },
  };
  return tap;
}

/** A store that never answers, but hears of aborts. @type {Store} */
export const hangingStore = {
  command: (_, options) => hang(options?.signal),
  evaluate: (_, _keys, _args, options) => hang(options?.signal),
};

/** @param {AbortSignal} [signal] @returns {Promise<any>} */
function hang(signal) {
  return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new Error("aborted"))));
}

/**
 * A promise that is settled from outside.
 * @template [T=void]
 */
export function gate() {
  /** @type {(value: T) => void} */
  let open = () => {};
  /** @type {(reason: unknown) => void} */
  let fail = () => {};
  const promise = new Promise((/** @type {(value: T) => void} */ resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}

/** Lets everything run that waits for nothing outside of this process. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));
