/** The value cache: what memory and the store have, and one load for all who want the rest. */
import { waitUntil as keepAlive } from "omnitrade-edge:platform";
import { contentOf, copy, validated } from "./content.js";
import { keyOf, rulesOf, tagsOf } from "./entry-options.js";
import { misuse } from "./errors.js";
import { Flights, waited } from "./flights.js";
import { optional, quietly } from "./settings.js";
import { sleep, within } from "./timers.js";
import { ANOTHER, FRESH, NOBODY, THIS, Values, WHILE_REVALIDATED } from "./values.js";

/**
 * @import { CacheOptions, Entry, EntryOptions, LoadContext } from "@omnitrade/edge"
 * @import { Content } from "./content.js"
 * @import { Rules } from "./entry-options.js"
 * @import { Flight, Outcome } from "./flights.js"
 * @import { Told } from "./values.js"
 */

/** While another process loads, the store is asked again after so many milliseconds. */
const FIRST_PAUSE = 20;
const LONGEST_PAUSE = 250;

/** How long what is known of purges elsewhere is believed, in milliseconds. */
const BELIEVED = 1_000;

/** @typedef {(context: LoadContext) => unknown} Load */

/**
 * What a caller wants.
 * @typedef {object} Want
 * @property {string} key
 * @property {EntryOptions & { schema?: any }} options
 * @property {Rules} rules
 * @property {Load} load
 * @property {boolean} background whether nobody waits for it
 * @property {boolean} isAlone whether what others load is of no use
 */

/**
 * `leased`: until when others leave the load to this process.
 * @typedef {Told & { leased: number }} Looked
 */

export class Cache {
  #values;
  #flights;

  /** @param {CacheOptions} [options] */
  constructor(options = {}) {
    const waitUntil = optional(options.waitUntil, "waitUntil") ?? keepAlive;
    /** Work that nobody waits for. Its failure was told already. @param {Promise<unknown>} work */
    const later = (work) => {
      const quiet = work.catch(() => {});
      quietly(() => waitUntil(quiet));
    };
    this.#values = new Values(options, later);
    this.#flights = new Flights(this.#values.loadTimeout + 2 * this.#values.timeout, later);
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
    const [values, flights] = [this.#values, this.#flights];
    const start = (/** @type {boolean} */ background) => {
      // The caller may change its own.
      const want = { key, options: { ...options }, rules, load, isAlone, background };
      return flights.start(key, (own) => this.#lead(own, want));
    };
    let isAlone = false;

    const known = values.recall(key);
    if (known === FRESH || known === WHILE_REVALIDATED) {
      const found = values.found();
      const read = await validated(found.content, schema);
      if (read.valid && values.now() < found.until) {
        if (known === WHILE_REVALIDATED && !flights.get(key)) {
          start(true);
        }
        return /** @type {T} */ (read.value);
      }
    }
    const started = values.now();
    for (;;) {
      const other = isAlone ? undefined : flights.get(key);
      const flight = other ?? start(false);
      const outcome = await waited(flight, !other);
      // The one who loads was stopped by its platform, or is late.
      if (!outcome) continue;
      if ("error" in outcome) throw outcome.error;
      if (!other && "isOwn" in outcome) return copy(outcome.content);
      // It may have been purged before this call began: the store is asked.
      if (flight.isVoid || /** @type {number} */ (flight.asked) + BELIEVED < started) continue;
      const read = await validated(outcome.content, schema);
      // It may have grown too old meanwhile.
      if (outcome.until && values.now() >= outcome.until) continue;
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
    const values = this.#values;
    let usable = values.recall(key);
    let found = usable ? values.found() : undefined;
    if (!found) {
      const told = await values.read(key);
      ({ usable, found } = told);
      values.giveBack(told.origin);
    }
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
    if (!content) throw misuse("value", "JSON or a Uint8Array");
    const learnt = await this.#values.epochs(key, rules.tags);
    this.#flights.purge([], [key]);
    this.#values.keep(key, content, rules, learnt(0));
    await this.#values.write();
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
    tagsOf(tags);
    if (!Array.isArray(keys)) throw misuse("keys", "an array of texts");
    for (const key of keys) keyOf(key);
    this.#flights.purge(tags, keys);
    await this.#values.purge(tags, keys);
  }

  /**
   * Sees to a value for all who wait: finds it, waits for another process that loads it, or loads
   * it.
   * @param {Flight} flight
   * @param {Want} want
   * @returns {Promise<Outcome>}
   */
  async #lead(flight, want) {
    const { key, isAlone, background } = want;
    const values = this.#values;
    const end = Date.now() + (isAlone ? 0 : values.loadTimeout);
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      const looked = await this.#look(flight, want);
      const { usable, loader, origin, found } = looked;
      const isUsable = usable === WHILE_REVALIDATED;
      const isLate = Date.now() + pause >= end;

      if (usable === FRESH) {
        values.giveBack(origin);
        if (Date.now() < looked.leased) values.release(key);
        return found;
      }
      if (loader === ANOTHER && (background || !isLate)) {
        values.giveBack(origin);
        // Of those that may be used meanwhile, nobody needs to know at once.
        if (isUsable && background) await sleep(LONGEST_PAUSE);
        if (isUsable) return found;
        if (isLate) return undefined;
        await sleep(pause);
        continue;
      }
      if (isUsable && !background) {
        const load = { ...want, ...looked, background: true };
        // Who comes after its purge gets it in no case.
        if (flight.isPurged) load.found = undefined;
        this.#flights.start(key, (own) => this.#loadOrServe(own, load));
        return found;
      }
      return this.#loadOrServe(flight, { ...want, ...looked });
    }
  }

  /**
   * Asks the store about a value.
   * @param {Flight} flight
   * @param {Want} want
   * @returns {Promise<Looked>}
   */
  async #look(flight, { key, rules, options: { schema } }) {
    const values = this.#values;
    for (let isWanted = false; ; isWanted = true) {
      flight.tags = [];
      flight.isPurged = false;
      const lease = Date.now() + values.loadTimeout;
      let told = await values.ask(key, rules.tags, isWanted, flight);
      const { origin, loader, asked } = told;
      flight.asked = asked;
      const leased = asked !== undefined && loader === THIS ? lease : 0;
      if (told.isOther && loader < ANOTHER) {
        told = await values.read(key, flight);
        // No more is asked of a store that fails.
        if (told.asked === undefined) values.giveBack(origin);
        else told = { ...told, origin, loader };
      }
      if (!(await validated(told.found?.content, schema)).valid) told = { ...told, usable: 0, found: undefined };
      if (told.loader !== NOBODY || told.usable === FRESH || isWanted) return { ...told, asked, leased };
      // It went stale meanwhile, was purged, or is of no use here: nobody has the lease.
      values.giveBack(origin);
    }
  }

