/**
 * What the package does, in every runtime: plain JavaScript without a test framework, so that it
 * also runs in browsers and in Workers.
 *
 * It imports nothing, because some runtimes `require` the package.
 */

/**
 * @typedef {object} Entries the entries of the package
 * @property {typeof import("../../pkg/types/index.js")} edge
 * @property {typeof import("../../pkg/types/gate.js")} gate
 * @property {typeof import("../../pkg/types/clients.js")} clients
 * @property {typeof import("../../pkg/types/queue.js")} queue
 */

/** @typedef {{ url: string, token: string }} Store a REST server over a real Redis */

/** @type {Record<string, (entries: Entries, store: Store) => Promise<void>>} */
const withoutStore = { limits, waits, answers, addresses, caches, refreshes, gates, adapters };
/** @type {typeof withoutStore} */
const withStore = { commands, jobs, limitsTogether, leases, outages, cachesTogether, gatesTogether };

/** The names of all parts, and of those that need no store. */
export const PARTS = { all: Object.keys({ ...withoutStore, ...withStore }), local: Object.keys(withoutStore) };

/**
 * Runs all parts. It throws at the first wrong thing.
 * @param {Entries} entries
 * @param {Store} [store] without one, what needs a store is left out: a browser has no secrets
 * @returns {Promise<string[]>} the names of the parts that have run
 */
export async function assertPackage(entries, store) {
  const done = [];
  for (const [name, part] of Object.entries({ ...withoutStore, ...(store ? withStore : {}) })) {
    try {
      await part(entries, /** @type {Store} */ (store));
    } catch (error) {
      throw new Error(`${name}: ${/** @type {any} */ (error)?.message}`, { cause: error });
    }
    done.push(name);
  }
  return done;
}

/** @param {Entries} entries */
async function limits({ edge: { RateLimiter, rateLimitHeaders } }) {
  let now = 1_800_000_000_000;
  const clock = () => now;
  const limiter = new RateLimiter({ quota: 3, window: "60s", name: "local", now: clock });
  for (const remaining of [2, 1, 0]) {
    const result = await limiter.limit("a");
    same([result.success, result.remaining, result.limit, result.source], [true, remaining, 3, "local"]);
    same(result.retryAfter, 0);
    await result.pending;
  }
  const refused = await limiter.limit({ key: "a" });
  same([refused.success, refused.remaining, refused.policy], [false, 0, '"local";q=3;w=60']);
  same(refused.reset, now + refused.retryAfter, "reset is when the call passes");
  same(limiter.limitNow("a")?.success, false, "limitNow is the same limiter");
  same((await limiter.limit("b")).success, true, "another subject has its own quota");
  now = refused.reset - 1;
  same((await limiter.limit("a")).success, false, "a millisecond too early");
  now = refused.reset;
  same((await limiter.limit("a")).success, true, "at the moment it was told");

  same((await limiter.peek("c")).remaining, 3);
  same((await limiter.limit("c", { cost: 2 })).remaining, 1);
  same((await limiter.limit("c", { cost: 2 })).success, false);
  same((await limiter.peek("c")).remaining, 1, "a refused call takes nothing");
  same((await limiter.limit("c", { quota: 10 })).limit, 10);
  await limiter.reset("c");
  same((await limiter.peek("c")).remaining, 3);
  await limiter.limit("c", { cost: 3 });
  await limiter.refund("c", 2);
  same((await limiter.peek("c")).remaining, 2);

  const full = new RateLimiter({ quota: 1, window: "1 m", name: "full", now: () => now });
  await full.limit("d");
  const both = await RateLimiter.limitAll([
    [limiter, "d"],
    [full, "d"],
  ]);
  same([both.success, both.results.length, both.results[1].success], [false, 2, false]);
  same((await limiter.peek("d")).remaining, 3, "from both or from none");
  same(Object.keys(rateLimitHeaders(both.results)).length > 0, true);

  const shadow = new RateLimiter({ quota: 1, window: 60_000, mode: "shadow", now: clock });
  await shadow.limit("e");
  const over = await shadow.limit("e");
  same([over.success, over.shadowed], [true, true], "shadow refuses nobody");
}

