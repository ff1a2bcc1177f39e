/** Scale: what many clients, entries and routes add to a request's time and to the memory. */
import { bundleWithMemory } from "../tests/support/counting.mjs";
import { ours } from "./lib/contestants.mjs";
import { ratiosOf, startGenerator } from "./lib/loading.mjs";
import { residentMemory } from "./lib/processes.mjs";
import { median, spread } from "./lib/report.mjs";
import { cases, jobOf, pathsOf } from "./scale/cases.mjs";
import { SMALL, startOrigin } from "./speed/origin.mjs";

const CONNECTIONS = 16;
/** Both JavaScript and WebAssembly are compiled better while they run. */
const WARM_UP_REQUESTS = 30_000;
/** Long enough for each load that is bounded by its number of requests. */
const LONGEST_SECONDS = 3_600;

/**
 * There is little room for young objects. What they hold outside of V8 is freed only with them:
 * with more room it grows to hundreds of MB in any Worker, and hides what is to be measured.
 */
const v8Flags = ["--expose-gc", "--max-semi-space-size=2"];
const COLLECTIONS = 3;

/** The load after which the memory is measured. */
const CLIENTS = 100_000;
const ENTRIES = 10;
const ROUTES = 8;
/** A load with permits fetched ahead has fewer requests, because each client asks the store. */
const FEWER = 10;

/** @typedef {import("./lib/loading.mjs").Loaded} Loaded */
/**
 * @typedef {object} Memory in bytes
 * @property {number | null} before of workerd, after the load
 * @property {number | null} collected of workerd, after V8 has collected its garbage
 * @property {number} wasm of the module; 0 if there is none
 */
/** @typedef {{ name: string, rounds: Loaded[], memory: Memory }} Scaled */
/** @typedef {{ name: string, requests: number, memory: Memory }} Filled */

/**
 * @typedef {object} Started
 * @property {import("./lib/ground.mjs").Gate} gate
 * @property {(bound: object) => Promise<Loaded>} load
 * @property {Scaled} result
 */

/**
 * @param {import("./lib/ground.mjs").Ground} ground
 * @param {import("./main.mjs").Settings} settings
 * @returns {Promise<import("./lib/report.mjs").Table>}
 */
export async function measure(ground, { rounds = 7, seconds = 1, requests = 1_000_000 }) {
  const origin = await startOrigin();
  const generator = startGenerator();
  try {
    const setting = { ground, generator, origin: origin.url, script: await bundleWithMemory() };
    const scaled = await scale(setting, { rounds, seconds });
    const filled = await fill(setting, requests);
    return report({ scaled, filled, rounds, seconds });
  } finally {
    generator.stop();
    await origin.stop();
  }
}

/**
 * @typedef {object} Setting
 * @property {import("./lib/ground.mjs").Ground} ground
 * @property {import("./lib/loading.mjs").Generator} generator
 * @property {string} origin
 * @property {string} script of the gate
 */

/**
 * @param {Setting} setting
 * @param {{ rounds: number, seconds: number }} times
 * @returns {Promise<Scaled[]>}
 */
async function scale({ ground, generator, origin, script }, { rounds, seconds }) {
  /** @type {Started[]} */
  const started = [];
  try {
    for (const { name, clients, entries, routes } of cases) {
      const contestant = { ...ours, name: `scale-${clients}-${entries}-${routes}`, script };
      // Without a store, because it takes most of the time of a client's first request.
      const gate = await ground.start(contestant, jobOf({ origin, routes }), { restUrl: null, v8Flags });
      const [paths, urls] = [pathsOf(entries), [gate.url]];
      let from = 0;
      const load = async (/** @type {object} */ bound) => {
        const job = { urls, paths, keys: clients, connections: CONNECTIONS, seconds, from, ...bound };
        const loaded = await generator.load(job, [gate.pid]);
        // The next load goes on with the clients that come then.
        from += loaded.requests;
        return loaded;
      };
      started.push({ gate, load, result: { name, rounds: [], memory: { before: null, collected: null, wasm: 0 } } });
      console.error(`bench: scale: ${name}`);
      await load({ most: Math.max(WARM_UP_REQUESTS, clients, entries), seconds: LONGEST_SECONDS });
    }
    for (let round = 0; round < rounds; round++) {
      console.error(`bench: scale: round ${round + 1} of ${rounds}`);
      const turns = started.map((_, n) => started[(n + round) % started.length]);
      for (const { load, result } of turns) result.rounds.push(await load({}));
    }
    for (const { gate, result } of started) result.memory = await memoryOf(gate);
    return started.map(({ result }) => result);
  } finally {
    await Promise.all(started.map(({ gate }) => gate.stop()));
  }
}

/**
 * The memory after a load of many clients: of a bare Worker, and of the gate with limits of the
 * isolate and with permits fetched ahead.
 * @param {Setting} setting
 * @param {number} requests
 * @returns {Promise<Filled[]>}
 */
