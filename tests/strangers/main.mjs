/**
 * `npm run strangers`: what a million clients, API keys, URLs and `Origin`s that come once cost the
 * isolate and those who come again and again.
 *
 *     npm run strangers -- [--strangers N] [--redis]
 *
 * Without a store the isolate's memory is all that knows the clients; with `--redis` the store is
 * asked about each. Fails if a bound is broken.
 */
import { parseArgs } from "node:util";
import { residentMemory } from "../../bench/lib/processes.mjs";
import { startOrigin } from "../../bench/speed/origin.mjs";
import { buildWorker } from "../../scripts/build.mjs";
import { bootstrap } from "../../scripts/lib/bootstrap.mjs";
import { buildCommandLine } from "../../scripts/lib/command-line.mjs";
import { Failure, main } from "../../scripts/lib/process.mjs";
import { startRedis, startRestRedis } from "../../scripts/lib/servers.mjs";
import { bundleWithMemory } from "../support/counting.mjs";
import { startGate } from "../support/gate.mjs";
import { crowd, EDGE, QUOTA } from "./crowd.mjs";

/** By how many bytes the gate's isolate may be larger than a Worker that only hands on. */
const MOST_MEMORY = 64 * 1_024 * 1_024;

/** The least part of the requests of URLs in demand that is answered from memory. */
const LEAST_HITS = 0.95;

/** There is little room for young objects: see `bench/scale.mjs`. */
const v8Flags = ["--expose-gc", "--max-semi-space-size=2"];
const COLLECTIONS = 3;

await main(async () => {
  const { values } = parseArgs({
    options: { strangers: { type: "string", default: "1000000" }, redis: { type: "boolean", default: false } },
  });
  const strangers = Number(values.strangers);
  if (!(strangers > 0)) throw new Failure(`--strangers: expected a number, found ${values.strangers}`);
  await bootstrap();
  await buildWorker();
  const origin = await startOrigin();
  /** @type {(() => Promise<unknown>)[]} */
  const stops = [origin.stop];
  try {
    const vars = values.redis ? await startStore(stops) : {};
    const edge = { ...EDGE, origin: origin.url, redis: { timeout: "5s" } };
    const bareScript = await bundleWithMemory("tests/strangers/bare.mjs");
    const bare = await measure(
      "a Worker that hands on",
      { script: bareScript, vars: { ORIGIN: origin.url } },
      strangers,
    );
    const gate = await measure("the gate", { script: await bundleWithMemory(), edge, vars }, strangers);
    check(gate, bare);
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
});

/** @typedef {import("./crowd.mjs").Seen & { memory: number | null, wasm: number }} Measured */

/**
 * @param {string} name
 * @param {Parameters<typeof startGate>[0]} options
 * @param {number} strangers
 * @returns {Promise<Measured>}
 */
async function measure(name, options, strangers) {
  const gate = await startGate({ ...options, v8Flags });
  try {
    const seen = await crowd(gate.url, { strangers });
    let wasm = 0;
    for (let n = 0; n < COLLECTIONS; n++) wasm = Number(await (await gate.fetch("/__memory")).text());
    const memory = residentMemory(gate.pid);
    console.log(
      `${name}: ${strangers} strangers in ${seen.seconds.toFixed(0)} s, ${megabytes(memory)} of memory, ` +
        `${megabytes(wasm)} of it wasm's; ${JSON.stringify(seen.statuses)}`,
    );
    return { ...seen, memory, wasm };
  } finally {
    await gate.stop();
  }
}

/** @param {Measured} gate @param {Measured} bare */
function check(gate, bare) {
  const problems = [];
  if (gate.memory === null || bare.memory === null) {
    console.log("the memory cannot be measured here");
  } else {
    const more = gate.memory - bare.memory;
    console.log(`memory: ${megabytes(more)} more; at most ${megabytes(MOST_MEMORY)}`);
    if (more > MOST_MEMORY) problems.push("the memory");
  }
  console.log(`URLs in demand: ${(100 * gate.hits).toFixed(1)} % are hits; at least ${100 * LEAST_HITS} %`);
  if (!(gate.hits >= LEAST_HITS)) problems.push("the hits");
  console.log(`busy clients: at most ${gate.most} requests in a window, of ${QUOTA}; ${gate.refused} refused`);
  if (gate.most > QUOTA || gate.refused === 0) problems.push("the limit");
  const others = Object.keys(gate.statuses).filter((status) => status !== "200");
  if (others.length > 0) problems.push(`what strangers get: ${others}`);
  if (problems.length > 0) throw new Failure(`out of bounds: ${problems.join(", ")}`);
}

/** @param {(() => Promise<unknown>)[]} stops */
async function startStore(stops) {
  const redis = await startRedis();
  stops.push(redis.stop);
  const rest = await startRestRedis({ redisUrl: redis.url, program: await buildCommandLine({ release: true }) });
  stops.push(rest.stop);
  return { UPSTASH_REDIS_REST_URL: rest.url, UPSTASH_REDIS_REST_TOKEN: rest.token };
}

/** @param {number | null} bytes */
function megabytes(bytes) {
  return bytes === null ? "?" : `${(bytes / 1_024 / 1_024).toFixed(1)} MB`;
}
