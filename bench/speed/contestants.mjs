/**
 * What is measured: omnitrade-edge with each kind of request, and JavaScript Workers that do the
 * same or less. Each has a workerd of its own.
 */
import { ours, peer } from "../lib/contestants.mjs";
import { LARGE, SMALL } from "./origin.mjs";

/**
 * @typedef {object} Racer
 * @property {string} name also the prefix of its keys in Redis
 * @property {string} title
 * @property {import("../lib/contestants.mjs").Contestant} worker
 * @property {(origin: string) => import("../lib/ground.mjs").Job} job
 * @property {string} path
 * @property {[string, string][]} headers of its requests
 * @property {boolean} withoutStore
 * @property {number} status of its answers
 * @property {RegExp[]} [from] what is in the head of its answers, which shows where they come from
 * @property {Racer} [floorOf] the one whose input and output it repeats
 */

/** So large that nothing is refused, and so long that no window ends within a load. */
const QUOTA = { by: "client", window: "60s", quota: 1_000_000 };
/** A day, so that the first request uses up the quota until the end. */
const ONCE = { by: "client", window: "1d", quota: 1 };
/** In seconds, because the peer knows no larger unit. */
const LONG = "3600s";

/**
 * What a browser sends beside what names the client: 18, and so 20 without `Host`.
 * @type {[string, string][]}
 */
const HEADERS_OF_A_BROWSER = [
  ["accept", "application/json, text/plain, */*"],
  ["accept-encoding", "gzip, deflate, br, zstd"],
  ["accept-language", "en-US,en;q=0.9,de;q=0.8"],
  ["cookie", "session=9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d; theme=dark; locale=en"],
  ["dnt", "1"],
  ["origin", "https://app.omnitrade.example"],
  ["priority", "u=1, i"],
  ["referer", "https://app.omnitrade.example/markets/BTCUSDT"],
  ["sec-ch-ua", '"Chromium";v="142", "Not?A_Brand";v="24"'],
  ["sec-ch-ua-mobile", "?0"],
  ["sec-ch-ua-platform", '"Linux"'],
  ["sec-fetch-dest", "empty"],
  ["sec-fetch-mode", "cors"],
  ["sec-fetch-site", "same-site"],
  ["sec-gpc", "1"],
  [
    "user-agent",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
  ],
  ["x-forwarded-for", "192.0.2.1"],
  ["x-request-id", "7f9c24e5-2c1a-4f0e-9a57-3c0f1b0f6b11"],
];

/** @typedef {Partial<Racer> & { limit?: object, cached?: boolean, l1?: boolean }} Details */

/**
 * One kind of request of omnitrade-edge.
 * @param {string} name
 * @param {string} title
 * @param {Details} details `limit`: of the route, `cached`: whether it has a cache, `l1: false`:
 *   without the isolate's own
 * @returns {Racer}
 */
function racer(name, title, { limit, cached = true, l1 = true, ...more }) {
  const path = more.path ?? "/small";
  return {
    name,
    title,
    worker: { ...ours, name, title },
    path,
    headers: [],
    withoutStore: false,
    status: 200,
    ...more,
    job: (origin) => ({
      origin,
      limits: /** @type {Record<string, object>} */ (limit ? { limit } : {}),
      routes: [{ path, limits: limit ? ["limit"] : [], ...(cached ? { cache: { ttl: LONG, query: [] } } : {}) }],
      ...(l1 ? {} : { cache: { l1_size: "0B" } }),
    }),
  };
}

/**
 * A JavaScript Worker under the same load as a racer.
 * @param {Racer} like
 * @param {string} name
 * @param {string} title
 * @param {Partial<import("../lib/contestants.mjs").Contestant>} worker
 * @returns {Racer}
 */
function besides(like, name, title, worker) {
  const { path, headers, job } = like;
  const source = { ...worker, name, title };
  return { name, title, worker: source, path, headers, job, withoutStore: false, status: 200 };
}

