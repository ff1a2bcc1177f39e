/** What a request costs the store: commands as Redis itself counts them, and HTTP calls. */
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../scripts/lib/process.mjs";
import { ours, peer, peerWithoutBlock } from "./lib/contestants.mjs";
import { startCountingProxy } from "./lib/counting-proxy.mjs";
import { get, openConnection } from "./load/connection.mjs";

/** How many requests of each kind are averaged. */
const REQUESTS = 50;

/** How long paced requests are sent: longer than several leases of permits. */
const PACED_SECONDS = 6;

const WARM_UP = -1;

/** Windows last a day, so that none ends during the measurement. */
const window = "1d";
const job = {
  limits: {
    "per-client": { by: "client", window, quota: 1_000_000 },
    "per-ip": { by: "ip", window, quota: 1_000_000 },
    single: { by: "client", window, quota: 1 },
    // As long as usual windows, so that permits are lent for only some seconds.
    leased: { by: "client", window: "60s", quota: 1_000_000, strategy: "lease" },
  },
  routes: [
    { path: "/api/v1/market-data/symbols", limits: ["per-client"] },
    { path: "/api/v1/market-data/markets", limits: ["per-client", "per-ip"] },
    { path: "/api/v1/market-data/orderbook", limits: ["per-client"], cache: { ttl: "5m", query: ["symbol", "limit"] } },
    { path: "/api/v1/market-data/ticker", limits: ["single"] },
    { path: "/api/v1/market-data/trades", limits: ["leased"] },
  ],
};

const orderBook = (/** @type {number} */ n) => `/api/v1/market-data/orderbook?symbol=BTCUSDT&limit=${n + 2}`;
const ticker = "/api/v1/market-data/ticker?symbol=BTCUSDT";
const trades = "/api/v1/market-data/trades?symbol=BTCUSDT";

/**
 * @typedef {object} Kind
 * @property {string} name
 * @property {(n: number) => { path: string, key: string }} request the `n`th request; {@link
 *   WARM_UP} is one that precedes them all
 * @property {boolean} [prepared] whether each request was sent once before, through another isolate
 * @property {number} [pace] how many requests are sent in a second; as many precede them,
 *   unmeasured
 * @property {number} status
 * @property {RegExp} [from] where the answer must have come from
 */

/** The names of the kinds that other parts use. */
export const NAMES = {
  oneLimit: "admitted, one limit",
  twoLimits: "admitted, two limits",
  leased: "admitted, one limit, permits fetched ahead, 50 a second",
  cached: "admitted, one limit, body from the cache in Redis",
  refusedAgain: "refused again",
};

/** @type {Kind[]} */
const KINDS = [
  {
    name: NAMES.oneLimit,
    request: () => ({ path: "/api/v1/market-data/symbols", key: "a" }),
    status: 200,
  },
  {
    name: NAMES.twoLimits,
    request: () => ({ path: "/api/v1/market-data/markets?per_page=1", key: "a" }),
    status: 200,
  },
  {
    name: NAMES.leased,
    request: () => ({ path: trades, key: "hot" }),
    pace: 50,
    status: 200,
  },
  {
    name: NAMES.cached,
    request: (n) => ({ path: orderBook(n), key: "a" }),
    prepared: true,
    status: 200,
    from: /^omnitrade-edge; hit;.*detail=redis|^hit$/,
  },
  {
    name: "refused, the first time",
    request: (n) => ({ path: ticker, key: `client-${n}` }),
    prepared: true,
    status: 429,
  },
  {
    name: NAMES.refusedAgain,
    request: (n) => ({ path: ticker, key: `client-${n}` }),
    status: 429,
  },
];

/**
 * @typedef {{
 *   commands: number, calls: number, byCommand: Record<string, number>
 * }} Cost per request
 */

/**
 * The costs, measured once for all parts that report them.
 * @type {WeakMap<object, Promise<Record<string, Record<string, Cost>>>>}
 */
const measured = new WeakMap();

/**
 * The costs by contestant and kind.
 * @param {import("./lib/ground.mjs").Ground} ground
 */
export function measureCosts(ground) {
  const costs = measured.get(ground) ?? costsOfAll(ground);
  measured.set(ground, costs);
  return costs;
}

const contestants = [ours, peer, peerWithoutBlock];

/** @param {import("./lib/ground.mjs").Ground} ground */
async function costsOfAll(ground) {
  /** @type {Record<string, Record<string, Cost>>} */
  const costs = {};
  for (const contestant of contestants) costs[contestant.name] = await costsOf(contestant, ground);
  return costs;
}

