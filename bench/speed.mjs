/** How fast: requests per second, latency, and the processor's time in workerd. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Failure, root, run } from "../scripts/lib/process.mjs";
import { ceiling, ours, peer } from "./lib/contestants.mjs";
import { median } from "./lib/report.mjs";

const ROUNDS = 5;
const SECONDS = 2;
/** Code is compiled better while it runs: JavaScript, and WebAssembly too. */
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

/** @typedef {import("./load/main.mjs").Result & { cpuMs: number | null }} Result `cpuMs`: of workerd, per request */

/** @param {import("./lib/ground.mjs").Ground} ground */
export async function measure({ start }) {
  const contestants = [ours, peer, ceiling];
  const gates = [];
  /** @type {Record<string, Result[]>} */
  const results = Object.fromEntries(contestants.map(({ name }) => [name, []]));
  try {
    for (const contestant of contestants) gates.push(await start(contestant, job));
    for (const gate of gates) await load(gate, WARM_UP_SECONDS);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, { name }] of contestants.entries()) results[name].push(await load(gates[index], SECONDS));
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
 * @returns {Promise<Result>}
 */
async function load({ url, pid }, seconds) {
  /** @type {import("./load/main.mjs").Load} */
  const load = { url, paths, keys: CLIENTS, connections: CONNECTIONS, seconds };
  const before = processorTime(pid);
  const { text } = await run(process.execPath, [join(root, "bench/load/main.mjs"), JSON.stringify(load)], {
    output: "quiet",
  });
  const after = processorTime(pid);
  /** @type {import("./load/main.mjs").Result} */
  const result = JSON.parse(text);
  const { 200: ok = 0, ...others } = result.statuses;
  if (ok !== result.requests) throw new Failure(`under load not every answer was 200: ${JSON.stringify(others)}`);
  return { ...result, cpuMs: before === null || after === null ? null : (after - before) / result.requests };
}

/**
 * What a process has had of the processor, in ms; `null` where the system does not say it this way.
 * @param {number} pid
 */
function processorTime(pid) {
  try {
    // The name of the program may hold spaces: what counts comes after it.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) * (1000 / ticksPerSecond());
  } catch {
    return null;
  }
}

function ticksPerSecond() {
  return Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
}

/**
 * @param {(number | null)[]} one by round
 * @param {(number | null)[]} other
 */
function ratio(one, other) {
  const ratios = one.flatMap((value, round) => {
    const against = other[round];
    return value === null || !against ? [] : [value / against];
  });
  return ratios.length ? median(ratios).toFixed(2) : null;
}
