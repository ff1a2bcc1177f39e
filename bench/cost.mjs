/** What a request costs the store: commands as Redis itself counts them, and HTTP calls. */
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../scripts/lib/process.mjs";
import { ours, peer, peerWithoutBlock } from "./lib/contestants.mjs";
import { startCountingProxy } from "./lib/counting-proxy.mjs";
import { get, openConnection } from "./load/connection.mjs";

/** How many requests of each kind are averaged. */
const REQUESTS = 50;

const WARM_UP = -1;

/** Days, so that no window ends meanwhile. */
const window = "1d";
const job = {
  limits: {
    "per-client": { by: "client", window, quota: 1_000_000 },
    "per-ip": { by: "ip", window, quota: 1_000_000 },
    single: { by: "client", window, quota: 1 },
  },
  routes: [
    { path: "/api/v1/market-data/symbols", limits: ["per-client"] },
    { path: "/api/trading-pairs", limits: ["per-client", "per-ip"] },
    { path: "/api/v1/market-data/orderbook", limits: ["per-client"], cache: { ttl: "5m", query: ["symbol", "limit"] } },
    { path: "/api/v1/market-data/ticker", limits: ["single"] },
  ],
};

const orderBook = (/** @type {number} */ n) => `/api/v1/market-data/orderbook?symbol=BTCUSDT&limit=${n + 2}`;
const ticker = "/api/v1/market-data/ticker?symbol=BTCUSDT";

/**
 * @typedef {object} Kind
 * @property {string} name
 * @property {(n: number) => { path: string, key: string }} request the `n`th; {@link WARM_UP} is one before them all
 * @property {boolean} [prepared] each was sent once before, by way of another isolate
 * @property {number} status
 * @property {RegExp} [from] where the answer must have come from
 */

/** @type {Kind[]} */
const KINDS = [
  {
    name: "admitted, one limit",
    request: () => ({ path: "/api/v1/market-data/symbols", key: "a" }),
    status: 200,
  },
  {
    name: "admitted, two limits",
    request: () => ({ path: "/api/trading-pairs", key: "a" }),
    status: 200,
  },
  {
    name: "admitted, one limit, body from the cache in Redis",
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
    name: "refused again",
    request: (n) => ({ path: ticker, key: `client-${n}` }),
    status: 429,
  },
];

/** @typedef {{ commands: number, calls: number, byCommand: Record<string, number> }} Cost per request */

/** @param {import("./lib/ground.mjs").Ground} ground */
export async function measure(ground) {
  const contestants = [ours, peer, peerWithoutBlock];
  /** @type {Record<string, Record<string, Cost>>} */
  const costs = {};
  for (const contestant of contestants) costs[contestant.name] = await costsOf(contestant, ground);
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
    notes: [`Means of ${REQUESTS} requests one after the other; what is written after the answer counts too.`],
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
 * @param {import("./load/connection.mjs").Connection} other of another isolate
 * @param {() => Promise<Counts>} counts
 */
async function costOf({ name, request, prepared, status, from }, isolate, other, counts) {
  const numbers = Array.from({ length: REQUESTS }, (_, n) => n);
  if (prepared) for (const n of [WARM_UP, ...numbers]) await ask(other, request(n));
  // Scripts are loaded now, clocks compared, connections opened.
  await ask(isolate, request(WARM_UP));

  const before = await counts();
  for (const n of numbers) {
    const answer = await ask(isolate, request(n));
    if (answer.status !== status || (from && !from.test(answer.cache))) {
      throw new Failure(`${name}, ${n}: the answer was ${answer.status} ${answer.cache}`);
    }
  }
  return difference(before, await counts());
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
 * The counts, once what goes on behind the answers is done.
 * @param {import("./lib/redis-info.mjs").RedisInfo} redis
 * @param {{ calls: () => number }} proxy
 * @returns {Promise<Counts>}
 */
async function settled(redis, proxy) {
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
 * @returns {Cost}
 */
function difference(before, after) {
  const perCommand = [...after.commands].map(([name, count]) => ({
    name,
    count: (count - (before.commands.get(name) ?? 0)) / REQUESTS,
  }));
  return {
    commands: perCommand.reduce((sum, { count }) => sum + count, 0),
    calls: (after.calls - before.calls) / REQUESTS,
    byCommand: Object.fromEntries(perCommand.filter(({ count }) => count > 0).map(({ name, count }) => [name, count])),
  };
}

/** @param {number} number */
function short(number) {
  return `${Number(number.toFixed(2))}`;
}
