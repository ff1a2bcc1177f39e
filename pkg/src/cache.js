/** The value cache: asks the module, loads, and makes the calls of the store that it wants. */
import { waitUntil as keepAlive } from "omnitrade-edge:platform";
import { fromBase64, toBase64 } from "./base64.js";
import { CACHE, engine, holds, lined, numbers, ORIGIN, put, seed, text } from "./engine.js";
import { EdgeError, misuse, storeError } from "./errors.js";
import { duration, integer, keyPrefix, optional, quietly, store as storeOf, wellFormed } from "./settings.js";
import { bounded, ScriptCaller, TIMEOUT } from "./store.js";
import { LONGEST_TIMER, sleep } from "./timers.js";

/**
 * @import {
 *   CacheOptions, Entry, EntryOptions, LoadContext, RedisValue, Store
 * } from "@omnitrade/edge"
 */

/** The verbs of `value`: see `wasm/src/sdk/values.rs`. */
const [RECALL, ASK, UNASKED, EPOCH_KEYS, READ_KEYS, FAILED, UNSTORED, HEARD] = [0, 1, 2, 3, 4, 5, 6, 7];

/** What may be done with a value, as the module tells it. */
const FRESH = 1;
const WHILE_REVALIDATED = 2;

/** Who is to load a value, as the module tells it. */
const [THIS, ANOTHER] = [1, 2];

/** While another process loads, the store is asked again after so many milliseconds. */
const FIRST_PAUSE = 20;
const LONGEST_PAUSE = 250;

const LOAD_TIMEOUT = 10_000;
const L1_SIZE = 16 << 20;
const MOST_TAGS = 8;
const LONGEST = 30 * 86_400_000;

/**
 * A value as text or octets, of which each caller makes a copy of its own. Neither: `undefined`.
 * @typedef {{ json?: string, bytes?: Uint8Array }} Content
 */

/**
 * What one load brings to all who wait for it. It is data alone, because no request may use what
 * belongs to another. `isOwn`: it was loaded now, and not read.
 * @typedef {{ content: Content, isOwn?: boolean } | { error: unknown }} Outcome
 */

/**
 * A load under way, and until when it is waited for.
 * @typedef {{ outcome: Promise<Outcome>, until: number }} Flight
 */

/** @typedef {(context: LoadContext) => unknown} Load */

/**
 * A value that was found, and until when it may be used if it cannot be loaded.
 * @typedef {{ content: Content, age: number, until: number }} Found
 */

/**
 * @typedef {{ ttl: number, swr: number, sie: number, tags: string[] }} Rules in milliseconds;
 *   `sie` -1: none
 */

export class Cache {
  #cache;
  #script;
  #timeout;
  #loadTimeout;
  #waitUntil;
  #now;
  #onError;
  /** @type {Map<string, Flight>} */
  #flights = new Map();

  /** @param {CacheOptions} [options] */
  constructor(options = {}) {
    const prefix = keyPrefix(options.keyPrefix);
    const size = options.l1Size === undefined ? L1_SIZE : integer(options.l1Size, "l1Size", 0, 2 ** 31);
    const store = storeOf(options.redis);
    this.#timeout = options.timeout === undefined ? TIMEOUT : duration(options.timeout, "timeout");
    this.#loadTimeout = options.loadTimeout === undefined ? LOAD_TIMEOUT : duration(options.loadTimeout, "loadTimeout");
    this.#waitUntil = optional(options.waitUntil, "waitUntil") ?? keepAlive;
    this.#now = optional(options.now, "now") ?? Date.now;
    this.#onError = optional(options.onError, "onError");
    this.#script = new ScriptCaller(store, this.#timeout, false);
    const timeout = store === undefined ? 0 : this.#timeout;
    this.#cache = holds(this, CACHE, put(prefix).cache_new(size, timeout, this.#loadTimeout, seed()));
  }