/** @param {Entries} entries */
async function waits({ edge: { RateLimiter } }) {
  const limiter = new RateLimiter({ quota: 1, window: "300ms" });
  const started = Date.now();
  same((await limiter.wait("a", { timeout: "1s" })).success, true);
  same((await limiter.wait("a", { timeout: 1 })).success, false, "its turn is later than the timeout");
  same((await limiter.wait("a", { timeout: "20s" })).success, true);
  const waited = Date.now() - started;
  same(waited >= 299, true, `it waited only ${waited} ms`);
  // Timers and the clock differ by fractions of a millisecond.
  const many = Array.from({ length: 20 }, async (_, n) => {
    await sleep(n * 1.3);
    const id = `many ${n}`;
    await limiter.limit(id);
    return (await limiter.wait(id, { timeout: "20s" })).success;
  });
  same([...new Set(await Promise.all(many))], [true], "it waits long enough");
}

/** @param {Entries} entries */
async function answers({ edge: { RateLimiter, rateLimitHeaders, tooManyRequests } }) {
  const limiter = new RateLimiter({ quota: 1, window: "1h", name: "hourly" });
  await limiter.limit("a");
  const refused = await limiter.limit("a");
  const response = tooManyRequests(refused, { headers: { "x-own": "1" } });
  same([response.status, response.headers.get("x-own")], [429, "1"]);
  same(response.headers.get("content-type"), "application/problem+json");
  same(/^\d+$/.test(response.headers.get("retry-after") ?? ""), true);
  same(/** @type {any} */ (await response.json()).status, 429);
  const names = Object.keys(rateLimitHeaders(refused, "draft-10")).map((name) => name.toLowerCase());
  same(names.sort().join(), "ratelimit,ratelimit-policy");
  const legacy = rateLimitHeaders(refused, "legacy");
  const found = Object.entries(legacy).find(([name]) => name.toLowerCase() === "x-ratelimit-limit");
  same(found?.[1], "1");
}