/** @param {"lease" | "local" | "redis"} limiter @param {"l1" | "redis"} cache */
const from = (limiter, cache) => [
  new RegExp(`^x-edge-limiter: ${limiter}\r?$`, "im"),
  new RegExp(`^cache-status: .*; hit;.*detail=${cache}\r?$`, "im"),
];

const leaseLimit = { ...QUOTA, strategy: "lease" };
const leased = racer("leased", "leased + L1 hit", { limit: leaseLimit, from: from("lease", "l1") });
const local = racer("local", "local + L1 hit", { limit: QUOTA, withoutStore: true, from: from("local", "l1") });
const exact = racer("exact", "exact + L1 hit", { limit: QUOTA, from: from("redis", "l1") });
const headers = HEADERS_OF_A_BROWSER;
const leased20 = racer("leased-20", "leased + L1 hit, 20 headers", {
  limit: leaseLimit,
  headers,
  from: from("lease", "l1"),
});
const refused = racer("refused", "refused from memory", {
  limit: ONCE,
  status: 429,
  from: [/^x-edge-limiter: blocked\r?$/im],
});
const relayed = racer("relayed", "uncached, no limits", { cached: false });
const leased250 = racer("leased-250", "leased + L1 hit, 250 KB", {
  limit: leaseLimit,
  path: "/large",
  from: from("lease", "l1"),
});
const exactRedis = racer("exact-redis", "exact + Redis hit", { limit: QUOTA, l1: false, from: from("redis", "redis") });
const exactRedis250 = racer("exact-redis-250", "exact + Redis hit, 250 KB", {
  limit: QUOTA,
  l1: false,
  path: "/large",
  from: from("redis", "redis"),
});

const constant = "bench/peer/constant.mjs";
const small = { source: constant, vars: { BYTES: `${SMALL}` } };
const large = { source: constant, vars: { BYTES: `${LARGE}` } };
const bare = besides(leased, "bare", "JavaScript, constant", small);
const bare20 = besides(leased20, "bare-20", "JavaScript, constant, 20 headers", small);
const bare250 = besides(leased250, "bare-250", "JavaScript, constant, 250 KB", large);

const floor = { source: "bench/peer/floor.mjs" };
/** @type {Racer} */
const floorLeased = { ...besides(leased, "floor", "JavaScript, I/O of leased + L1 hit", floor), floorOf: leased };
/** @type {Racer} */
const floorExact = { ...besides(exact, "floor-store", "JavaScript, I/O of exact + L1 hit", floor), floorOf: exact };

const upstash = besides(exact, "upstash", "@upstash, limit + body from Redis", peer);
const upstash250 = besides(exactRedis250, "upstash-250", "@upstash, 250 KB", peer);
const relay = besides(relayed, "relay", "JavaScript, fetch(origin)", { source: "bench/peer/relay.mjs" });
const hono = besides(leased, "hono", "hono + hono-rate-limiter, constant", {
  source: "bench/peer/hono.mjs",
  vars: { BYTES: `${SMALL}` },
});

/** In the order in which they take their turns: what is compared stands together. */
export const racers = [
  ...[leased, bare, local, floorLeased, refused, hono, leased20, bare20],
  ...[exact, upstash, floorExact, exactRedis],
  ...[relayed, relay, leased250, bare250, exactRedis250, upstash250],
];

/** The ratios that are printed. @type {[Racer, Racer][]} */
export const pairs = [
  [leased, bare],
  [local, bare],
  [leased, floorLeased],
  [local, floorLeased],
  [leased, upstash],
  [local, upstash],
  [exact, upstash],
  [refused, bare],
  [relayed, relay],
  [leased250, bare250],
  [exact, floorExact],
  [exactRedis, upstash],
  [exactRedis250, upstash250],
  [leased20, bare20],
  [local, hono],
  [upstash, bare],
  [hono, bare],
  [floorLeased, bare],
];
