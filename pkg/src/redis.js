/** A client of Upstash's REST protocol. */
import { BATCHES, environment, ownFetch } from "omnitrade-edge:platform";
import { fromBase64 } from "./base64.js";
import { READS, SHA1, say } from "./engine.js";
import { EdgeError, misuse, serverError, statusError } from "./errors.js";
import { MOST_BYTES, REST, tooLarge } from "./rest.js";
import { duration, integer, optional, wellFormed } from "./settings.js";
import { aborted, LONGEST_TIMER, sleep } from "./timers.js";

/**
 * @import {
 *   CallOptions, RedisArg, RedisCommand, RedisOptions, RedisValue
 * } from "@omnitrade/edge"
 */

/** The wait before the first retry, in milliseconds. Each further one is twice as long. */
const FIRST_WAIT = 25;

/** What a runtime reports if there was no connection, so that nothing was sent. */
const NEVER_SENT = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT", "ConnectionRefused"];

/** The most characters that go out together. A script that is sent anew is long. */
const LONGEST_BATCH = 500_000;

/** @typedef {{ timeout?: number, batch?: boolean }} OwnOptions what limiter and cache ask for */

/**
 * A command on its way out.
 * @typedef {object} Batched
 * @property {string} json
 * @property {AbortSignal} signal
 * @property {(reply: any) => void} resolve
 * @property {(error: unknown) => void} reject
 */

/** @typedef {{ calls: Batched[], size: number }} Batch what goes out together */

/** One call, with all its attempts. */
class Call {
  mayHaveRun = false;
  #controller = new AbortController();
  #isLate = false;
  #end = Date.now();
  /** @type {AbortSignal[]} */
  #given = [];

