/** Start: how much longer the first answer takes than that of a bare JavaScript Worker. */
import { Failure } from "../scripts/lib/process.mjs";
import { shippedEdge } from "../scripts/lib/shipped.mjs";
import { ours, peer } from "./lib/contestants.mjs";
import { processorTime } from "./lib/processes.mjs";
import { median, quantile } from "./lib/report.mjs";
import { get, openConnection } from "./load/connection.mjs";

const BYTES = "1000";
/** Only the gate's own caches may answer: nobody waits for the origin or the store. */
const ONLY_IF_CACHED = /** @type {[string, string]} */ (["cache-control", "only-if-cached"]);
const QUOTES = "/api/v1/market-data/orderbook?symbol=BTCUSDT&limit=50";

const limits = { limit: { by: "client", window: "60s", quota: 1_000_000 } };
const job = {
  limits,
  routes: [
    { path: "/api/v1/market-data/orderbook", limits: ["limit"], cache: { ttl: "5s", query: ["symbol", "limit"] } },
  ],
};

/**
 * @typedef {object} Starter
 * @property {string} title
 * @property {import("./lib/contestants.mjs").Contestant} worker
 * @property {[string, string][]} [headers] of its first request
 * @property {boolean} [shipped] whether it has the configuration of `wrangler.toml`
 * @property {boolean} [withStore]
 * @property {number} [status] of its first answer
 */

/** @type {Starter} */
const constant = {
  title: "JavaScript, constant",
  worker: { name: "constant", title: "constant", source: "bench/peer/constant.mjs", vars: { BYTES } },
};
/** @type {Starter} */
const relay = {
  title: "JavaScript, fetch(origin)",
  worker: { name: "relay", title: "relay", source: "bench/peer/relay.mjs" },
};
/** @type {Starter} */
const atOnce = { title: "answered at once", worker: ours, headers: [ONLY_IF_CACHED], status: 504 };
/** @type {Starter} */
const shipped = { ...atOnce, title: "answered at once, as wrangler.toml says", shipped: true };
/** @type {Starter} */
const fromOrigin = { title: "local limit, from the origin", worker: ours };
/** @type {Starter} */
const exact = { title: "exact limit, from the origin", worker: ours, withStore: true };
/** @type {Starter} */
const upstash = { title: "@upstash, from the origin", worker: peer, withStore: true };

/** Each with the one that it is compared with. @type {[Starter, Starter][]} */
const pairs = [
  [atOnce, constant],
  [shipped, constant],
  [fromOrigin, relay],
  [exact, relay],
  [upstash, relay],
];
const starters = [constant, atOnce, shipped, relay, fromOrigin, exact, upstash];

/**
 * @typedef {object} Start
 * @property {number} answered ms from the start of the process to the end of the first answer
 * @property {number} listening ms from the start of the process until it listens
 * @property {number | null} cpuMs processor time until the end of the first answer
 */

/**
 * @param {import("./lib/ground.mjs").Ground} ground
 * @param {import("./main.mjs").Settings} settings
 * @returns {Promise<import("./lib/report.mjs").Table>}
 */
export async function measure(ground, { starts = 21 }) {
  /** @type {Map<Starter, Start[]>} */
  const results = new Map(starters.map((starter) => [starter, []]));
  // The first one of each fills the system's caches.
  for (const starter of starters) await start(starter, ground);
  for (let round = 0; round < starts; round++) {
    for (const starter of round % 2 ? starters.toReversed() : starters) {
      results.get(starter)?.push(await start(starter, ground));
    }
  }
  return report(results, starts);
}

/**
 * @param {Starter} starter
 * @param {import("./lib/ground.mjs").Ground} ground
 * @returns {Promise<Start>}
 */
async function start({ title, worker, headers = [], shipped = false, withStore = false, status = 200 }, ground) {
  const { redis: _, ...edge } = shippedEdge(ground.origin.url);
  const gate = await ground.start(
    worker,
    shipped ? /** @type {any} */ (edge) : job,
    withStore ? {} : { restUrl: null },
  );
  try {
    const { spawned, listening } = gate.times;
    const connection = await openConnection(gate.url);
    const reply = await connection.exchange(get(QUOTES, "key-0", headers));
    const answered = performance.now() - spawned;
    const cpuMs = processorTime([gate.pid]);
    connection.close();
    if (reply.status !== status) throw new Failure(`start: "${title}" answered ${reply.head}`);
    return { answered, listening: listening - spawned, cpuMs };
  } finally {
    await gate.stop("SIGKILL");
  }
}

/**
 * @param {Map<Starter, Start[]>} results
 * @param {number} starts
 * @returns {import("./lib/report.mjs").Table}
 */
function report(results, starts) {
  const of = (/** @type {Starter} */ starter, /** @type {(start: Start) => number | null} */ figure) =>
    (results.get(starter) ?? []).map(figure);
  const beyond = (/** @type {Starter} */ one, /** @type {Starter} */ other, /** @type {typeof answered} */ figure) => {
    const others = of(other, figure);
    return of(one, figure).flatMap((value, round) => {
      const against = others[round];
      return value === null || against === null ? [] : [value - against];
    });
  };
  const answered = (/** @type {Start} */ start) => /** @type {number | null} */ (start.answered);
  const listening = (/** @type {Start} */ start) => /** @type {number | null} */ (start.listening);
  const cpu = (/** @type {Start} */ start) => start.cpuMs;
  const afterwards = (/** @type {Start} */ start) => start.answered - start.listening;
  const figures = [answered, listening, afterwards, cpu];
  const middle = (/** @type {(number | null)[]} */ all) => {
    const known = all.filter((one) => one !== null);
    return known.length ? median(known).toFixed(1) : null;
  };
  const spread = (/** @type {number[]} */ all) =>
    all.length ? [0.5, 0.25, 0.75].map((part) => quantile(all, part).toFixed(1)) : null;
  const columns = ["first answer", "until it listens", "from then on", "processor time"];
  return {
    title: "The first answer beyond that of a bare JavaScript Worker, in ms: medians and quartiles",
    columns,
    rows: pairs.map(([one, other]) => ({
      name: `${one.title} - ${other.title}`,
      cells: figures.map((figure) => {
        const quartiles = spread(beyond(one, other, figure));
        return quartiles && `${quartiles[0]} (${quartiles[1]} to ${quartiles[2]})`;
      }),
    })),
    notes: [
      `${starts} starts of each in turns, each with a new workerd; from the start of its process, until the first answer`,
      "has arrived. Answered at once: a request that only the cache may answer, and so 504, without store and origin.",
    ],
    more: [
      {
        title: "Each by itself: medians in ms",
        columns,
        rows: starters.map((starter) => ({
          name: starter.title,
          cells: figures.map((figure) => middle(of(starter, figure))),
        })),
        notes: [],
      },
    ],
    data: {
      starts: Object.fromEntries([...results].map(([{ title }, all]) => [title, all])),
      beyond: pairs.map(([one, other]) => ({
        pair: [one.title, other.title],
        answered: beyond(one, other, answered),
        cpuMs: beyond(one, other, cpu),
      })),
    },
  };
}