/** @param {Entries} entries */
async function addresses({ edge: { clientAddress } }) {
  const of = (/** @type {string} */ address) =>
    clientAddress({ headers: new Headers({ "x-real-ip": address }) }, { header: "x-real-ip" });
  same(of("192.0.2.1"), "192.0.2.1");
  same(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::"), "IPv6 by /64");
  same(of("2001:db8:1:2::3") === of("2001:db8:1:3::3"), false);
  same(clientAddress({ headers: new Headers() }), undefined);
}

/** @param {Entries} entries */
async function caches({ edge: { Cache } }) {
  const cache = new Cache();
  let loads = 0;
  const load = async () => {
    loads++;
    await sleep(5);
    return { n: loads, list: [1, "ä", null] };
  };
  const [one, two] = await Promise.all([
    cache.getOrSet("a", { ttl: "1m" }, load),
    cache.getOrSet("a", { ttl: "1m" }, load),
  ]);
  same(loads, 1, "one load for all callers");
  same(JSON.stringify(one), JSON.stringify(two));
  one.list.length = 0;
  same((await cache.getOrSet("a", { ttl: "1m" }, load)).list.length, 3, "every caller gets a copy of its own");
  same(loads, 1);

  await cache.set("b", new Uint8Array([0, 128, 255]), { ttl: "1m", tags: ["bytes"] });
  const entry = /** @type {import("../../pkg/types/index.js").Entry<Uint8Array>} */ (await cache.get("b"));
  same([entry.value instanceof Uint8Array, [...entry.value].join(), entry.fresh], [true, "0,128,255", true]);
  await cache.purge({ tags: ["bytes"] });
  same(await cache.get("b"), undefined, "a purged tag");
  await cache.delete("a");
  same(await cache.get("a"), undefined, "a deleted key");

  const failure = new Error("the loader's own");
  const thrown = await rejection(
    cache.getOrSet("c", { ttl: "1m" }, () => {
      throw failure;
    }),
  );
  same(thrown === failure, true, "what the loader throws passes unchanged");
}

/** @param {Entries} entries */
async function refreshes({ edge: { Cache } }) {
  let now = 1_800_000_000_000;
  const background = /** @type {Promise<unknown>[]} */ ([]);
  const cache = new Cache({ now: () => now, waitUntil: (work) => void background.push(work) });
  let loads = 0;
  const options = /** @type {const} */ ({ ttl: "10s", staleWhileRevalidate: "10s", staleIfError: "1m" });
  const get = () => cache.getOrSet("a", options, () => ++loads);
  same(await get(), 1);
  now += 15_000;
  same(await get(), 1, "stale while it is refreshed");
  for (let tries = 0; loads < 2 && tries < 200; tries++) await sleep(5);
  await Promise.all(background);
  same([loads, await get()], [2, 2], "refreshed in the background");
  now += 30_000;
  const fails = () => {
    throw new Error("down");
  };
  same(await cache.getOrSet("a", options, fails), 2, "stale, because the loader fails");
  now += 60_000;
  same((await rejection(cache.getOrSet("a", options, fails)))?.message, "down", "a hard ceiling");
}

/** @param {Entries} entries */
async function gates({ gate: { createGate, ConfigError } }) {
  let asked = 0;
  const gate = createGate(
    {
      origin: "https://origin.example",
      limits: { "per-ip": { by: "ip", window: "1h", quota: 10 } },
      routes: [{ path: "/cached", limits: ["per-ip"], cache: { ttl: "1m" } }],
    },
    {
      fetch: async () => {
        asked++;
        return new Response(`answer ${asked}`, { headers: { "content-type": "text/plain" } });
      },
    },
  );
  const ask = () =>
    gate.fetch(new Request("https://gate.example/cached", { headers: { "cf-connecting-ip": "192.0.2.1" } }));
  const first = await ask();
  same([first.status, await first.text()], [200, "answer 1"]);
  const second = await ask();
  same([second.status, await second.text(), asked], [200, "answer 1", 1], "the second comes from the cache");
  let refused = await ask();
  for (let asked = 3; refused.status === 200 && asked <= 10; asked++) refused = await ask();
  same([refused.status, /^\d+$/.test(refused.headers.get("retry-after") ?? "")], [429, true]);
  const request = new Request("https://gate.example/cached", { headers: { "cf-connecting-ip": "192.0.2.2" } });
  const admitted = await gate.admit(request);
  same([admitted.response, admitted.results.length, admitted.results[0]?.success], [undefined, 1, true]);
  same(gate.metrics().includes("# TYPE"), true);

  const error = await rejection(
    (async () => createGate(/** @type {any} */ ({ origin: "nowhere", limits: { a: 1 } })))(),
  );
  same(error instanceof ConfigError, true);
  same(error.problems.map((/** @type {any} */ { path }) => path).join(), "origin,limits.a", "every problem");
}

/** @param {Entries} entries */
async function adapters({ edge: { EdgeError, RateLimiter }, clients: { fromIoredis, fromNodeRedis } }) {
  const said = new TextEncoder();
  const ioredis = fromIoredis({ callBuffer: async (command, ...args) => said.encode([command, ...args].join(" ")) });
  same(await ioredis.command(["ECHO", "ä"]), "ECHO ä");
  const fails = async () => {
    throw new Error("ERR unknown command");
  };
  const error = await rejection(fromNodeRedis({ sendCommand: fails }).command(["NONE"]));
  same(error instanceof EdgeError, true, "the error class of the entry `.`");
  const limiter = new RateLimiter({ quota: 1, window: "1m", redis: fromNodeRedis({ sendCommand: fails }) });
  same((await limiter.limit("a")).source, "local", "the store fails");
}

/** @param {Entries} entries @param {Store} store */
async function jobs({ edge: { Redis, EdgeError }, queue: { Queue } }, { url, token }) {
  const redis = new Redis({ url, token });
  const prefix = fresh();
  const queue = new Queue("bots", { redis, prefix });
  const { id, name } = await queue.add("run", { side: "buy" }, { attempts: 3 });
  same(name, "run");
  same(await redis.command(["HGET", `${prefix}:bots:${id}`, "data"]), '{"side":"buy"}');
  const added = await queue.addBulk([{ name: "a" }, { name: "b", opts: { jobId: "7-b" } }]);
  same(added[1]?.id, "7-b");
  same(await redis.command(["LLEN", `${prefix}:bots:wait`]), 3);
  const error = await rejection(queue.add("run", {}, { jobId: "wait" }));
  same(error instanceof EdgeError, true, "the error class of the entry `.`");
  same(error.code, "config");
}

/** @param {Entries} entries @param {Store} store */
async function commands({ edge: { Redis, EdgeError } }, { url, token }) {
  const redis = new Redis({ url, token });
  const key = fresh();
  same(await redis.command(["SET", key, "ä\u0000"]), "OK");
  same(await redis.command(["GET", key]), "ä\u0000");
  same(await redis.command(["GET", `${key}:none`]), null);
  same(await redis.command(["SET", key, new TextEncoder().encode("[1]")]), "OK");
  same(await redis.command(["GET", key]), "[1]", "a reply is not parsed");
  await redis.command(["SET", key, "9007199254740993"]);
  same(await redis.command(["INCR", key]), "9007199254740994", "a large integer stays whole");

  const [set, wrong, got] = await redis.pipeline([
    ["SET", key, "1"],
    ["LPUSH", key, "x"],
    ["GET", key],
  ]);
  same([set, got], ["OK", "1"]);
  same([wrong instanceof EdgeError, /** @type {any} */ (wrong).code], [true, "command"]);
  same(/** @type {any} */ (wrong).redisCode, "WRONGTYPE");
  const all = await redis.multi([
    ["INCR", key],
    ["INCR", key],
  ]);
  same(all, [2, 3]);
  const script = redis.script("return {KEYS[1], ARGV[1], 7}");
  same(await script.run([key], ["a"]), [key, "a", 7]);
  same(await script.run([key], ["b"]), [key, "b", 7], "the script is known now");
  await redis.command(["DEL", key]);

  const refused = await rejection(new Redis({ url, token: "not-the-token" }).command(["GET", key]));
  same([refused instanceof EdgeError, refused.name, refused.code], [true, "EdgeError", "unauthorised"]);
  same([refused.mayHaveRun, /not-the-token|127\.0\.0\.1/.test(`${refused.message}`)], [false, false]);
}

/** @param {Entries} entries @param {Store} store */
async function limitsTogether({ edge: { RateLimiter, Redis } }, store) {
  const options = /** @type {const} */ ({ quota: 3, window: "1m", name: "shared", timeout: "5s" });
  const make = () => new RateLimiter({ ...options, keyPrefix: prefix, redis: new Redis(store) });
  const prefix = fresh();
  const [one, two] = [make(), make()];
  const results = [await one.limit("a"), await two.limit("a"), await one.limit("a")];
  same(
    results.map(({ success, remaining, source }) => `${success} ${remaining} ${source}`).join(),
    "true 2 redis,true 1 redis,true 0 redis",
  );
  const refused = await two.limit("a");
  same([refused.success, refused.retryAfter > 0], [false, true], "both count together");
  const again = two.limitNow("a");
  same([again?.success, again?.source, again?.reason], [false, "blocked", "cacheBlock"], "a refusal is remembered");
  await one.reset("a");
  same((await one.limit("a")).remaining, 2);

  const other = new RateLimiter({
    quota: 1,
    window: "1m",
    name: "other",
    keyPrefix: prefix,
    redis: new Redis(store),
    timeout: "5s",
  });
  const mixed = await rejection(
    RateLimiter.limitAll([
      [one, "b"],
      [other, "b"],
    ]),
  );
  same(mixed.code, "config", "limiters of different stores");
  const redis = new Redis(store);
  const pair = [
    new RateLimiter({ ...options, name: "first", keyPrefix: prefix, redis }),
    new RateLimiter({ ...options, name: "second", quota: 1, keyPrefix: prefix, redis }),
  ];
  const both = () =>
    RateLimiter.limitAll([
      [pair[0], "c"],
      [pair[1], "c"],
    ]);
  same((await both()).success, true);
  same((await both()).success, false);
  same((await pair[0].peek("c")).remaining, 2, "from both or from none");
}

/** @param {Entries} entries @param {Store} store */
async function leases({ edge: { RateLimiter, Redis } }, store) {
  const limiter = new RateLimiter({
    ...{ quota: 1_000, window: "1m", strategy: "lease", keyPrefix: fresh(), timeout: "5s" },
    redis: new Redis(store),
  });
  let fromMemory = 0;
  for (let calls = 0; calls < 50; calls++) {
    const now = limiter.limitNow("a");
    const result = now ?? (await limiter.limit("a"));
    await result.pending;
    same(result.success, true);
    if (now?.source === "lease") fromMemory++;
  }
  same(fromMemory > 25, true, `${fromMemory} of 50 calls were answered from memory`);
}

/** @param {Entries} entries @param {Store} store */
async function outages({ edge: { EdgeError, RateLimiter, Redis } }, { url, token }) {
  /** @type {unknown[]} */
  const errors = [];
  /** @type {typeof fetch} */
  const hangs = (_, init) =>
    new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));
  for (const [onFailure, success] of /** @type {const} */ ([
    ["local", true],
    ["open", true],
    ["closed", false],
  ])) {
    const redis = new Redis({ url, token, fetch: hangs });
    const limiter = new RateLimiter({
      ...{ quota: 100, window: "1m", keyPrefix: fresh(), timeout: "50ms" },
      ...{ redis, onFailure, onError: (error) => void errors.push(error) },
    });
    const result = await limiter.limit("a");
    same([result.success, result.source === "redis"], [success, false], onFailure);
  }
  same(errors.length > 0 && errors.every((error) => error instanceof EdgeError), true, "onError hears of it");
}

