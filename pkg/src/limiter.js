/** The limiter: asks the module, and makes the calls of the store that it wants. */
import { waitUntil as keepAlive, PATIENCE } from "omnitrade-edge:platform";
import { engine, holds, LIMITS, numbers, put, RULE, seed, text } from "./engine.js";
import { EdgeError, misuse, storeError } from "./errors.js";
import { duration, integer, keyPrefix, oneOf, optional, quietly, store as storeOf } from "./settings.js";
import { bounded, ScriptCaller, TIMEOUT } from "./store.js";
import { aborted, later, sleep } from "./timers.js";

/** @import { LimitOptions, LimitResult, LimiterOptions, Store } from "@omnitrade/edge" */
/** @typedef {readonly [limiter: RateLimiter, id: string, options?: LimitOptions]} Check */

const SOURCES = /** @type {const} */ (["none", "redis", "lease", "local", "blocked"]);
const REASONS = /** @type {const} */ ([undefined, "timeout", "cacheBlock", "denyList"]);

/** The verbs of `act`: see `wasm/src/sdk/limiter.rs`. */
const [AT_FIRST, AT_ONCE] = [0, 1];
const [DECIDE, PEEK, REFUND, RESET, SWEEP_AFTER, SWEEP, WOULD_PASS] = [0, 1, 2, 3, 4, 5, 6];

/** How many numbers the module writes for each limit. */
const WORDS = 8;

/** Nothing is left to do. */
const DONE = Promise.resolve();

/** Penalties that do not say how hard they are. */
const PENALTY = { after: 20, hold: 60_000, max: 3_600_000 };

/** Stands for the store of limiters that have none. */
const NO_STORE = {};

/**
 * The clock by which results of another clock than the platform's were given.
 * @type {WeakMap<object, () => number>}
 */
export const clocks = new WeakMap();

/**
 * What is remembered of one store: limiters of one store, clock and deadline share it, so that
 * those of one name count together.
 */
class Memory {
  /**
   * @param {Store | undefined} store
   * @param {number} timeout
   */
  constructor(store, timeout) {
    this.store = store;
    this.timeout = timeout;
    this.script = new ScriptCaller(store, timeout, true);
    this.number = holds(this, LIMITS, engine().limits_new(store === undefined ? 0 : timeout, seed()));
  }

  /**
   * Does something with what was taken, as the module describes.
   * @param {number} verb
   * @param {number} amount
   * @param {number} now
   * @returns {number}
   */
  act(verb, amount, now) {
    return engine().act(this.number, verb, amount, now);
  }

  /**
   * Makes a call. Returns the reply as the module reads it, and the error if there is none.
   * @param {number} call
   * @param {AbortSignal} [signal]
   */
  run(call, signal) {
    engine().call(call);
    return this.script.run(text(), signal);
  }
}

/** @type {WeakMap<object, WeakMap<() => number, Map<number, Memory>>>} */
const memories = new WeakMap();

/**
 * @param {Store | undefined} store
 * @param {() => number} now
 * @param {number} timeout
 */
function memoryOf(store, now, timeout) {
  const clocksOf = lookUp(memories, store ?? NO_STORE, () => new WeakMap());
  const known = lookUp(clocksOf, now, () => new Map());
  return lookUp(known, store === undefined ? 0 : timeout, () => new Memory(store, timeout));
}

/**
 * What lies under a key, which is made if there is nothing.
 * @template K, V
 * @param {{ get(key: K): V | undefined, set(key: K, value: V): unknown }} map
 * @param {K} key
 * @param {() => V} make
 * @returns {V}
 */