  /**
   * Loads, and serves what is known if that fails.
   * @param {Flight} flight
   * @param {Want & Looked} load
   * @returns {Promise<Outcome>}
   */
  async #loadOrServe(flight, load) {
    const { found } = load;
    this.#flights.restart(flight, [...load.rules.tags, ...(found?.tags ?? [])]);
    flight.asked = load.asked;
    try {
      return { content: await this.#load(flight, load), isOwn: true };
    } catch (error) {
      // A ceiling is one for slow loads too.
      return found && this.#values.now() < found.until ? found : { error };
    }
  }

  /**
   * @param {Flight} flight
   * @param {Want & Looked} options
   * @returns {Promise<Content>}
   */
  async #load(flight, { key, options, rules, load, origin, found, background, leased }) {
    const values = this.#values;
    const controller = new AbortController();
    let used = options;
    /** @type {Rules | false} */
    let kept = rules;
    let learning = Promise.resolve();
    let isOver = false;
    let isGone = false;
    /** Learns the epochs of tags that were not asked for. @param {string[]} tags */
    const learn = (tags) => {
      if (!values.lacks(origin, tags)) return;
      // One after the other: the last one counts.
      learning = learning.then(async () => {
        const learnt = await values.epochs(key, tags, true);
        if (!isGone) learnt(origin);
      });
    };
    const context = {
      stale: found && copy(found.content),
      background,
      signal: controller.signal,
      keep: (/** @type {Partial<EntryOptions> | false} */ change) => {
        if (isOver) return;
        const next = { ...used, ...change };
        kept = change !== false && rulesOf(next);
        if (!kept) return;
        used = next;
        flight.tags.push(...kept.tags);
        learn(kept.tags);
      },
    };
    /** Nothing is kept. With its key, the lease is purged too. */
    const leave = () => {
      isGone = true;
      values.giveBack(origin);
      if (!flight.isOutdated && Date.now() < leased) values.release(key);
    };
    let content;
    let end;
    try {
      // What is purged from now on is not kept.
      learn(rules.tags);
      await learning;
      end = Date.now() + values.loadTimeout;
      const loaded = Promise.resolve().then(() => load(context));
      content = contentOf(await within(loaded, values.loadTimeout));
      isOver = true;
      await learning;
    } catch (error) {
      isOver = true;
      controller.abort();
      leave();
      throw error;
    }
    if (flight.isOutdated || Date.now() >= end) {
      leave();
    } else if (!content || !kept) {
      values.giveBack(origin);
      values.unstored(key);
    } else {
      // Of a tag that was named after its purge, who came between must not get it.
      flight.isVoid = values.keep(key, content, kept, origin) && !flight.isPurged;
    }
    values.writeLater();
    return content ?? {};
  }
}
