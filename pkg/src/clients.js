/** The entry `./clients`: other Redis clients as stores. */

import { unlessAborted } from "./abort.js";
import { EdgeError, misuse, serverError, storeError } from "./errors.js";
import { Redis } from "./redis.js";
import { aborted } from "./timers.js";

/** @import { CallOptions, RedisArg, RedisCommand, RedisValue, Store } from "@omnitrade/edge" */

/**
 * A client of another library: sends the words of one command, and returns the reply.
 * @typedef {(words: (string | Uint8Array)[]) => Promise<unknown>} Send
 */

/** @param {Parameters<typeof import("@omnitrade/edge/clients").fromIoredis>[0]} client */
export function fromIoredis(client) {
  if (typeof client?.callBuffer !== "function") throw misuse("client", "a client of ioredis");
  // The declaration leaves open what else it takes.
  const { callBuffer } = /** @type {{ callBuffer: (...words: unknown[]) => Promise<unknown> }} */ (client);
  return storeOver((words) => callBuffer.apply(client, words));
}

/**
 * How node-redis hands over the types of replies, by the first octets that they have in Redis's
 * protocol: what may hold any octets as octets, and numbers as texts, because a number of
 * JavaScript does not hold all of them.
 */
const AS_SENT = {
  typeMapping: Object.fromEntries(
    [
      ...["$", "+", "="].map((type) => /** @type {const} */ ([type, globalThis.Buffer])),
      ...[":", ",", "("].map((type) => /** @type {const} */ ([type, String])),
      ...["%", "~"].map((type) => /** @type {const} */ ([type, Array])),
    ].map(([type, make]) => [type.charCodeAt(0), make]),
  ),
};

/** @param {Parameters<typeof import("@omnitrade/edge/clients").fromNodeRedis>[0]} client */
export function fromNodeRedis(client) {
  if (typeof client?.sendCommand !== "function") throw misuse("client", "a client of node-redis");
  const { sendCommand } = /** @type {{ sendCommand(words: unknown, options: object): Promise<unknown> }} */ (client);
  return storeOver((words) => sendCommand.call(client, words, AS_SENT));
}

/**
 * The address and the token of a client of `@upstash/redis`, in a client of our own.
 * @param {object} upstash
 * @returns {Store}
 */
export function fromUpstash(upstash) {
  const { baseUrl, headers } = /** @type {any} */ (upstash)?.client ?? {};
  const token = /^Bearer (\S+)$/.exec(headers?.authorization ?? headers?.Authorization ?? "")?.[1];
  if (typeof baseUrl !== "string" || token === undefined) {
    throw misuse("client", "a client of @upstash/redis with a URL and a token");
  }
  return new Redis({ url: baseUrl, token });
}

/**
 * @param {Send} send
 * @returns {Store}
 */
function storeOver(send) {
  /**
   * @param {readonly unknown[]} command
   * @param {AbortSignal | undefined} signal
   */
  const call = async (command, signal) => {
    if (signal?.aborted) throw aborted(false);
    const words = command.map(wordOf);
    const name = String(words[0]);
    try {
      // A client may throw at once.
      const reply = await unlessAborted(Promise.resolve(send(words)), signal, () => aborted(true));
      return replyOf(reply, name);
    } catch (error) {
      throw errorOf(error, name);
    }
  };
  return {
    /** @param {RedisCommand} command @param {CallOptions} [options] */
    async command(command, { signal } = {}) {
      if (!Array.isArray(command) || command.length === 0) {
        throw misuse("command", "a name and its arguments, in an array");
      }
      return call(command, signal);
    },
    /**
     * @param {{ sha1: string, lua: string }} script
     * @param {readonly string[]} keys
     * @param {readonly RedisArg[]} args
     * @param {CallOptions} [options]
     */
    async evaluate({ sha1, lua }, keys, args, { signal } = {}) {
      const rest = [keys.length, ...keys, ...args];
      try {
        return await call(["EVALSHA", sha1, ...rest], signal);
      } catch (error) {
        if (/** @type {EdgeError} */ (error).redisCode !== "NOSCRIPT") throw error;
        return call(["EVAL", lua, ...rest], signal);
      }
    },
  };
}

/**
 * A word of a command, as all clients take it.
 * @param {unknown} arg
 * @param {number} n
 */
function wordOf(arg, n) {
  if (typeof arg === "string") return arg;
  if (typeof arg === "number" && Number.isFinite(arg)) return String(arg);
  // node-redis takes only what is a `Buffer`.
  if (arg instanceof Uint8Array) return Buffer.from(arg.buffer, arg.byteOffset, arg.byteLength);
  throw misuse(`command[${n}]`, "a text, a number or a `Uint8Array`");
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A reply as this package has it: a text if it is one, else octets; integers as numbers as long as
 * these are exact.
 * @param {unknown} reply
 * @param {string} command
 * @returns {RedisValue}
 */
function replyOf(reply, command) {
  if (reply === null || reply === undefined) return null;
  if (typeof reply === "number" || typeof reply === "bigint") {
    if (typeof reply === "number" && Number.isInteger(reply) && !Number.isSafeInteger(reply)) {
      const message = "an integer beyond 2^53 has lost digits: create the client with `stringNumbers: true`";
      throw new EdgeError("protocol", true, `${message} (ioredis)`);
    }
    return integerOf(String(reply));
  }
  if (typeof reply === "boolean") return reply ? 1 : 0;
  // What has octets comes as octets, so a text is a number.
  if (typeof reply === "string") return integerOf(reply);
  if (reply instanceof Uint8Array) {
    try {
      return UTF8.decode(reply);
    } catch {
      return /** @type {any} */ (new Uint8Array(reply));
    }
  }
  if (reply instanceof Error) throw errorOf(reply, command);
  if (reply instanceof Map) return [...reply].flat().map((each) => replyOf(each, command));
  if (reply instanceof Set || Array.isArray(reply)) return [...reply].map((each) => replyOf(each, command));
  // A map, where the client was told to make objects of them.
  if (typeof reply === "object") return Object.entries(reply).flatMap(([name, each]) => [name, replyOf(each, command)]);
  throw new EdgeError("protocol", true, "the reply is not one of Redis's types");
}

/** @param {string} text */
function integerOf(text) {
  return /^-?(?:0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : text;
}

/** How the texts of Redis's errors begin: with a code. No error of a client does. */
const SAID = /^[A-Z][A-Z]+(?: |$)/;

/** Errors of clients that have not sent the command. */
const NEVER_SENT = [
  "The client is closed",
  "The client is offline",
  "Stream isn't writeable and enableOfflineQueue options is false",
];

/**
 * @param {any} error
 * @param {string} command
 * @returns {EdgeError}
 */
function errorOf(error, command) {
  const text = String(error?.message ?? error);
  if (error?.name === "EdgeError") return error;
  if (error?.name === "ReplyError" || SAID.test(text)) return serverError(text, command);
  if (text === "Command timed out" || error?.name === "TimeoutError") {
    return new EdgeError("timeout", true, "the store did not answer in time");
  }
  if (NEVER_SENT.includes(text)) return new EdgeError("unreachable", false, "the store cannot be reached");
  return storeError(error);
}
