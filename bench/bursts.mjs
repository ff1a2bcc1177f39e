/**
 * What bursts of one client get and cost, on the virtual clock: round trips to the store of 5 to
 * 500 ms, and 1 to 50 isolates.
 */
import { mostInAWindow } from "./limiter/exact-log.mjs";
import { buildSimulation } from "./limiter/simulation.mjs";
import { randomNumbers, START } from "./limiter/traces.mjs";

/** Another seed makes other traces. */
const SEED = 20_261_127;

const SHAPE = { quota: 100, windowMs: 60_000 };

/** The gate's default: `redis.timeout`. */
const TIMEOUT = 150;

/** `local_share` of the limit: the default. */
const SHARE = 0.5;

const ROUND_TRIPS = [5, 20, 50, 100, 200, 500];
const ISOLATES = [1, 3, 10, 50];

/** How much longer or shorter than that a call takes. */
const JITTER = 0.2;

/** Requests of a burst, in each isolate. */
const BURST = 40;

/** When bursts come, in ms since the start. */
const BURSTS = [1_000, 1_050, 31_000, 61_500, 90_000];

/** Between them, requests one by one, in ms apart. */
const LONE = 400;
const END = 130_000;

/** How long after a burst a request is not alone. */
const AFTER = 2_000;

const STRATEGIES = /** @type {const} */ (["exact", "lease"]);

/**
 * @typedef {object} Figures
 * @property {number} isolates
 * @property {number} roundTrip ms
 * @property {"exact" | "lease"} who
 * @property {number} worst window ÷ quota
 * @property {number} bound of that
 * @property {[p50: number, p99: number]} added ms beside the round trip of a lone request, or
 *   beside the deadline if that is shorter; of requests in bursts
 * @property {number} lone the same of requests that come one by one, at most
 * @property {number} calls for each request
 */

export async function measure() {
  const { simulate } = await buildSimulation();
  /** @type {Figures[]} */
  const data = [];
  for (const who of STRATEGIES) {
    for (const isolates of ISOLATES) {
      for (const roundTrip of ROUND_TRIPS) {
        const { trace, inBurst } = traceOf(isolates);
        const storeMs = /** @type {[number, number]} */ ([1 - JITTER, 1 + JITTER].map((part) => part * roundTrip));
        const scenario = { who, ...SHAPE, isolates, storeMs, timeoutMs: TIMEOUT, seed: SEED, trace };
        const [outcome] = await simulate([{ ...scenario, storeMs: [Math.floor(storeMs[0]), Math.ceil(storeMs[1])] }]);
        data.push({ isolates, roundTrip, who, ...figures(outcome, { isolates, roundTrip, trace, inBurst }) });
      }
    }
  }
  return {
    title: "What bursts get, and what they cost",
    columns: ["worst window ÷ quota", "bound", "met", "added, ms: p50, p99", "lone", "calls per request"],
    rows: data.map((row) => ({
      name: `${row.who}, ${row.isolates} isolate${row.isolates === 1 ? "" : "s"}, ${row.roundTrip} ms`,
      cells: [
        row.worst.toFixed(2),
        `≤ ${row.bound}`,
        row.worst <= row.bound ? "yes" : "NO",
        row.added.map((ms) => ms.toFixed(0)).join(", "),
        row.lone.toFixed(0),
        row.calls.toFixed(3),
      ],
    })),
    notes: [
      `One client, ${SHAPE.quota} per minute; ${BURSTS.length} bursts of ${BURST} requests at one instant in each isolate,`,
      `and one request each ${LONE} ms. A call takes the round trip ± ${100 * JITTER} %; its deadline is ${TIMEOUT} ms.`,
      "Windows by the instants at which requests are answered, both ends included. The bound: 1 while the store answers",
      `in time; else 1 + isolates × ${SHARE} (docs/limits.md). Added: beside what a lone request waits, at most the`,
      `deadline; lone: of requests that come more than ${AFTER / 1000} s after a burst, the longest.`,
    ],
    data: { seed: SEED, figures: data },
  };
}

/** @param {number} isolates */
function traceOf(isolates) {
  const random = randomNumbers(SEED);
  /** @type {[at: number, isolate: number, inBurst: boolean][]} */
  const all = [];
  for (const at of BURSTS) {
    for (let isolate = 0; isolate < isolates; isolate++) {
      for (let n = 0; n < BURST; n++) all.push([START + at, isolate, true]);
    }
  }
  for (let at = 0; at < END; at += LONE) all.push([START + at, Math.floor(random() * isolates), false]);
  all.sort(([a], [b]) => a - b);
  return {
    trace: all.map(([at, isolate]) => /** @type {[number, number]} */ ([at, isolate])),
    inBurst: all.map(([, , inBurst]) => inBurst),
  };
}

/**
 * @param {import("./limiter/simulation.mjs").Outcome} outcome
 * @param {{
 *   isolates: number, roundTrip: number, inBurst: boolean[],
 *   trace: import("./limiter/traces.mjs").Trace
 * }} of
 */
function figures({ answers, calls }, { isolates, roundTrip, trace, inBurst }) {
  const times = answers.flatMap(([admitted, at]) => (admitted ? [at] : [])).toSorted((a, b) => a - b);
  const waited = answers.map(([, at], n) => Math.max(at - trace[n][0] - Math.min(roundTrip, TIMEOUT), 0));
  const ofBursts = waited.filter((_, n) => inBurst[n]).toSorted((a, b) => a - b);
  const part = (/** @type {number} */ p) => ofBursts[Math.min(Math.floor(p * ofBursts.length), ofBursts.length - 1)];
  const isLone = (/** @type {number} */ at) => BURSTS.every((burst) => at < burst || at > burst + AFTER);
  const isLocal = answers.some(([, , , local]) => local === 1);
  return {
    worst: mostInAWindow(times, SHAPE.windowMs) / SHAPE.quota,
    bound: isLocal ? 1 + isolates * SHARE : 1,
    added: /** @type {[number, number]} */ ([part(0.5), part(0.99)]),
    lone: Math.max(...waited.filter((_, n) => isLone(trace[n][0] - START))),
    calls: calls / answers.length,
  };
}
