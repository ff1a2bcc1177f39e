/** Speed: requests per second, latency, and processor time in workerd. */
import { ceiling, ours, peer } from "./lib/contestants.mjs";
import { load, ratio } from "./lib/loading.mjs";

const ROUNDS = 5;
const SECONDS = 2;
/** Both JavaScript and WebAssembly are compiled better while they run. */
const WARM_UP_SECONDS = 3;
const CONNECTIONS = 16;
const CLIENTS = 100;

const symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"];
const depths = [50, 100];
const path = "/api/v1/market-data/orderbook";
const paths = symbols.flatMap((symbol) => depths.map((depth) => `${path}?symbol=${symbol}&limit=${depth}`));
const job = {
  limits: { "per-client": { by: "client", window: "60s", quota: 1_000_000 } },
  routes: [
    {
      path,
      limits: ["per-client"],
      cache: { ttl: "500ms", stale_while_revalidate: "2s", query: ["symbol", "limit"] },
    },
  ],
};

/** @typedef {import("./lib/loading.mjs").Loaded} Result */

/** @param {import("./lib/ground.mjs").Ground} ground */
export async function measure({ start }) {
  const contestants = [ours, peer, ceiling];
  const gates = [];
  /** @type {Record<string, Result[]>} */
  const results = Object.fromEntries(contestants.map(({ name }) => [name, []]));
  try {
    for (const contestant of contestants) gates.push(await start(contestant, job));
    for (const gate of gates) await loadFor(gate, WARM_UP_SECONDS);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, { name }] of contestants.entries()) results[name].push(await loadFor(gates[index], SECONDS));
    }
  } finally {
    await Promise.all(gates.map((gate) => gate.stop()));
  }

  /** @type {[string, (result: Result) => number | null][]} */
  const measures = [
    ["requests per second", ({ requests, seconds }) => requests / seconds],
    ["latency, p50 (less is better)", ({ p50 }) => p50],
    ["latency, p99 (less is better)", ({ p99 }) => p99],
    ["processor time of workerd per request (less is better)", ({ cpuMs }) => cpuMs],
  ];
  const pairs = [
    [ours, peer],
    [ours, ceiling],
    [peer, ceiling],
  ];
  return {
    title: "Speed on the same load, as a ratio",
    columns: pairs.map(([one, other]) => `${one.title} : ${other.title}`),
    rows: measures.map(([name, of]) => ({
      name,
      cells: pairs.map(([one, other]) => ratio(results[one.name].map(of), results[other.name].map(of))),
    })),
    notes: [
      `GET ${path}, ${paths.length} different ones, fresh for 500 ms, of ${CLIENTS} clients with API keys, one limit, none refused.`,
      "omnitrade-edge may serve them for 2 s more while it refreshes them behind the answer; @upstash fetches them again.",
      `${CONNECTIONS} connections; ${ROUNDS} rounds of ${SECONDS} s each in turns; medians of the rounds' ratios.`,
      "ceiling: a JavaScript Worker that answers at once, without limit, cache or origin.",
    ],
    data: { connections: CONNECTIONS, secondsPerRound: SECONDS, rounds: results },
  };
}

/**
 * @param {import("./lib/ground.mjs").Gate} gate
 * @param {number} seconds
 */
function loadFor({ url, pid }, seconds) {
  return load({ urls: [url], paths, keys: CLIENTS, connections: CONNECTIONS, seconds }, [pid]);
}
