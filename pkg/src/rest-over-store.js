/**
 * Upstash's REST protocol over a store that speaks another one: it stands in for the `fetch` of the
 * gate's own client, whose requests go nowhere else.
 */

import { unlessAborted } from "./abort.js";

/** @import { RedisArg, RedisCommand, RedisValue, Store } from "@omnitrade/edge" */

/** The address that the gate's client is given. No request ever leaves for it. */
export const ADDRESS = "http://store.invalid";

/** @typedef {{ result: RedisValue } | { error: string }} Answer to one command */

/**
 * @param {Store} store
 * @returns {(path: string, init: RequestInit) => Promise<Response>}
 */
export function restOver(store) {
  /** The sources of the scripts that were sent, by their digests. @type {Map<string, string>} */
  const sources = new Map();

  /**
   * @param {[string, ...RedisArg[]]} command
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<Answer>}
   */
  const run = async ([name, ...args], signal) => {
    if (name !== "EVALSHA" && name !== "EVAL") return { result: await store.command([name, ...args], { signal }) };
    const [script, count, ...rest] = args;
    const sha1 = name === "EVALSHA" ? String(script) : await digest(String(script));
    if (name === "EVAL") sources.set(sha1, String(script));
    const lua = sources.get(sha1);
    // The next request brings the source. The store itself has not been asked.
    if (lua === undefined) return { error: "NOSCRIPT No matching script." };
    const keys = rest.slice(0, Number(count)).map(String);
    return { result: await store.evaluate({ sha1, lua }, keys, rest.slice(Number(count)), { signal }) };
  };

  return async (path, { body, signal }) => {
    const given = JSON.parse(String(body));
    try {
      const one = (/** @type {[string, ...RedisArg[]]} */ command) => run(command, signal ?? undefined);
      /** @type {Promise<Answer | Answer[]>} */
      const work = path === "/pipeline" ? several(given, one) : one(given);
      return reply(200, await unlessAborted(work, signal));
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      return reply(400, report(error));
    }
  };
}

/**
 * Each answer by itself. Only what an answer to one command cannot say fails the whole.
 * @param {[string, ...RedisArg[]][]} commands
 * @param {(command: [string, ...RedisArg[]]) => Promise<Answer>} run
 */
async function several(commands, run) {
  const all = await Promise.allSettled(commands.map(run));
  const mayHaveRun = all.some((each) => each.status === "fulfilled" || report(each.reason).may_have_run !== false);
  return all.map((each) => {
    if (each.status === "fulfilled") return each.value;
    const { code, ...said } = report(each.reason);
    if (code !== undefined && code !== "command") throw new Failed({ ...said, code, may_have_run: mayHaveRun });
    return { error: textOf(each.reason) };
  });
}

/** A failure of a whole pipeline. */
class Failed extends Error {
  /** @param {Report} said */
  constructor(said) {
    super(said.error);
    this.said = said;
  }
}

/** @typedef {{ error: string, code?: string, may_have_run?: boolean }} Report */

/**
 * What the gate's client reads of a failure. An error of this package says by itself what it is.
 * Another one that begins with one of Redis's codes is what Redis has said.
 * @param {any} error
 * @returns {Report}
 */
function report(error) {
  if (error instanceof Failed) return error.said;
  const text = String(error?.message ?? error);
  if (error?.name !== "EdgeError") {
    if (SAID.test(text)) return { error: text };
    return { error: "as the client reports", code: "unreachable", may_have_run: true };
  }
  // To the gate, whose deadline ended the call, it was late.
  const code = error.code === "aborted" ? "timeout" : error.code;
  return { error: text, code, may_have_run: error.mayHaveRun !== false };
}

/** How a text of Redis begins. */
const SAID = /^[A-Z][A-Z]+ /;

/**
 * Redis's text in an error of a command. Errors of this package have more words before it.
 * @param {any} error
 */
function textOf({ message, redisCode }) {
  const text = String(message);
  const at = redisCode === undefined ? -1 : text.indexOf(redisCode);
  return at < 0 ? text : text.slice(at);
}

/**
 * As much of a response as the client reads, whose body is at hand.
 * @param {number} status
 * @param {unknown} body
 */
function reply(status, body) {
  const bytes = new TextEncoder().encode(JSON.stringify(body, asText));
  const headers = new Headers({ "content-length": String(bytes.length) });
  return /** @type {Response} */ (
    /** @type {unknown} */ ({ status, headers, body: null, arrayBuffer: async () => bytes })
  );
}

/**
 * The gate stores texts only, so what is no text was not stored by it.
 * @param {string} _
 * @param {unknown} value
 */
function asText(_, value) {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : value;
}

/** @param {string} text */
async function digest(text) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
