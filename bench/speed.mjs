/** Speed: requests per second, latency, processor time and memory, beside JavaScript Workers. */
import { Failure } from "../scripts/lib/process.mjs";
import { ratiosOf, startGenerator } from "./lib/loading.mjs";
import { residentMemory } from "./lib/processes.mjs";
import { median, spread } from "./lib/report.mjs";
import { get, openConnection } from "./load/connection.mjs";
import { pairs, racers } from "./speed/contestants.mjs";
import { count, REQUESTS } from "./speed/counted.mjs";
import { startOrigin } from "./speed/origin.mjs";

/** Both JavaScript and WebAssembly are compiled better while they run. */
const WARM_UP_SECONDS = 2;
/**
 * What precedes each round of a contestant: its permits are void after the rounds of the others,
 * and a real client does not pause.
 */
const LEAD_IN_SECONDS = 0.5;
const CONNECTIONS = 16;
/** How many answers of a contestant are looked at until one comes from where it should. */
const LOOKS = 20;

/** @typedef {import("./speed/contestants.mjs").Racer} Racer */
/** @typedef {import("./lib/loading.mjs").Loaded} Loaded */

/**
 * @typedef {object} Result of a contestant
 * @property {import("./speed/counted.mjs").Counted} counted
 * @property {(Loaded & { scripts: number })[]} rounds `scripts`: calls of scripts in Redis, per
 *   request
 * @property {number | null} memory of its workerd afterwards, in bytes
 * @property {object} [repeats] what a floor repeats, of the headers
 */

/** @typedef {{ racer: Racer, gate: import("./lib/ground.mjs").Gate, result: Result }} Started */

/**
 * @param {import("./lib/ground.mjs").Ground} ground
 * @param {import("./main.mjs").Settings} settings
 */
export async function measure(ground, { rounds = 7, seconds = 1, clients = 10, only }) {
  const unknown = only?.find((name) => !racers.some((racer) => racer.name === name));
  if (unknown) throw new Failure(`speed: "${unknown}" is none of ${racers.map(({ name }) => name).join(", ")}`);
  const running = racers.filter(({ name }) => only?.includes(name) ?? true);
  const origin = await startOrigin();
  try {
    const results = await race(running, ground, origin.url, { rounds, seconds, clients });
    return report(running, results, { rounds, seconds, clients });
  } finally {
    await origin.stop();
  }
}

/**
 * @param {Racer[]} running
 * @param {import("./lib/ground.mjs").Ground} ground
 * @param {string} origin
 * @param {{ rounds: number, seconds: number, clients: number }} load
 * @returns {Promise<Map<Racer, Result>>}
 */
async function race(running, ground, origin, { rounds, seconds, clients }) {
  const generator = startGenerator();
  /** @type {Started[]} */
  const started = [];
  try {
    for (const racer of running) {
      const { counted, worker, repeats } = await prepare(racer, ground, origin);
      const gate = await ground.start(worker, racer.job(origin), racer.withoutStore ? { restUrl: null } : {});
      started.push({ racer, gate, result: { counted, rounds: [], memory: null, repeats } });
    }
    /** @type {(one: Started, seconds: number, status?: number | null) => Promise<Loaded>} */
    const load = ({ racer, gate }, seconds, status = racer.status) => {
      const { path, headers } = racer;
      const job = { urls: [gate.url], paths: [path], keys: clients, headers, connections: CONNECTIONS, seconds };
      return generator.load(job, [gate.pid], status);
    };
    for (const one of started) {
      // The first answers may be others: nobody is refused at once.
      await load(one, WARM_UP_SECONDS, null);
      await check(one.racer, one.gate.url);
    }
    for (let round = 0; round < rounds; round++) {
      console.error(`bench: speed: round ${round + 1} of ${rounds}`);
      // There and back, so that a machine that becomes slower or faster favours none.
      for (const one of round % 2 ? started.toReversed() : started) {
        await load(one, LEAD_IN_SECONDS);
        const before = await scriptCalls(ground);
        const loaded = await load(one, seconds);
        one.result.rounds.push({ ...loaded, scripts: ((await scriptCalls(ground)) - before) / loaded.requests });
      }
    }
    for (const { gate, result } of started) result.memory = residentMemory(gate.pid);
    return new Map(started.map(({ racer, result }) => [racer, result]));
  } finally {
    generator.stop();
    await Promise.all(started.map(({ gate }) => gate.stop()));
  }
}

/** @param {import("./lib/ground.mjs").Ground} ground */
async function scriptCalls({ redis }) {
  const calls = await redis.calls();
  return (calls.get("evalsha") ?? 0) + (calls.get("eval") ?? 0);
}

/**
 * Counts what a contestant does per request, and gives a floor what it repeats.
 * @param {Racer} racer
 * @param {import("./lib/ground.mjs").Ground} ground
 * @param {string} origin
 */