async function fill({ ground, generator, origin, script }, requests) {
  const bare = {
    ...{ name: "bare", title: "JavaScript, constant" },
    ...{ script: await bundleWithMemory("bench/peer/constant.mjs"), vars: { BYTES: `${SMALL}` } },
  };
  const local = { ...ours, name: "filled-local", title: "local", script };
  const leased = { ...ours, name: "filled-leased", title: "leased", script };
  const fewer = Math.ceil(requests / FEWER);
  const loads = [
    { contestant: bare, count: requests, strategy: "exact" },
    { contestant: local, count: requests, strategy: "exact" },
    { contestant: bare, count: fewer, strategy: "exact" },
    { contestant: leased, count: fewer, strategy: "lease" },
  ];
  /** @type {Filled[]} */
  const filled = [];
  for (const { contestant, count, strategy } of loads) {
    console.error(`bench: scale: ${contestant.title}, ${count} requests`);
    const job = jobOf({ origin, routes: ROUTES, strategy: /** @type {"exact" | "lease"} */ (strategy) });
    const gate = await ground.start(contestant, job, strategy === "lease" ? { v8Flags } : { restUrl: null, v8Flags });
    try {
      const paths = pathsOf(ENTRIES);
      const load = { urls: [gate.url], paths, keys: CLIENTS, connections: CONNECTIONS, from: 0, most: count };
      await generator.load({ ...load, seconds: LONGEST_SECONDS }, []);
      filled.push({ name: contestant.title, requests: count, memory: await memoryOf(gate) });
    } finally {
      await gate.stop();
    }
  }
  return filled;
}

/**
 * @param {import("./lib/ground.mjs").Gate} gate
 * @returns {Promise<Memory>}
 */
async function memoryOf(gate) {
  const before = residentMemory(gate.pid);
  let wasm = 0;
  // What the first collection gives free may itself hold something.
  for (let n = 0; n < COLLECTIONS; n++) wasm = Number(await (await gate.fetch("/__memory")).text());
  return { before, collected: residentMemory(gate.pid), wasm };
}

/**
 * @param {{ scaled: Scaled[], filled: Filled[], rounds: number, seconds: number }} measured
 * @returns {import("./lib/report.mjs").Table}
 */
function report({ scaled, filled, rounds, seconds }) {
  const [smallest] = scaled;
  const perSecond = (/** @type {Scaled} */ one) => one.rounds.map((round) => round.requests / round.seconds);
  const cpu = (/** @type {Scaled} */ one) => one.rounds.map(({ cpuMs }) => cpuMs ?? 0);
  const megabytes = (/** @type {number | null} */ bytes) => (bytes === null ? null : (bytes / 1e6).toFixed(1));
  const beyond = (/** @type {Filled} */ { requests, memory }, /** @type {"before" | "collected"} */ when) => {
    const bare = filled.find((other) => other.requests === requests)?.memory[when];
    const own = memory[when];
    return own === null || !bare ? null : megabytes(own - bare);
  };
  return {
    title: `Many clients, entries and routes, as a ratio to ${smallest.name}: medians and quartiles`,
    columns: ["requests per second", "processor time per request", "CPU µs", "memory MB", "of it wasm's MB"],
    rows: scaled.map((one) => ({
      name: one.name,
      cells: [
        spread(ratiosOf(perSecond(one), perSecond(smallest))),
        spread(ratiosOf(cpu(one), cpu(smallest))),
        (1000 * median(cpu(one))).toFixed(0),
        megabytes(one.memory.collected),
        megabytes(one.memory.wasm),
      ],
    })),
    notes: [
      `Hits in the isolate's memory, local limits, ${CONNECTIONS} connections; ${rounds} rounds of ${seconds} s each in turns, after all`,
      "clients have sent a request and all entries are stored. Each of many clients comes back when all others have come.",
      "Memory: of workerd, after V8 has collected its garbage. V8 has only 2 MB for young objects, because what these",
      "hold outside of V8 grows to hundreds of MB in any Worker as long as there is room.",
    ],
    more: [
      {
        title: `The memory of workerd in MB after the requests of ${CLIENTS.toLocaleString("en")} clients`,
        columns: ["requests", "memory", "beyond JavaScript's", "collected", "beyond JavaScript's", "wasm's"],
        rows: filled.map((one) => ({
          name: one.name,
          cells: [
            one.requests.toLocaleString("en"),
            ...[megabytes(one.memory.before), beyond(one, "before")],
            ...[megabytes(one.memory.collected), beyond(one, "collected")],
            megabytes(one.memory.wasm),
          ],
        })),
        notes: [
          "Collected: after V8 has collected its garbage. As above, it has only 2 MB for young objects.",
          "Leased: each client's first request asks the store, and so there are fewer requests.",
        ],
      },
    ],
    data: { scaled, filled },
  };
}
