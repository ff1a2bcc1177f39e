/**
 * A program that uses the package for long, and says after each part how much memory it holds, as
 * JSON in a line.
 *
 *     node --expose-gc measured.mjs limit|lease|limiters|cache|redis
 */
import { setTimeout as sleep } from "node:timers/promises";

/** @type {any[]} */
const memories = [];
const { WebAssembly } = /** @type {any} */ (globalThis);
WebAssembly.Instance = class extends WebAssembly.Instance {
  /** @param {any[]} args */
  constructor(...args) {
    super(...args);
    memories.push(/** @type {any} */ (this).exports.memory);
  }
};

const { gc } = /** @type {{ gc: () => void }} */ (/** @type {any} */ (globalThis));
const built = "../../../pkg/dist/index.js";
/** @type {typeof import("@omnitrade/edge")} */
const { Cache, RateLimiter, Redis } = await import(built);

/** The memory that is held, in bytes, after what is no longer used was given back. */
async function held() {
  for (let n = 0; n < 4; n++) {
    gc();
    // Finalizers run between turns.
    await sleep(5);
  }
  const wasm = memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  if (wasm === 0) throw new Error("the memory of the module was not found");
  return { heap: process.memoryUsage().heapUsed, wasm };
}

/**
 * Answers any call as a store does that counts nothing, and lends what it is asked for.
 * @type {import("@omnitrade/edge").Store}
 */
const lending = {
  command: async () => null,
  evaluate: async (_, keys, args) => {
    const limits = Number(args[1]);
    /** @type {any[]} */
    const reply = [1, null, null, 0];
    for (let n = 0; n < limits; n++) {
      const lent = Number(args[12 + n * 14 + 10]);
      reply.push(1, 1_000_000, 999_000, 0, 1_000, "abc", 7, lent, 9, lent > 0 ? 10_000 : 0);
    }
    if (Number(args[8]) > 0) reply.push(null, 1, keys.map(() => "-").join());
    return reply;
  },
};

/** What is done in each of the parts. @type {Record<string, (from: number) => Promise<void>>} */
const parts = {};

const CALLS = 10_000;
const SUBJECTS = 10_000;

const local = new RateLimiter({ quota: 100, window: "1h", penalty: true });
parts.limit = async (from) => {
  for (let n = from; n < from + CALLS; n++) {
    const id = `subject ${n % SUBJECTS}`;
    if (n % 2) await local.limit(id);
    else local.limitNow(id, { cost: n % 3 });
  }
};

const leased = new RateLimiter({ quota: 1_000_000, window: "1m", strategy: "lease", redis: lending, timeout: "20s" });
parts.lease = async (from) => {
  for (let n = from; n < from + CALLS; n++) {
    const id = `subject ${n % SUBJECTS}`;
    await (leased.limitNow(id) ?? (await leased.limit(id))).pending;
  }
};

parts.limiters = async (from) => {
  for (let n = from; n < from + 2_500; n++) {
    const now = () => 1_800_000_000_000 + n;
    const limiter = new RateLimiter({ quota: 1 + n, window: "1m", ...(n % 2 ? { now } : { redis: { ...lending } }) });
    await limiter.limit("a");
    if (n % 10 === 0) await new Cache({ now, l1Size: 10_000 }).set("k", "value", { ttl: "1m" });
  }
};

const cache = new Cache({ l1Size: 1 << 20 });
const shared = new Cache({ redis: lending, l1Size: 1 << 20, timeout: "20s" });
parts.cache = async (from) => {
  for (let n = from; n < from + CALLS / 2; n++) {
    const key = `key ${n % SUBJECTS}`;
    const options = /** @type {const} */ ({ ttl: "1m", tags: [`tag ${n % 50}`] });
    for (const each of [cache, shared]) {
      const load = async () => {
        if (n % 7 === 0) throw new Error("down");
        return n % 11 === 0 ? undefined : { n };
      };
      await each.getOrSet(key, options, load).catch(() => {});
    }
    if (n % 500 === 0) await cache.purge({ tags: options.tags });
  }
};

const replies = new Redis({
  ...{ url: "https://store.example", token: "t", retries: 0 },
  fetch: async () => new Response('{"error":"WRONGTYPE Operation against a key"}', { status: 400 }),
});
parts.redis = async () => {
  const stop = new AbortController();
  for (let n = 0; n < CALLS / 4; n++) await replies.command(["GET", `${n}`], { signal: stop.signal }).catch(() => {});
};

const part = parts[process.argv[2]];
for (let n = 0; n < 10; n++) {
  await part(n * CALLS);
  console.log(JSON.stringify(await held()));
}