function lookUp(map, key, make) {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

/** @param {readonly Check[]} checks */
function signalOf(checks) {
  const signals = checks.flatMap(([, , options]) => options?.signal ?? []);
  return signals.length > 1 ? AbortSignal.any(signals) : signals[0];
}

/** @type {() => number} */
const systemClock = () => Date.now();

export class RateLimiter {
  #memory;
  #rule;
  #now;
  #waitUntil;
  #onError;
  #onDecision;
  #leased;
  /** The policy up to the quota, whole, and after the quota. */
  #head;
  #policy;
  #tail;

  /** @param {LimiterOptions} options */
  constructor(options) {
    if (options === null || typeof options !== "object") throw misuse("options", "an object with quota and window");
    const quota = integer(options.quota, "quota", 1);
    const window = duration(options.window, "window");
    if (window > 366 * 86_400_000) throw misuse("window", "at most 366 days");
    const name = options.name ?? `${window}-${quota}`;
    if (typeof name !== "string" || !/^[\w.-]{1,64}$/.test(name)) {
      throw misuse("name", "up to 64 letters, digits, `-`, `_` or `.`");
    }
    const prefix = keyPrefix(options.keyPrefix);
    const leased = oneOf(options.strategy, "strategy", ["exact", "lease"]) === "lease";
    const shadow = oneOf(options.mode, "mode", ["enforce", "shadow"]) === "shadow";
    const onFailure = oneOf(options.onFailure, "onFailure", ["local", "open", "closed"]);
    const { after, hold, max } = penaltyOf(options.penalty);
    const timeout = options.timeout === undefined ? TIMEOUT : duration(options.timeout, "timeout");
    this.#now = optional(options.now, "now") ?? systemClock;
    this.#waitUntil = optional(options.waitUntil, "waitUntil") ?? keepAlive;
    this.#onError = optional(options.onError, "onError");
    this.#onDecision = optional(options.onDecision, "onDecision");
    this.#memory = memoryOf(storeOf(options.redis), this.#now, timeout);
    this.#leased = leased && options.redis !== undefined;
    this.#tail = `;w=${Math.max(Math.ceil(window / 1_000), 1)}`;
    this.#head = `"${name}";q=`;
    this.#policy = `${this.#head}${quota}${this.#tail}`;
    const flags =
      Number(leased) + Number(shadow) * 2 + Number(onFailure === "open") * 4 + Number(onFailure === "closed") * 8;
    this.#rule = holds(this, RULE, put(name, prefix).rule_new(quota, window, flags, after, hold, max));
  }

  /**
   * @param {string | { key: string, delta?: number }} id
   * @param {LimitOptions} [options]
   * @returns {Promise<LimitResult>}
   */
  async limit(id, options) {
    if (typeof id === "object" && id !== null) {
      options = { cost: id.delta };
      id = id.key;
    }
    this.#take(id, options);
    const said = this.#memory.act(DECIDE, AT_FIRST, this.#now());
    return (await RateLimiter.#decided([[this, id, options]], said))[0];
  }

  /**
   * @param {string} id
   * @param {LimitOptions} [options]
   * @returns {LimitResult | undefined}
   */
  limitNow(id, options) {
    this.#take(id, options);
    const said = this.#memory.act(DECIDE, AT_ONCE, this.#now());
    if (said === 0) return undefined;
    const result = this.#result(0, options?.quota);
    this.#tell(result, id, this.#afterwards(said));
    return result;
  }

  /**
   * @param {string} id
   * @param {LimitOptions & { timeout: import("@omnitrade/edge").Duration }} options
   * @returns {Promise<LimitResult>}
   */
  async wait(id, options) {
    const patience = duration(options?.timeout, "timeout", 0);
    const { signal } = options;
    if (signal?.aborted) throw aborted(false);
    const result = await this.limit(id, options);
    if (result.success || result.retryAfter > patience) return result;
    // A timer may end up to a millisecond before the clock has moved as far.
    await sleep(result.retryAfter + 1, signal);
    return this.limit(id, options);
  }

  /**
   * @param {readonly Check[]} checks
   */
  static async limitAll(checks) {
    if (!Array.isArray(checks)) throw misuse("checks", "an array of [limiter, id]");
    if (checks.length === 0) return { success: true, results: [], pending: DONE };
    for (const [n, check] of checks.entries()) {
      const limiter = check?.[0];
      if (typeof limiter !== "object" || limiter === null || !(#memory in limiter))
        throw misuse(`checks[${n}][0]`, "a RateLimiter");
    }
    const [[first]] = checks;
    if (checks.some(([limiter]) => limiter.#memory.store !== first.#memory.store)) {
      throw misuse("checks", "limiters of one store");
    }
    // Nothing is taken before all of it is known to be right.
    for (const [, id, options] of checks) {
      subject(id);
      costOf(options);
      quotaOf(options);
    }
    const results = await RateLimiter.#takeAll(checks);
    return { success: results.every(({ success }) => success), results, pending: results[0].pending };
  }

  /**
   * Takes from all or from none.
   * @param {readonly Check[]} checks
   * @returns {Promise<LimitResult[]>}
   */
  static async #takeAll(checks) {
    const [[first]] = checks;
    const others = checks.filter(([limiter]) => limiter.#memory !== first.#memory);
    if (first.#memory.store === undefined && others.length > 0) {
      // Limiters of several clocks, which do not share a memory. Nobody comes between these calls.
      const passes = checks.every(([limiter, id, options]) => {
        limiter.#take(id, options);
        return limiter.#memory.act(WOULD_PASS, 0, limiter.#now()) === 1;
      });
      return Promise.all(
        checks.map(async ([limiter, id, options]) => {
          if (passes) return limiter.limit(id, options);
          limiter.#take(id, options);
          // One that would let it pass takes nothing.
          if (limiter.#memory.act(WOULD_PASS, 0, limiter.#now()) === 1) return limiter.peek(id, options);
          return limiter.limit(id, options);
        }),
      );
    }
    return RateLimiter.#decided(checks, RateLimiter.#recall(checks, AT_FIRST));
  }

  /**
   * Asks memory about limiters of one store.
   * @param {readonly Check[]} checks
   * @param {number} how
   */
  static #recall(checks, how) {
    const [[first]] = checks;
    for (const [limiter, id, options] of checks) limiter.#take(id, options);
    return first.#memory.act(DECIDE, how, first.#now());
  }

  /**
   * @param {string} id
   * @param {Pick<LimitOptions, "quota">} [options]
   * @returns {Promise<LimitResult>}
   */
  async peek(id, options) {
    this.#take(id, options);
    const said = this.#memory.act(PEEK, 0, this.#now());
    return this.#ask(said, () => this.#result(0, options?.quota));
  }

  /**
   * @param {string} id
   * @param {number} [permits]
   */
  async refund(id, permits = 1) {
    const back = integer(permits, "permits", 0);
    this.#take(id);
    await this.#ask(this.#memory.act(REFUND, back, this.#now()), () => {});
  }

  /** @param {string} id */
  async reset(id) {
    const { store, timeout } = this.#memory;
    this.#take(id);
    this.#memory.act(RESET, 0, this.#now());
    const key = text();
    if (key === undefined || store === undefined) return;
    try {
      await bounded(store, timeout, undefined, (options) =>
        store.command(["DEL", key], { ...options, idempotent: true }),
      );
    } catch (cause) {
      throw this.#failed(storeError(cause));
    }
  }

  /**
   * @param {string} id
   * @param {LimitOptions} [options]
   */
  #take(id, options) {
    if (options === undefined) return put(subject(id)).take(this.#rule, 1, 0);
    const [cost, quota] = [costOf(options), quotaOf(options)];
    put(subject(id)).take(this.#rule, cost, quota);
  }

  /**
   * Makes a call that somebody waits for, who is told of its failure.
   * @template T
   * @param {number} call none if it is not positive
   * @param {() => T} read reads the answer, which the next one overwrites
   */
  async #ask(call, read) {
    if (call > 0) {
      const [reply, error] = await this.#memory.run(call);
      const said = put(reply).answer(call, this.#now());
      if (error !== undefined) throw this.#failed(error);
      if (said === 0) throw new EdgeError("protocol", true, "the store's reply has another shape");
    }
    return read();
  }

  /**
   * The results of a request, after a call of the store if one decides.
   * @param {readonly Check[]} checks
   * @param {number} said as `decide` returns it
   * @returns {Promise<LimitResult[]>}
   */
  static async #decided(checks, said) {
    const [[first]] = checks;
    // A call about the same subjects is on its way, and the next one asks for all that wait.
    while (said > 0 && said % 2) {
      const pause = numbers()[engine().results() / 8];
      // Who is called off does not wait any more.
      const how = await sleep(pause, signalOf(checks)).then(
        () => said,
        () => said - 1,
      );
      said = RateLimiter.#recall(checks, how);
    }
    const isAsked = said > 0;
    let failure;
    if (isAsked) {
      const [reply, error] = await first.#memory.run(said, signalOf(checks));
      said = put(reply).answer(said, first.#now());
      failure = error;
    }
    const results = checks.map(([limiter, , options], n) => limiter.#result(n, options?.quota));
    // What is called from here on may overwrite what the module has written.
    if (failure) first.#failed(failure);
    if (isAsked) for (const [limiter] of checks) limiter.#sweepLater();
    const pending = first.#afterwards(said);
    for (const [n, [limiter, id]] of checks.entries()) limiter.#tell(results[n], id, pending);
    return results;
  }

  /** @param {EdgeError} error */
  #failed(error) {
    // A caller that hangs up is no failure of the store.
    if (error.code !== "aborted") quietly(() => this.#onError?.(error));
    return error;
  }

  /**
   * Does what is left after a decision.
   * @param {number} said as `decide` returns it
   * @returns {Promise<void>}
   */
  #afterwards(said) {
    if (said >= -1) return DONE;
    const work = this.#work(-1 - said);
    this.#keep(work);
    return work;
  }

  /** @param {number} call */
  async #work(call) {
    const [reply, error] = await this.#memory.run(call);
    put(reply).answer(call, this.#now());
    if (error) this.#failed(error);
    this.#sweepLater();
  }

  /** Returns permits that were fetched ahead and are not spent, once they are void. */
  #sweepLater() {
    if (!this.#leased) return;
    const wait = this.#memory.act(SWEEP_AFTER, PATIENCE, this.#now());
    if (wait < 0) return;
    const swept = new Promise((resolve) => {
      later(() => {
        const call = this.#memory.act(SWEEP, 0, this.#now());
        // By the store's clock it may be too early.
        resolve(call > 0 ? this.#work(call) : this.#sweepLater());
      }, wait);
    });
    this.#keep(swept.catch(() => {}));
  }

  /** @param {Promise<unknown>} work */
  #keep(work) {
    quietly(() => this.#waitUntil(work));
  }

  /**
   * A result that the module has written.
   * @param {number} n which one
   * @param {number | undefined} quota
   * @returns {LimitResult}
   */
  #result(n, quota) {
    const words = numbers();
    const at = engine().results() / 8 + n * WORDS;
    const source = SOURCES[words[at + 6]];
    const reason = REASONS[words[at + 7]];
    /** @type {any} */
    const result = {
      success: words[at] === 1,
      limit: words[at + 2],
      remaining: words[at + 3],
      reset: words[at + 4],
      retryAfter: words[at + 5],
      policy: quota === undefined ? this.#policy : `${this.#head}${quota}${this.#tail}`,
      source,
      pending: DONE,
    };
    if (words[at + 1] === 1) result.shadowed = true;
    if (reason !== undefined) result.reason = reason;
    if (this.#now !== systemClock) clocks.set(result, this.#now);
    return result;
  }

  /**
   * A decision is complete.
   * @param {LimitResult} result
   * @param {string} id
   * @param {Promise<void>} pending
   */
  #tell(result, id, pending) {
    result.pending = pending;
    if (this.#onDecision !== undefined) quietly(() => this.#onDecision?.(result, id));
  }
}

/** @param {LimiterOptions["penalty"]} penalty */
function penaltyOf(penalty) {
  if (penalty === undefined) return { ...PENALTY, after: 0 };
  if (penalty === true) return PENALTY;
  if (penalty === null || typeof penalty !== "object") throw misuse("penalty", "true, or an object");
  const after = penalty.after === undefined ? PENALTY.after : integer(penalty.after, "penalty.after", 1);
  const hold = penalty.hold === undefined ? PENALTY.hold : duration(penalty.hold, "penalty.hold");
  const max = penalty.max === undefined ? Math.max(PENALTY.max, hold) : duration(penalty.max, "penalty.max");
  if (max < hold) throw misuse("penalty.max", "at least `penalty.hold`");
  return { after, hold, max };
}

/** @param {LimitOptions} [options] */
function costOf(options) {
  return options?.cost === undefined ? 1 : integer(options.cost, "cost", 0);
}

/** @param {LimitOptions} [options] 0: the limiter's own */
function quotaOf(options) {
  return options?.quota === undefined ? 0 : integer(options.quota, "quota", 1);
}

/**
 * Whom a request counts for. Those who are not known share one bucket.
 * @param {unknown} id
 */
function subject(id) {
  if (typeof id === "string") return id;
  if (id === undefined || id === null) return "unknown";
  if (typeof id === "number" || typeof id === "bigint") return String(id);
  throw misuse("id", "a text");
}