/** @param {Entries} entries @param {Store} store */
async function cachesTogether({ edge: { Cache, Redis } }, store) {
  const keyPrefix = fresh();
  const make = () => new Cache({ redis: new Redis(store), keyPrefix, timeout: "5s" });
  const [one, two] = [make(), make()];
  let loads = 0;
  const load = () => ({ n: ++loads, text: "ä\u0000\u{1f600}" });
  const options = /** @type {const} */ ({ ttl: "1m", tags: ["t"] });
  same(await one.getOrSet("a", options, load), { n: 1, text: "ä\u0000\u{1f600}" });
  same(await two.getOrSet("a", options, load), { n: 1, text: "ä\u0000\u{1f600}" }, "the other process has it");
  await one.set("b", new Uint8Array([0, 128, 255]), options);
  same([.../** @type {any} */ (await two.get("b")).value], [0, 128, 255]);
  await one.purge({ tags: ["t"] });
  same([await make().get("a"), await make().get("b")], [undefined, undefined], "purged for all");
}

/** @param {Entries} entries @param {Store} store */
async function gatesTogether({ edge: { Redis }, gate: { createGate } }, store) {
  const config = {
    ...{ origin: "https://origin.example", redis: { key_prefix: fresh(), timeout: "1s" } },
    limits: { all: { by: /** @type {const} */ ("global"), window: "1m", quota: 2 } },
    routes: [{ path: "/", limits: ["all"] }],
  };
  const make = () => createGate(config, { redis: new Redis(store), fetch: async () => new Response("answer") });
  const gates = [make(), make(), make()];
  const statuses = [];
  for (const gate of gates) statuses.push((await gate.fetch(new Request("https://gate.example/"))).status);
  same(statuses, [200, 200, 429], "all gates count together");
}

/**
 * @param {unknown} actual
 * @param {unknown} expected the same as JSON
 * @param {string} [promise]
 */
function same(actual, expected, promise = "") {
  const text = (/** @type {unknown} */ value) =>
    JSON.stringify(value, (_, each) => (each === undefined ? "undefined" : each));
  if (text(actual) !== text(expected)) throw new Error(`${promise}: it is ${text(actual)}, not ${text(expected)}`);
}

/**
 * What a promise rejects with.
 * @param {Promise<unknown>} promise
 * @returns {Promise<any>}
 */
async function rejection(promise) {
  return promise.then(
    (value) => {
      throw new Error(`it did not fail, but is ${JSON.stringify(value)}`);
    },
    (error) => error,
  );
}

/** A name that no other run has. */
function fresh() {
  return `test-${Math.random().toString(36).slice(2)}`;
}

/** @param {number} milliseconds */
function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