  /**
   * @template T
   * @param {string} key
   * @param {EntryOptions & { schema?: any }} options
   * @param {(context: LoadContext) => T | Promise<T>} load
   * @returns {Promise<T>}
   */
  async getOrSet(key, options, load) {
    keyOf(key);
    const rules = rulesOf(options);
    if (typeof load !== "function") throw misuse("load", "a function");
    const { schema } = options;

    const known = this.#value(RECALL, key);
    if (known === FRESH || known === WHILE_REVALIDATED) {
      const read = await validated(this.#found().content, schema);
      if (read.valid) {
        if (known === WHILE_REVALIDATED) this.#refresh(key, rules, load);
        return /** @type {T} */ (read.value);
      }
    }
    /** Whether what others load is of no use here. */
    let isAlone = false;
    for (;;) {
      let flight = this.#flights.get(key);
      const leads = flight === undefined || isAlone || Date.now() >= flight.until;
      if (flight === undefined || leads) {
        flight = this.#start(key, (own) => this.#lead(key, rules, schema, load, false, own));
      }
      const outcome = await waited(flight, leads);
      // The one who loads was stopped by its platform, or is late.
      if (outcome === undefined) continue;
      if ("error" in outcome) throw outcome.error;
      if (leads && outcome.isOwn) return copy(outcome.content);
      const read = await validated(outcome.content, schema);
      if (read.valid) return /** @type {T} */ (read.value);
      isAlone = true;
    }
  }

  /**
   * @template [T=unknown]
   * @param {string} key
   * @returns {Promise<Entry<T> | undefined>}
   */
  async get(key) {
    keyOf(key);
    let { usable, found } = this.#told(this.#value(RECALL, key));
    if (found === undefined && this.#script.store !== undefined) ({ usable, found } = await this.#read(key));
    return found && { value: copy(found.content), age: found.age, fresh: usable === FRESH };
  }

  /**
   * @template T
   * @param {string} key
   * @param {T} value
   * @param {EntryOptions} options
   */
  async set(key, value, options) {
    keyOf(key);
    const rules = rulesOf(options);
    const content = contentOf(value);
    if (content === undefined) throw misuse("value", "JSON or a Uint8Array, not undefined");
    const asked = this.#now();
    const epochs = await this.#epochs(key, rules.tags);
    const origin = put(lined(rules.tags), epochs).origin(this.#cache, 0, asked);
    this.#keep(key, content, rules, origin);
    await this.#write();
  }

  /** @param {string} key */
  async delete(key) {
    await this.purge({ keys: [key] });
  }

  /** @param {{ tags?: readonly string[], keys?: readonly string[] }} what */
  async purge(what) {
    if (what === null || typeof what !== "object" || "tags" in what === "keys" in what) {
      throw misuse("purge", "{ tags } or { keys }");
    }
    const { tags = [], keys = [] } = what;
    tagsOf(tags, Number.POSITIVE_INFINITY);
    if (!Array.isArray(keys)) throw misuse("keys", "an array of texts");
    for (const key of keys) keyOf(key);
    put(lined(tags), lined(keys)).purge(this.#cache);
    await this.#write();
  }

  /**
   * Loads anew what is stale, if nobody does so yet.
   * @param {string} key
   * @param {Rules} rules
   * @param {Load} load
   */
  #refresh(key, rules, load) {
    const flight = this.#flights.get(key);
    if (flight !== undefined && Date.now() < flight.until) return;
    this.#start(key, (own) => this.#lead(key, rules, undefined, load, true, own));
  }

  /**
   * @param {string} key
   * @param {(flight: Flight) => Promise<Outcome>} lead
   * @returns {Flight}
   */
  #start(key, lead) {
    /** @type {any} */
    const flight = {};
    this.#restart(flight);
    this.#flights.set(key, flight);
    flight.outcome = lead(flight).catch((error) => ({ error }));
    const end = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    this.#later(flight.outcome.then(end));
    return flight;
  }

  /** A load begins, or the wait for that of another process. @param {Flight} flight */
  #restart(flight) {
    flight.until = Date.now() + this.#loadTimeout + 2 * this.#timeout;
  }

  /**
   * @param {string} key
   * @param {Rules} rules
   * @param {any} schema
   * @param {Load} load
   * @param {boolean} background
   * @param {Flight} flight
   * @returns {Promise<Outcome>}
   */
  async #lead(key, rules, schema, load, background, flight) {
    const end = Date.now() + this.#loadTimeout;
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      const call = this.#value(ASK, key, rules.tags);
      const told = call === 0 ? this.#told(this.#value(UNASKED, key)) : await this.#ask(call);
      const { loader, origin, isOther } = told;
      const readsOther = isOther && loader === THIS;
      let { usable, found: known } = readsOther ? await this.#read(key) : told;
      if (known !== undefined && !(await validated(known.content, schema)).valid) known = undefined;

      if (known !== undefined && usable === FRESH) {
        engine().give_back(ORIGIN, origin);
        if (readsOther) this.#release(key);
        return known;
      }
      if (loader === ANOTHER && (background || Date.now() + pause < end)) {
        engine().give_back(ORIGIN, origin);
        // Of those that may be used meanwhile, nobody needs to know at once.
        if (known !== undefined && usable === WHILE_REVALIDATED) {
          if (background) await sleep(LONGEST_PAUSE);
          return known;
        }
        await sleep(pause);
        continue;
      }
      const own = { key, rules, load, origin, known, background };
      if (known !== undefined && usable === WHILE_REVALIDATED && !background) {
        this.#start(key, () => this.#loadOrServe({ ...own, background: true }));
        return known;
      }
      this.#restart(flight);
      return this.#loadOrServe(own);
    }
  }

  /**
   * Loads, and serves what is known if that fails.
   * @param {LoadOptions} options
   * @returns {Promise<Outcome>}
   */
  async #loadOrServe(options) {
    const { known } = options;
    try {
      return { content: await this.#load(options), isOwn: true };
    } catch (error) {
      // A ceiling is one for slow loads too.
      return known !== undefined && this.#now() < known.until ? known : { error };
    }
  }

  /**
   * @typedef {object} LoadOptions
   * @property {string} key
   * @property {Rules} rules
   * @property {Load} load
   * @property {number} origin what was known before, by its number
   * @property {Found | undefined} known
   * @property {boolean} background
   */

  /**
   * @param {LoadOptions} options
   * @returns {Promise<Content>}
   */
  async #load({ key, rules, load, origin, known, background }) {
    const controller = new AbortController();
    /** @type {Rules | false} */
    let kept = rules;
    /** @type {Promise<unknown> | undefined} */
    let retagged;
    const retag = () => {
      if (!kept || put(lined(kept.tags)).origin_is_for(origin)) return;
      const { tags } = kept;
      // One after the other: the last one counts.
      retagged = Promise.resolve(retagged).then(() => this.#retag(key, tags, origin));
    };
    let isOver = false;
    const context = {
      stale: known && copy(known.content),
      background,
      signal: controller.signal,
      keep: (/** @type {Partial<EntryOptions> | false} */ options) => {
        if (isOver) return;
        kept = options !== false && rulesOf({ ...optionsOf(kept || rules), ...options });
        retag();
      },
    };
    let content;
    try {
      content = contentOf(await this.#loaded(() => load(context), controller));
      await retagged;
      retag();
      await retagged;
    } catch (error) {
      engine().give_back(ORIGIN, origin);
      this.#release(key);
      throw error;
    } finally {
      isOver = true;
    }
    if (content === undefined || !kept) {
      engine().give_back(ORIGIN, origin);
      this.#value(UNSTORED, key);
    } else {
      this.#keep(key, content, kept, origin);
    }
    this.#later(this.#write());
    return content ?? {};
  }

  /**
   * What a load brings within the time that it has.
   * @param {() => unknown} load
   * @param {AbortController} controller
   */
  #loaded(load, controller) {
    return new Promise((resolve, reject) => {
      const late = () => {
        controller.abort();
        reject(new EdgeError("timeout", true, `load: expected to settle within ${this.#loadTimeout} ms`));
      };
      const timer = setTimeout(late, Math.min(this.#loadTimeout, LONGEST_TIMER));
      const settled = Promise.resolve().then(load);
      settled.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  /**
   * Learns the epochs of tags that were named while the value was made.
   * @param {string} key
   * @param {string[]} tags
   * @param {number} origin
   */
  async #retag(key, tags, origin) {
    const asked = this.#now();
    const epochs = await this.#epochs(key, tags).catch(() => "");
    put(lined(tags), epochs).origin(this.#cache, origin, asked);
  }

  /**
   * The epochs of a key and these tags, as the module reads them.
   * @param {string} key
   * @param {string[]} tags
   */
  async #epochs(key, tags) {
    if (this.#script.store === undefined) return "";
    this.#value(EPOCH_KEYS, key, tags);
    return this.#valuesUnder(text());
  }

  /**
   * Reads a value whatever its tags.
   * @param {string} key
   */
  async #read(key) {
    const purges = this.#value(READ_KEYS, key);
    const peeked = (/** @type {string} */ read, /** @type {string} */ epochs) =>
      put(key, read, epochs).peeked(this.#cache, purges, this.#now());
    try {
      if (purges >= 0) {
        const read = await this.#valuesUnder(text());
        let said = peeked(read, "");
        if (said < 0) said = peeked(read, await this.#valuesUnder(text()));
        return this.#told(said);
      }
    } catch {
      // It was told.
    }
    const told = this.#told(this.#value(UNASKED, key));
    engine().give_back(ORIGIN, told.origin);
    return told;
  }

  /**
   * What lies under some keys, as the module reads it.
   * @param {string | undefined} keys in lines
   */
  async #valuesUnder(keys = "") {
    return lined(await this.#command(["MGET", ...keys.split("\n")]));
  }

  /**
   * Does something with the value under a key, as the module describes.
   * @param {number} verb
   * @param {string} key
   * @param {string[]} [tags]
   * @returns {number}
   */
  #value(verb, key, tags) {
    return put(key, tags === undefined ? "" : lined(tags)).value(this.#cache, verb, this.#now());
  }

  /**
   * @param {string} key
   * @param {Content} content
   * @param {Rules} rules
   * @param {number} origin
   */
  #keep(key, { json, bytes }, { ttl, swr, sie, tags }, origin) {
    const written = json ?? toBase64(/** @type {Uint8Array} */ (bytes));
    const isOctets = Number(json === undefined);
    put(key, written, lined(tags)).keep(this.#cache, isOctets, ttl, swr, sie, origin, this.#now());
  }

  /** A load is not to be waited for any more. @param {string} key */
  #release(key) {
    this.#value(FAILED, key);
    this.#later(this.#write());
  }

  /** Runs the commands that the module has left. */
  async #write() {
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
   * Work that nobody waits for. Its failure was told already.
   * @param {Promise<unknown>} work
   */
  #later(work) {
    const quiet = work.catch(() => {});
    quietly(() => this.#waitUntil(quiet));
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
      return await bounded(store, this.#timeout, undefined, call, isShort);
    } catch (cause) {
      const error = storeError(cause);
      outcome = `!${error.code}`;
      throw this.#failed(error);
    } finally {
      this.#value(HEARD, outcome);
    }
  }

  /**
   * Makes a call, and tells the module its reply.
   * @param {number} call
   */
  async #ask(call) {
    engine().call(call);
    const [reply, error] = await this.#script.run(text());
    if (error) this.#failed(error);
    return this.#told(put(reply).answer(call, this.#now()));
  }

  /**
   * What the module says about a value. Read at once: the next answer overwrites this one.
   * @param {number} said
   */
  #told(said) {
    const usable = said % 4;
    const found = usable === 0 ? undefined : this.#found();
    const [loader, isOther] = [Math.floor(said / 4) % 4, Math.floor(said / 16) % 2 === 1];
    return { usable, loader, isOther, origin: Math.floor(said / 32), found };
  }

  /** The value that the module has found. @returns {Found} */
  #found() {
    const found = text() ?? "";
    const at = engine().results() / 8;
    const [isOctets, age, left] = numbers().subarray(at, at + 3);
    const content = isOctets === 1 ? { bytes: fromBase64(found) } : { json: found };
    return { content, age, until: this.#now() + left };
  }

  /** @param {EdgeError} error */
  #failed(error) {
    quietly(() => this.#onError?.(error));
    return error;
  }
}

/**
 * Waits for a load. `undefined` if it takes longer than a load may.
 * @param {Flight} flight
 * @param {boolean} leads whether this caller started it
 * @returns {Promise<Outcome | undefined>}
 */
async function waited({ outcome, until }, leads) {
  if (leads) return outcome;
  // A timer of this request's own: the other request may be gone.
  const waiting = new AbortController();
  const late = sleep(Math.max(until - Date.now(), 0), waiting.signal).catch(() => {});
  const first = await Promise.race([outcome, late]);
  waiting.abort();
  return first ?? undefined;
}

/**
 * A copy of a value for one caller.
 * @param {Content} content
 * @returns {any}
 */
function copy({ json, bytes }) {
  if (json !== undefined) return JSON.parse(json);
  return bytes && new Uint8Array(bytes);
}

/**
 * A value as the cache holds it; `undefined` if it is none.
 * @param {unknown} value
 * @returns {Content | undefined}
 */
function contentOf(value) {
  if (value instanceof Uint8Array) return { bytes: new Uint8Array(value) };
  if (value === undefined) return undefined;
  let json;
  try {
    json = JSON.stringify(value);
  } catch {
    // A circle, or a BigInt.
  }
  if (json === undefined) throw misuse("value", "JSON or a Uint8Array");
  return { json };
}

/**
 * What a schema makes of a value that was read. What does not parse is none either, nor is one by
 * which the schema is thrown.
 * @param {Content} content
 * @param {any} schema
 * @returns {Promise<{ valid: boolean, value?: unknown }>}
 */
async function validated(content, schema) {
  try {
    const value = copy(content);
    if (schema === undefined) return { valid: true, value };
    const result = await schema["~standard"].validate(value);
    return { valid: !result.issues, value: result.value };
  } catch {
    return { valid: false };
  }
}

/** @param {unknown} key */
function keyOf(key) {
  if (typeof key !== "string" || !wellFormed(key)) throw misuse("key", "a well-formed text");
}

/**
 * @param {EntryOptions} options
 * @returns {Rules}
 */
function rulesOf(options) {
  if (options === null || typeof options !== "object") throw misuse("options", "an object with ttl");
  const { staleWhileRevalidate: swr = 0, staleIfError: sie, tags = [] } = options;
  return {
    ttl: Math.min(duration(options.ttl, "ttl", 0), LONGEST),
    swr: Math.min(duration(swr, "staleWhileRevalidate", 0), LONGEST),
    sie: sie === undefined ? -1 : Math.min(duration(sie, "staleIfError", 0), LONGEST),
    tags: tagsOf(tags, MOST_TAGS),
  };
}

/**
 * @param {Rules} rules
 * @returns {EntryOptions}
 */
function optionsOf({ ttl, swr, sie, tags }) {
  return { ttl, staleWhileRevalidate: swr, staleIfError: sie < 0 ? undefined : sie, tags };
}

/**
 * @param {readonly string[]} tags
 * @param {number} most
 */
function tagsOf(tags, most) {
  const fits = Array.isArray(tags) && tags.length <= most && tags.every((tag) => typeof tag === "string" && tag);
  if (!fits) throw misuse("tags", `${most === MOST_TAGS ? `at most ${MOST_TAGS} ` : ""}texts that are not empty`);
  return [...tags];
}