async function prepare({ floorOf, ...racer }, ground, origin) {
  if (floorOf === undefined) {
    const { counted } = await count(racer, ground, origin);
    return { counted, worker: racer.worker, repeats: undefined };
  }
  const { counted, floor } = await count(floorOf, ground, origin);
  const worker = { ...racer.worker, vars: { FLOOR: floor } };
  const repeats = floor && { read: floor.read, headers: floor.headers, changing: floor.changing };
  return { counted: { imports: null, exports: null, calls: Math.round(counted.calls) }, worker, repeats };
}

/**
 * Fails unless the answers come from where they should.
 * @param {Racer} racer
 * @param {string} url
 */
async function check({ title, path, headers, status, from = [] }, url) {
  const connection = await openConnection(url);
  let head = "";
  for (let look = 0; look < LOOKS; look++) {
    const reply = await connection.exchange(get(path, "key-1", headers));
    if (reply.status === status && from.every((pattern) => pattern.test(reply.head))) return connection.close();
    head = reply.head;
  }
  throw new Failure(`speed: "${title}" is not what is measured:\n${head}`);
}

/**
 * @param {Racer[]} running
 * @param {Map<Racer, Result>} results
 * @param {{ rounds: number, seconds: number, clients: number }} load
 * @returns {import("./lib/report.mjs").Table}
 */
function report(running, results, { rounds, seconds, clients }) {
  const resultOf = (/** @type {Racer} */ racer) => /** @type {Result} */ (results.get(racer));
  const perSecond = (/** @type {Loaded} */ { requests, seconds: took }) => requests / took;
  const of = (/** @type {Racer} */ racer, /** @type {(round: Loaded) => number | null} */ figure) =>
    resultOf(racer).rounds.map(figure);
  const middle = (/** @type {(number | null)[]} */ figures) => {
    const known = figures.filter((figure) => figure !== null);
    return known.length ? median(known) : null;
  };
  const compared = pairs
    .filter((pair) => pair.every((racer) => running.includes(racer)))
    .map(([one, other]) => ({
      name: `${one.title} : ${other.title}`,
      speed: ratiosOf(of(one, perSecond), of(other, perSecond)),
      cpu: ratiosOf(
        of(one, ({ cpuMs }) => cpuMs),
        of(other, ({ cpuMs }) => cpuMs),
      ),
      pair: [one.name, other.name],
    }));
  const digits = (/** @type {number | null} */ number, /** @type {number} */ count) => number?.toFixed(count) ?? null;
  const share = (/** @type {(number | null)[]} */ msPerSecond) => digits((middle(msPerSecond) ?? 0) / 10, 0);
  return {
    title: "Speed, as a ratio: medians of the rounds' ratios, and their quartiles",
    columns: ["requests per second", "processor time per request (less is better)"],
    rows: compared.map(({ name, speed, cpu }) => ({ name, cells: [spread(speed), spread(cpu)] })),
    notes: [
      `${CONNECTIONS} connections, ${clients} clients with API keys; ${rounds} rounds of ${seconds} s each in turns.`,
      "Bodies have 1 KB, unless the row says 250 KB. @upstash reads the limit and the body from Redis.",
      "I/O of …: JavaScript that reads and sets the same headers and sends the same call, and does nothing else.",
      "Cloudflare's rate limiting binding is not here: workerd has none, and what wrangler puts in its place",
      "is a database in a Durable Object, whose speed says nothing about Cloudflare's.",
    ],
    more: [
      {
        title: "Each by itself: medians of the rounds",
        columns: ["requests/s", "p50 ms", "p99 ms", "CPU µs", "imports/exports", "calls", "scripts", "MB", "busy"],
        rows: running.map((racer) => {
          const { counted, memory } = resultOf(racer);
          const { imports, exports, calls } = counted;
          const cpu = middle(of(racer, ({ cpuMs }) => cpuMs));
          const generator = share(of(racer, ({ generatorMs, seconds: took }) => generatorMs / took));
          const workerd = share(of(racer, ({ cpuMs, requests, seconds: took }) => cpuMs && (cpuMs * requests) / took));
          return {
            name: racer.title,
            cells: [
              digits(middle(of(racer, perSecond)), 0),
              digits(middle(of(racer, ({ p50 }) => p50)), 2),
              digits(middle(of(racer, ({ p99 }) => p99)), 2),
              digits(cpu && cpu * 1000, 0),
              imports === null ? null : `${imports}/${exports}`,
              `${Number(calls.toFixed(2))}`,
              digits(median(resultOf(racer).rounds.map(({ scripts }) => scripts)), 3),
              digits(memory && memory / 1e6, 0),
              `${workerd} / ${generator} %`,
            ],
          };
        }),
        notes: [
          "CPU: of workerd, per request. Imports/exports: calls from wasm to JavaScript and back, per request. Calls: HTTP",
          `calls of the store, per request. Both are counted in a run of their own, ${REQUESTS} requests of one client.`,
          "Scripts: calls of scripts in Redis under this load, per request. MB: workerd's memory after the rounds.",
          "Busy: how much of one core workerd and the generator of the load take.",
        ],
      },
    ],
    data: {
      connections: CONNECTIONS,
      clients,
      secondsPerRound: seconds,
      ratios: compared,
      contestants: Object.fromEntries(running.map((racer) => [racer.name, resultOf(racer)])),
    },
  };
}
