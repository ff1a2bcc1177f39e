/**
 * `npm run bench`: measures the gate and its peers side by side, and prints what it measured.
 *
 *     npm run bench -- [PART…] [OPTION…]     the parts named, or all of them
 */
import { parseArgs } from "node:util";
import { buildWorker } from "../scripts/build.mjs";
import { bootstrap } from "../scripts/lib/bootstrap.mjs";
import { buildCommandLine } from "../scripts/lib/command-line.mjs";
import { Failure, main } from "../scripts/lib/process.mjs";
import { ensureRedisServer } from "../scripts/lib/redis-server.mjs";

/**
 * What can be measured, in the order in which it is printed.
 * @type {Record<string, { about: string, load: () => Promise<{ measure: Measure }> }>}
 */
const PARTS = {
  cost: { about: "what a request costs the store", load: () => import("./cost.mjs") },
  terminals: {
    about: "what the frontend's users cost, and whether one is refused",
    load: () => import("./terminals.mjs"),
  },
  accuracy: { about: "how much an adversary gets", load: () => import("./accuracy.mjs") },
  limiter: { about: "how well it limits, beside @upstash/ratelimit and governor", load: () => import("./limiter.mjs") },
  bursts: {
    about: "what bursts get and cost, with any round trip and up to 50 isolates",
    load: () => import("./bursts.mjs"),
  },
  cache: { about: "how well it caches, beside nginx and Varnish", load: () => import("./cache.mjs") },
  speed: {
    about: "requests per second, latency and memory, beside JavaScript Workers",
    load: () => import("./speed.mjs"),
  },
  sdk: {
    about: "the npm package: beside @upstash/ratelimit, its start, memory and size",
    load: () => import("./sdk.mjs"),
  },
  tcp: {
    about: "exact checks of the crate over TCP, beside bare calls of the same script",
    load: () => import("./tcp.mjs"),
  },
  tower: { about: "what the crate's layer costs, beside tower_governor", load: () => import("./tower.mjs") },
  axum: {
    about: "how many requests two processes of axum admit in any second",
    load: () => import("./axum.mjs"),
  },
  start: { about: "how long the first answer takes after workerd has started", load: () => import("./start.mjs") },
  scale: { about: "time and memory with many clients, entries and routes", load: () => import("./scale.mjs") },
  routing: { about: "what it takes to find a request's route, of 8 and of 500", load: () => import("./routing.mjs") },
  compression: { about: "what compression saves in Redis", load: () => import("./compression.mjs") },
  size: {
    about: "how large the Workers and the npm package are, and what of ours is how large",
    load: () => import("./size.mjs"),
  },
};

/**
 * @typedef {object} Settings what the options say; each part has defaults of its own
 * @property {number} [rounds]
 * @property {number} [seconds]
 * @property {number} [clients]
 * @property {number} [starts]
 * @property {number} [requests]
 * @property {string[]} [only]
 */

/**
 * @typedef {(
 *   ground: import("./lib/ground.mjs").Ground, settings: Settings
 * ) => Promise<import("./lib/report.mjs").Table>} Measure
 */

const USAGE = `usage: npm run bench -- [PART…] [OPTION…]

  PART      ${Object.entries(PARTS)
    .map(([name, { about }]) => `${name.padEnd(12)} ${about}`)
    .join("\n            ")}
            without one: all of them
  --json    one JSON document in place of the tables

  speed:
  --rounds N         how many rounds (7)
  --seconds S        how long each contestant is under load in a round (1)
  --clients N        how many clients send the requests (10)
  --only NAME,…      only these contestants, and the ratios between them

  scale:
  --rounds N, --seconds S
  --requests N       how many requests the memory is measured after (1000000)

  tcp:
  --rounds N         how many rounds (7)

  sdk:
  --rounds N         how many rounds (7)
  --seconds S        how long each contestant runs in a round (1)

  axum:
  --seconds S        how long the load lasts (10)

  start:
  --starts N         how often each contestant is started (21)`;

await main(async () => {
  const { names, json, settings } = options();
  await bootstrap();
  const problem = await ensureRedisServer();
  if (problem) throw new Failure(`the measurements need a redis-server: ${problem}`);
  await buildWorker();
  const restServer = await buildCommandLine({ release: true });

  // Imported here, because what it imports exists only after `bootstrap`.
  const { layGround } = await import("./lib/ground.mjs");
  const { printReport } = await import("./lib/report.mjs");
  const { describeMachine } = await import("./lib/machine.mjs");

  const ground = await layGround(restServer);
  try {
    const machine = await describeMachine(ground.redis);
    /** @type {Record<string, import("./lib/report.mjs").Table>} */
    const tables = {};
    for (const name of names) {
      console.error(`bench: ${name}: ${PARTS[name].about}`);
      const { measure } = await PARTS[name].load();
      tables[name] = await measure(ground, settings);
    }
    printReport({ machine, tables }, json);
  } finally {
    await ground.stop();
  }
});

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        help: { type: "boolean" },
        rounds: { type: "string" },
        seconds: { type: "string" },
        clients: { type: "string" },
        starts: { type: "string" },
        requests: { type: "string" },
        only: { type: "string" },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    const unknown = positionals.find((name) => !Object.hasOwn(PARTS, name));
    if (unknown !== undefined) throw new Error(`no part is called "${unknown}"`);
    const settings = {
      rounds: count("rounds", values.rounds),
      seconds: positive("seconds", values.seconds),
      clients: count("clients", values.clients),
      starts: count("starts", values.starts),
      requests: count("requests", values.requests),
      only: values.only?.split(","),
    };
    return { names: positionals.length ? positionals : Object.keys(PARTS), json: values.json, settings };
  } catch (error) {
    throw new Failure(`${/** @type {Error} */ (error).message}\n\n${USAGE}`);
  }
}

/** @param {string} name @param {string | undefined} text */
function positive(name, text) {
  const number = text === undefined ? undefined : Number(text);
  if (number !== undefined && !(number > 0)) throw new Error(`--${name}: "${text}" is not a number above 0`);
  return number;
}

/** @param {string} name @param {string | undefined} text */
function count(name, text) {
  const number = positive(name, text);
  if (number !== undefined && !Number.isInteger(number)) throw new Error(`--${name}: "${text}" is not a whole number`);
  return number;
}