/** @param {import("./lib/ground.mjs").Ground} ground */
export async function measure(ground) {
  const costs = await measureCosts(ground);
  return {
    title: "What a request costs the store: Redis commands, those inside scripts counted / HTTP calls",
    columns: contestants.map(({ title }) => title),
    rows: KINDS.map(({ name }) => ({
      name,
      cells: contestants.map((contestant) => {
        const { commands, calls } = costs[contestant.name][name];
        return `${short(commands)} / ${short(calls)}`;
      }),
    })),
    notes: [
      `Means of ${REQUESTS} requests one after the other; what is written after the answer counts too.`,
      `Permits fetched ahead: for ${PACED_SECONDS} s; the peers have nothing of the kind.`,
    ],
    data: costs,
  };
}

/**
 * @param {import("./lib/contestants.mjs").Contestant} contestant
 * @param {import("./lib/ground.mjs").Ground} ground
 */
async function costsOf(contestant, { start, rest, redis }) {
  const proxy = await startCountingProxy(rest.url);
  const gate = await start(contestant, job, { isolates: 2, restUrl: proxy.url });
  try {
    /** @type {Record<string, Cost>} */
    const costs = {};
    const [isolate, other] = await Promise.all(gate.isolates.map(({ url }) => openConnection(url)));
    for (const kind of KINDS) costs[kind.name] = await costOf(kind, isolate, other, () => settled(redis, proxy));
    for (const connection of [isolate, other]) connection.close();
    return costs;
  } finally {
    await gate.stop();
    proxy.stop();
  }
}

/**
 * @param {Kind} kind
 * @param {import("./load/connection.mjs").Connection} isolate
 * @param {import("./load/connection.mjs").Connection} other a connection to another isolate
 * @param {() => Promise<Counts>} counts
 */
async function costOf({ name, request, prepared, pace, status, from }, isolate, other, counts) {
  const numbers = Array.from({ length: pace ? pace * PACED_SECONDS : REQUESTS }, (_, n) => n);
  if (prepared) for (const n of [WARM_UP, ...numbers]) await ask(other, request(n));
  const paced = async (/** @type {number} */ n) => {
    const [answer] = await Promise.all([ask(isolate, request(n)), sleep(pace ? 1000 / pace : 0)]);
    return answer;
  };
  // These requests load scripts, compare clocks and open connections.
  for (let n = 0; n < (pace ?? 1); n++) await paced(WARM_UP);

  const before = await counts();
  for (const n of numbers) {
    const answer = await paced(n);
    if (answer.status !== status || (from && !from.test(answer.cache))) {
      throw new Failure(`${name}, ${n}: the answer was ${answer.status} ${answer.cache}`);
    }
  }
  return difference(before, await counts(), numbers.length);
}

/**
 * @param {import("./load/connection.mjs").Connection} connection
 * @param {{ path: string, key: string }} request
 */
async function ask(connection, { path, key }) {
  const { status, head } = await connection.exchange(get(path, key));
  return { status, cache: head.match(/\r\n(?:cache-status|x-cache): *(.*)/i)?.[1].trim() ?? "" };
}

/** @typedef {{ commands: Map<string, number>, calls: number }} Counts */

/**
 * The counts after the background work of the answers has ended.
 * @param {import("./lib/redis-info.mjs").RedisInfo} redis
 * @param {{ calls: () => number }} proxy
 * @returns {Promise<Counts>}
 */
export async function settled(redis, proxy) {
  for (let seen = ""; ; ) {
    const [commands, calls] = [await redis.calls(), proxy.calls()];
    const now = JSON.stringify([calls, ...commands]);
    if (now === seen) return { commands, calls };
    seen = now;
    await sleep(100);
  }
}

/**
 * @param {Counts} before
 * @param {Counts} after
 * @param {number} requests
 * @returns {Cost}
 */
function difference(before, after, requests) {
  const perCommand = [...after.commands].map(([name, count]) => ({
    name,
    count: (count - (before.commands.get(name) ?? 0)) / requests,
  }));
  return {
    commands: perCommand.reduce((sum, { count }) => sum + count, 0),
    calls: (after.calls - before.calls) / requests,
    byCommand: Object.fromEntries(perCommand.filter(({ count }) => count > 0).map(({ name, count }) => [name, count])),
  };
}

/** @param {number} number */
function short(number) {
  return `${Number(number.toFixed(2))}`;
}
