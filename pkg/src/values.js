/** The values of one cache: asks the module, and makes the calls of the store that it wants. */
import { fromBase64, toBase64 } from "./base64.js";
import { CACHE, engine, holds, lined, numbers, ORIGIN, put, seed, text } from "./engine.js";
import { storeError } from "./errors.js";
import { duration, integer, keyPrefix, optional, quietly, store as storeOf } from "./settings.js";
import { bounded, ScriptCaller, TIMEOUT } from "./store.js";

/**
 * @import { CacheOptions, EdgeError, RedisValue, Store } from "@omnitrade/edge"
 * @import { Content } from "./content.js"
 * @import { Rules } from "./entry-options.js"
 * @import { Flight } from "./flights.js"
 */

/** The verbs of `value`: see `wasm/src/sdk/values.rs`. */
const RECALL = 0;
const ASK = 1;
const UNASKED = 2;
const EPOCH_KEYS = 3;
const READ_KEYS = 4;
const FAILED = 5;
const UNSTORED = 6;
const HEARD = 7;
const WANT = 8;

/** What may be done with a value, as the module tells it. */
export const FRESH = 1;
export const WHILE_REVALIDATED = 2;

/** Who is to load a value, as the module tells it. */
export const NOBODY = 0;
export const THIS = 1;
export const ANOTHER = 2;

const LOAD_TIMEOUT = 10_000;
const L1_SIZE = 16 << 20;

/**
 * A value that was found, its tags, and until when it may be used if it cannot be loaded.
 * @typedef {{ content: Content, age: number, until: number, tags: string[] }} Found
 */

/**
 * What is known of a value.
 * @typedef {object} Told
 * @property {number} usable what may be done with it
 * @property {number} loader who is to load it
 * @property {boolean} isOther whether there may be one of other tags
 * @property {number} origin what is known before a load, by its number
 * @property {Found} [found] it
 * @property {number} [asked] when the store was asked, if it has told
 */

export class Values {
  #cache;
  #script;
  #onError;
  #later;

  /**
   * @param {CacheOptions} options
   * @param {(work: Promise<unknown>) => void} later takes work that nobody waits for
   */
  constructor(options, later) {
    const prefix = keyPrefix(options.keyPrefix);
    const size = options.l1Size === undefined ? L1_SIZE : integer(options.l1Size, "l1Size", 0, 2 ** 31);
    const store = storeOf(options.redis);
    this.timeout = options.timeout === undefined ? TIMEOUT : duration(options.timeout, "timeout");
    this.loadTimeout = options.loadTimeout === undefined ? LOAD_TIMEOUT : duration(options.loadTimeout, "loadTimeout");
    this.now = optional(options.now, "now") ?? Date.now;
    this.#onError = optional(options.onError, "onError");
    this.#later = later;
    this.#script = new ScriptCaller(store, this.timeout, false);
    const timeout = store ? this.timeout : 0;
    this.#cache = holds(this, CACHE, put(prefix).cache_new(size, timeout, this.loadTimeout, seed()));
  }

  /** What memory allows to be done with a value. @param {string} key */
  recall(key) {
    return this.#value(RECALL, key);
  }

  /** The value that was found last. Take it at once. @returns {Found} */
  found() {
    const found = text() ?? "";
    const at = engine().results() / 8;
    const [isOctets, age, left] = numbers().subarray(at, at + 3);
    const content = isOctets === 1 ? { bytes: fromBase64(found) } : { json: found };
    return { content, age, until: this.now() + left, tags: [] };
  }

  /**
   * Asks the store about a value, and who is to load it.
   * @param {string} key
   * @param {string[]} tags
   * @param {boolean} isWanted whether it is to be loaded even if it is fresh
   * @param {Flight} flight
   * @returns {Promise<Told>}
   */
  async ask(key, tags, isWanted, flight) {
    const asked = this.now();
    const call = this.#value(isWanted ? WANT : ASK, key, lined(tags));
    if (call === 0) return this.#told(this.#value(UNASKED, key), flight);
    engine().call(call);
    const [reply, error] = await this.#script.run(text());
    if (error) this.#failed(error);
    return this.#told(put(reply).answer(call, this.now()), flight, error ? undefined : asked);
  }