  /**
   * @param {number} timeout
   * @param {(AbortSignal | undefined)[]} signals
   * @param {boolean} isBatched whether it may go out with others
   */
  constructor(timeout, signals, isBatched) {
    this.#end += timeout;
    this.isBatched = isBatched;
    const late = () => {
      this.#isLate = true;
      this.#controller.abort();
    };
    this.timer = setTimeout(late, Math.min(timeout, LONGEST_TIMER));
    for (const signal of signals) {
      if (signal === undefined) continue;
      this.#given.push(signal);
      if (signal.aborted) this.#controller.abort();
      signal.addEventListener("abort", this.#abort, { once: true });
    }
  }

  #abort = () => this.#controller.abort();

  get signal() {
    return this.#controller.signal;
  }

  get left() {
    return this.#end - Date.now();
  }

  /** The error of an exchange that brought no reply. @param {unknown} cause */
  failed(cause) {
    // A wait for the next attempt ends by the same signal as an attempt.
    if (cause instanceof EdgeError && !(this.#isLate && cause.code === "aborted")) return cause;
    if (this.#isLate) return new EdgeError("timeout", true, "the store did not answer in time");
    if (this.signal.aborted) return aborted(true);
    const code = /** @type {any} */ (cause)?.cause?.code ?? /** @type {any} */ (cause)?.code;
    const neverSent = NEVER_SENT.includes(code);
    return new EdgeError("unreachable", !neverSent, "the store cannot be reached");
  }

  end() {
    clearTimeout(this.timer);
    for (const signal of this.#given) signal.removeEventListener("abort", this.#abort);
  }
}

export class Redis {
  #url;
  #token;
  #timeout;
  #retries;
  #fetch;
  #signal;
  /** @type {string | undefined} */
  #syncToken;
  /** @type {Batch | undefined} */
  #batch;

  /** @param {RedisOptions} options */
  constructor(options) {
    const { url, token, timeout = 2_000, retries = 2, fetch, signal } = options ?? {};
    // A user, a password or a query would be lost, or be sent where they do not belong.
    if (typeof url !== "string" || !/^https?:\/\/[^\s?#@]+$/.test(url)) {
      throw misuse("url", "an address that starts with https:// or http://, without a user and a query");
    }
    if (typeof token !== "string" || !/^[!-~]+$/.test(token)) {
      throw misuse("token", "visible ASCII characters without spaces");
    }
    this.#url = url.replace(/\/+$/, "");
    this.#token = token;
    this.#timeout = duration(timeout, "timeout");
    this.#retries = integer(retries, "retries", 0, 100);
    this.#signal = optional(signal, "signal");
    // Called as a method, the platform's own refuses to run.
    this.#fetch = optional(fetch, "fetch");
  }

  /**
   * @param {any} [env]
   * @param {Partial<RedisOptions>} [options]
   */
  static fromEnv(env = environment(), options = {}) {
    const text = (/** @type {string} */ name) => {
      const value = env[name];
      return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
    };
    const pair = ["UPSTASH_REDIS_REST", "KV_REST_API"].find((each) => text(`${each}_URL`) ?? text(`${each}_TOKEN`));
    const url = options.url ?? text(`${pair}_URL`);
    const token = options.token ?? text(`${pair}_TOKEN`);
    const missing = (/** @type {string} */ name) =>
      new EdgeError("config", false, `${pair ?? "UPSTASH_REDIS_REST"}_${name}: expected a value, found nothing`);
    if (url === undefined) throw missing("URL");
    if (token === undefined) throw missing("TOKEN");
    return new Redis({ ...options, url, token });
  }

  /** What our gate needs to reach the store by itself. */
  [REST]() {
    return { url: this.#url, token: this.#token, fetch: this.#fetch };
  }

  /**
   * @template {RedisValue} [T=RedisValue]
   * @param {RedisCommand} command
   * @param {CallOptions} [options]
   * @returns {Promise<T>}
   */
  async command(command, options = {}) {
    const [words, idempotent] = this.#words(command, "command", options);
    return this.#within(options, async (call) => {
      const reply = await this.#send(call, "/", words, idempotent, nameOf(command));
      return /** @type {T} */ (result(reply, nameOf(command)));
    });
  }

  /**
   * @template {readonly RedisCommand[]} const C
   * @param {C} commands
   * @param {CallOptions} [options]
   */
  async pipeline(commands, options = {}) {
    return /** @type {any} */ (await this.#several("/pipeline", commands, options, (error) => error));
  }

  /**
   * @template {readonly RedisCommand[]} const C
   * @param {C} commands
   * @param {CallOptions} [options]
   */
  async multi(commands, options = {}) {
    const fail = (/** @type {EdgeError} */ error) => {
      // The others were carried out.
      throw new EdgeError(error.code, true, error.message, error.redisCode);
    };
    return /** @type {any} */ (await this.#several("/multi-exec", commands, options, fail));
  }

  /**
   * @template {RedisValue} [T=RedisValue]
   * @param {string} lua
   * @param {{ idempotent?: boolean }} [options]
   */
  script(lua, { idempotent = false } = {}) {
    if (typeof lua !== "string") throw misuse("script", "a text");
    const sha1 = /** @type {string} */ (say(SHA1, lua));
    return {
      sha1,
      /**
       * @param {readonly string[]} [keys]
       * @param {readonly RedisArg[]} [args]
       * @param {CallOptions} [options]
       * @returns {Promise<T>}
       */
      run: (keys = [], args = [], options = {}) =>
        /** @type {Promise<T>} */ (this.evaluate({ sha1, lua }, keys, args, { idempotent, ...options })),
    };
  }

  /**
   * @param {{ sha1: string, lua: string }} script
   * @param {readonly string[]} keys
   * @param {readonly RedisArg[]} args
   * @param {CallOptions} [options]
   * @returns {Promise<RedisValue>}
   */
  async evaluate(script, keys, args, options = {}) {
    let { sha1, lua } = script;
    const { idempotent = false } = options;
    let words = args.map((arg, n) => word(arg, `args[${n}]`));
    if (words.some(isBinary)) {
      lua = decoding(lua);
      sha1 = /** @type {string} */ (say(SHA1, lua));
      words = words.map(hex);
    }
    const tail = [keys.length, ...keys.map((key, n) => text(key, `keys[${n}]`)), ...words];
    return this.#within(options, async (call) => {
      const run = async (/** @type {string} */ name, /** @type {string} */ text) =>
        result(await this.#send(call, "/", [name, text, ...tail], idempotent, name), name);
      try {
        return await run("EVALSHA", sha1);
      } catch (error) {
        if (/** @type {EdgeError} */ (error).redisCode !== "NOSCRIPT") throw error;
        return run("EVAL", lua);
      }
    });
  }

  /**
   * @param {string} path
   * @param {readonly RedisCommand[]} commands
   * @param {CallOptions} options
   * @param {(error: EdgeError) => unknown} fail
   */
  async #several(path, commands, options, fail) {
    if (!Array.isArray(commands)) throw misuse("commands", "an array of commands");
    const each = commands.map((command, n) => this.#words(command, `commands[${n}]`, options));
    if (each.length === 0) return [];
    const idempotent = each.every(([, may]) => may);
    const body = each.map(([words]) => words);
    return this.#within(options, async (call) => {
      const reply = await this.#send(call, path, body, idempotent);
      if (!Array.isArray(reply)) {
        // One result would be that of a single command.
        if (typeof reply?.error === "string") throw serverError(reply.error);
        throw otherShape();
      }
      if (reply.length !== body.length) throw otherShape();
      return reply.map((each, n) => {
        try {
          return result(each, nameOf(commands[n]));
        } catch (error) {
          return fail(/** @type {EdgeError} */ (error));
        }
      });
    });
  }

  /**
   * The words of a command as JSON takes them, and whether it may run twice.
   * @param {RedisCommand} command
   * @param {string} field
   * @param {CallOptions} options
   * @returns {[unknown[], boolean]}
   */
  #words(command, field, { idempotent }) {
    if (!Array.isArray(command) || command.length === 0) throw misuse(field, "a name and its arguments, in an array");
    const [name, ...args] = command;
    text(name, `${field}[0]`);
    const words = args.map((arg, n) => word(arg, `${field}[${n + 1}]`));
    const may = idempotent ?? say(READS, name) !== undefined;
    if (!words.some(isBinary)) return [[name, ...words], may];
    // JSON has no octets that are not text.
    return [["EVAL", decoding("return redis.call(unpack(ARGV))"), 0, hex(name), ...words.map(hex)], may];
  }

  /**
   * @template T
   * @param {CallOptions & OwnOptions} options
   * @param {(call: Call) => Promise<T>} work
   */
  async #within({ signal, timeout = this.#timeout, batch = false }, work) {
    const call = new Call(timeout, [signal, this.#signal?.()], batch && BATCHES);
    try {
      if (call.signal.aborted) throw aborted(false);
      return await work(call);
    } catch (error) {
      const failed = call.failed(error);
      if (call.mayHaveRun && !failed.mayHaveRun) {
        throw new EdgeError(failed.code, true, failed.message, failed.redisCode);
      }
      throw failed;
    } finally {
      call.end();
    }
  }

  /**
   * Sends, and again as often as that is safe. Returns the reply as JSON.
   * @param {Call} call
   * @param {string} path
   * @param {unknown} body
   * @param {boolean} idempotent
   * @param {string} [command]
   */
  async #send(call, path, body, idempotent, command) {
    const json = JSON.stringify(body);
    for (let retry = 0; ; retry++) {
      try {
        return await (call.isBatched ? this.#together(call, json) : this.#exchange(call.signal, path, json, command));
      } catch (cause) {
        const error = call.failed(cause);
        if (retry >= this.#retries || call.signal.aborted || !error.retryIsSafe(idempotent)) throw error;
        const half = Math.min(FIRST_WAIT * 2 ** retry, 1_000) / 2;
        const wait = half + half * Math.random();
        // A wait that leaves no time for another attempt is pointless.
        if (call.left <= wait) throw error;
        call.mayHaveRun ||= error.mayHaveRun;
        await sleep(wait, call.signal);
      }
    }
  }

  /**
   * Sends a command with those that others send in the same turn: an exchange costs a server that
   * makes it more than what it brings.
   * @param {Call} call
   * @param {string} json
   */
  #together({ signal }, json) {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", reject, { once: true });
      let batch = this.#batch;
      if (batch === undefined || batch.size + json.length > LONGEST_BATCH) {
        batch = this.#batch = { calls: [], size: 0 };
        this.#flush(batch);
      }
      batch.calls.push({ json, signal, resolve, reject });
      batch.size += json.length;
    });
  }

  /** @param {Batch} whole */
  async #flush(whole) {
    // Who goes on after the same reply gets this far in a few steps.
    for (let step = 0; step < 2; step++) await undefined;
    if (this.#batch === whole) this.#batch = undefined;
    const batch = whole.calls.filter(({ signal }) => !signal.aborted);
    if (batch.length === 0) return;
    const isOne = batch.length === 1;
    const { signal } = isOne ? batch[0] : together(batch.map((each) => each.signal));
    try {
      const body = batch.map(({ json }) => json).join();
      const reply = await this.#exchange(signal, isOne ? "/" : "/pipeline", isOne ? body : `[${body}]`);
      const replies = isOne ? [reply] : reply;
      if (replies?.length !== batch.length)
        throw typeof reply?.error === "string" ? serverError(reply.error) : otherShape();
      batch.forEach(({ resolve }, n) => {
        resolve(replies[n]);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  /**
   * @param {AbortSignal} signal
   * @param {string} path
   * @param {string} body
   * @param {string} [command]
   */
  async #exchange(signal, path, body, command) {
    /** @type {Record<string, string>} */
    const headers = {
      authorization: `Bearer ${this.#token}`,
      "content-type": "application/json",
      "upstash-encoding": "base64",
    };
    if (this.#syncToken !== undefined) headers["upstash-sync-token"] = this.#syncToken;
    const fetch = this.#fetch ?? ownFetch() ?? globalThis.fetch;
    // A redirect would take the token elsewhere.
    const init = /** @type {const} */ ({ method: "POST", headers, body, redirect: "manual", signal });
    const response = await fetch(this.#url + path, init);
    const token = response.headers.get("upstash-sync-token");
    if (token !== null && token.length <= 1_024) this.#syncToken = token;
    const reply = await textOf(response);
    if (response.ok) return parsed(reply);
    throw statusError(response.status, saidIn(reply), command);
  }
}

/**
 * The body of a reply.
 * @param {Response} response
 */
async function textOf(response) {
  const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
  if (length !== null && !(Number(length) <= MOST_BYTES)) throw tooLarge();
  if (length !== null || response.body === null) return response.text();
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let reply = "";
  let total = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return reply + decoder.decode();
    total += value.length;
    if (total > MOST_BYTES) {
      reader.cancel().catch(() => {});
      throw tooLarge();
    }
    reply += decoder.decode(value, { stream: true });
  }
}

/**
 * What a server says in a reply that is an error.
 * @param {string} reply
 * @returns {string | undefined}
 */
function saidIn(reply) {
  try {
    const { error } = JSON.parse(reply);
    return typeof error === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}

const otherShape = () => new EdgeError("protocol", true, "the store's reply has another shape");

/** Strings and numbers of JSON. */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * Parses JSON. An integer that JavaScript cannot hold becomes `{ integer: text }`.
 * @param {string} reply
 */
function parsed(reply) {
  const whole = (/** @type {string} */ token) =>
    /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `{"integer":"${token}"}` : token;
  try {
    return JSON.parse(/\d{16}/.test(reply) ? reply.replace(TOKENS, whole) : reply);
  } catch {
    throw new EdgeError("protocol", true, "the store's reply is not JSON");
  }
}

/**
 * The result in `{ result }`; throws what is in `{ error }`.
 * @param {any} reply
 * @param {string} [command]
 */
function result(reply, command) {
  if (typeof reply?.error === "string") throw serverError(reply.error, command);
  if (reply === null || typeof reply !== "object" || !("result" in reply)) throw otherShape();
  return value(reply.result);
}

/**
 * @param {any} json
 * @returns {RedisValue}
 */
function value(json) {
  if (typeof json === "string") return json === "OK" ? json : decoded(json);
  if (json === null || typeof json === "number") return json;
  if (Array.isArray(json)) return json.map(value);
  if (typeof json?.integer === "string") return json.integer;
  if (json !== null && typeof json === "object") return result(json);
  throw otherShape();
}

/** @param {string} base64 */
function decoded(base64) {
  let bytes;
  try {
    bytes = fromBase64(base64);
  } catch {
    throw otherShape();
  }
  // Not all platforms refuse what is no base64.
  if (Math.ceil(bytes.length / 3) * 4 !== base64.length) throw otherShape();
  return textOrBytes(bytes);
}

const UTF_8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Text if it is UTF-8, else the octets.
 * @param {Uint8Array} bytes
 */
export function textOrBytes(bytes) {
  try {
    return UTF_8.decode(bytes);
  } catch {
    return new Uint8Array(bytes);
  }
}

/** @param {RedisCommand} command */
const nameOf = (command) => String(command[0]);

/**
 * An argument as JSON takes it: octets that are UTF-8 as text.
 * @param {unknown} arg
 * @param {string} field
 */
function word(arg, field) {
  if (typeof arg === "number" && Number.isFinite(arg)) return arg;
  if (arg instanceof Uint8Array) return textOrBytes(arg);
  return text(arg, field);
}

/**
 * @param {unknown} value
 * @param {string} field
 */
function text(value, field) {
  if (typeof value === "string" && wellFormed(value)) return value;
  throw misuse(field, "a well-formed string, a finite number or a Uint8Array");
}

/** @param {unknown} word */
const isBinary = (word) => word instanceof Uint8Array;

const UTF_8_ENCODER = new TextEncoder();

/** @param {string | number | Uint8Array} word */
function hex(word) {
  const bytes = word instanceof Uint8Array ? word : UTF_8_ENCODER.encode(String(word));
  let digits = "";
  for (const byte of bytes) digits += (byte < 16 ? "0" : "") + byte.toString(16);
  return digits;
}

/**
 * A script whose arguments arrive in hexadecimal.
 * @param {string} lua
 */
function decoding(lua) {
  const decode =
    "local ARGV = (function(all) local args = {} for n, arg in ipairs(all) do args[n] = string.gsub(arg, '..', " +
    "function(digits) return string.char(tonumber(digits, 16)) end) end return args end)(ARGV) ";
  const first = /^#!.*\n/.exec(lua)?.[0] ?? "";
  return first + decode + lua.slice(first.length);
}

/**
 * Aborted once all of these are.
 * @param {AbortSignal[]} signals
 */
function together(signals) {
  const controller = new AbortController();
  let waiting = signals.length;
  for (const signal of signals) {
    signal.addEventListener("abort", () => --waiting || controller.abort(), { once: true });
  }
  return controller;
}