  /**
   * Reads a value whatever its tags. While the store fails, memory decides.
   * @param {string} key
   * @param {Flight} [flight]
   * @returns {Promise<Told>}
   */
  async read(key, flight) {
    const asked = this.now();
    const since = this.#value(READ_KEYS, key);
    const peeked = (/** @type {string} */ read, /** @type {string} */ epochs) =>
      put(key, read, epochs).peeked(this.#cache, since, this.now());
    try {
      if (since >= 0) {
        const read = await this.#under(text());
        let said = peeked(read, "");
        if (said < 0) said = peeked(read, await this.#under(text()));
        return this.#told(said, flight, asked);
      }
    } catch {
      // It was told.
    }
    return this.#told(this.#value(UNASKED, key), flight);
  }

  /**
   * What the module says about a value. Read at once: the next answer overwrites this one.
   * @param {number} said
   * @param {Flight} [flight]
   * @param {number} [asked]
   * @returns {Told}
   */
  #told(said, flight, asked) {
    const usable = said & 3;
    const found = usable ? this.found() : undefined;
    if (found) for (let tag = text(); tag !== undefined; tag = text()) found.tags.push(tag);
    // A purge may come before anybody has read this.
    if (flight) flight.tags = found?.tags ?? [];
    return { usable, loader: (said >> 2) & 3, isOther: (said & 16) > 0, origin: said >> 5, found, asked };
  }

  /**
   * Learns the epochs of a key and some tags. The result adds them to what is known before a load,
   * by its number, and returns that; 0: to nothing.
   * @param {string} key
   * @param {string[]} tags
   * @param {boolean} [isLate] whether a value is made meanwhile: if the store fails, the epochs are
   *   not known
   */
  async epochs(key, tags, isLate) {
    const [asked, since] = [this.now(), this.#value(EPOCH_KEYS, key, lined(tags))];
    let epochs = "";
    try {
      if (this.#script.store) epochs = await this.#under(text());
    } catch (error) {
      if (!isLate) throw error;
    }
    return (/** @type {number} */ origin) => put(lined(tags), epochs).origin(this.#cache, origin, since, asked);
  }

  /**
   * Whether the epochs of these tags are not known, though those of others are.
   * @param {number} origin
   * @param {string[]} tags
   */
  lacks(origin, tags) {
    return Boolean(put(lined(tags)).origin_lacks(origin));
  }

  /** What was known before a load is not needed any more. @param {number} origin */
  giveBack(origin) {
    engine().give_back(ORIGIN, origin);
  }

  /**
   * Keeps a value that was made now; what is to be written is left for `write`. Returns whether it
   * was purged since it was begun, and so is not kept.
   * @param {string} key
   * @param {Content} content
   * @param {Rules} rules
   * @param {number} origin
   */
  keep(key, { json, bytes }, { ttl, swr, sie, tags }, origin) {
    const written = json ?? toBase64(/** @type {Uint8Array} */ (bytes));
    const isOctets = Number(json === undefined);
    return Boolean(put(key, written, lined(tags)).keep(this.#cache, isOctets, ttl, swr, sie, origin, this.now()));
  }

  /** A load brought nothing that is kept. @param {string} key */
  unstored(key) {
    this.#value(UNSTORED, key);
  }

  /** A load is not to be waited for any more. @param {string} key */
  release(key) {
    this.#value(FAILED, key);
    this.writeLater();
  }

  /**
   * @param {readonly string[]} tags
   * @param {readonly string[]} keys
   */
  async purge(tags, keys) {
    const begun = put(lined(tags), lined(keys)).purge(this.#cache);
    try {
      await this.write();
    } finally {
      engine().purged(this.#cache, begun);
    }
  }

  /** The same, while nobody waits. */
  writeLater() {
    this.#later(this.write());
  }

  /** Runs the commands that the module has left. */
  async write() {
    /** @type {[string, ...(string | number)[]][]} */
    const commands = [];
    for (;;) {
      const ttl = engine().next_write();
      if (ttl < 0) break;
      const keys = text() ?? "";
      commands.push(ttl > 0 ? ["SET", keys, text() ?? "", "PX", ttl] : ["DEL", ...keys.split("\n")]);
    }
    await Promise.all(commands.map((command) => this.#command(command)));
  }

  /**
   * Does something with the value under a key, as the module describes.
   * @param {number} verb
   * @param {string} key
   * @param {string} [tags] as the module reads them
   * @returns {number}
   */
  #value(verb, key, tags = "") {
    return put(key, tags).value(this.#cache, verb, this.now());
  }

  /**
   * What lies under some keys, as the module reads it.
   * @param {string | undefined} keys in lines
   */
  async #under(keys = "") {
    return lined(await this.#command(["MGET", ...keys.split("\n")]));
  }

  /**
   * @param {[string, ...(string | number)[]]} command
   * @returns {Promise<RedisValue>}
   */
  async #command(command) {
    const store = /** @type {Store} */ (this.#script.store);
    let outcome = lined(null);
    try {
      // Each of these commands may run twice.
      const call = (/** @type {object} */ options) =>
        store.command(command, { ...options, idempotent: command[0] !== "SET" });
      // Purges are many short commands with short replies.
      const isShort = command[0] !== "MGET" && String(command[2]).length < 100;
      return await bounded(store, this.timeout, undefined, call, isShort);
    } catch (cause) {
      const error = storeError(cause);
      outcome = `!${error.code}`;
      throw this.#failed(error);
    } finally {
      this.#value(HEARD, outcome);
    }
  }

  /** @param {EdgeError} error */
  #failed(error) {
    quietly(() => this.#onError?.(error));
    return error;
  }
}
