/** The script on a real Redis: its time there, as measured by Redis, and the size of its state. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Ratelimit } from "@upstash/ratelimit";
import { Failure, root } from "../../scripts/lib/process.mjs";
import { median } from "../lib/report.mjs";

/** @typedef {Awaited<ReturnType<typeof import("./simulation.mjs").buildSimulation>>} Simulation */
/** @typedef {Awaited<ReturnType<typeof openScript>>} Script */

// Many short rounds, so that no other process has the processor during most of them.
const ROUNDS = 41;
const CALLS = 60;
const SUB_BUCKETS = 30;
const WINDOW_MS = 60_000;
const WIDTH = WINDOW_MS / SUB_BUCKETS;

/** The count in each sub-bucket before the measured calls. */
const FILLED = 300;
const MUCH = 1_000_000;

/**
 * What is timed, on a state whose sub-buckets are all in use. `at`: when the `n`th call is made, in
 * ms after the start of the last sub-bucket.
 * @type {Record<string, { at: (n: number) => number, lend: number, quota: number }>}
 */
const KINDS = {
  "in a sub-bucket in use": { at: (n) => n, lend: 0, quota: MUCH },
  "in a new sub-bucket": { at: (n) => n * WIDTH, lend: 0, quota: MUCH },
  "with permits lent": { at: (n) => n, lend: 5, quota: MUCH },
  refused: { at: (n) => n, lend: 0, quota: FILLED * (SUB_BUCKETS + 1) },
};

/** The largest quota that the configuration allows, with windows of any length. */
const LARGEST_QUOTA = 1_000_000_000;
const WINDOWS_MS = [30, 1_000, WINDOW_MS, 3_600_000, 365 * 86_400_000];

/**
 * @param {import("../lib/ground.mjs").Ground} ground
 * @param {Simulation} simulation
 */
export async function openScript({ rest, redis }, simulation) {
  const pipeline = async (/** @type {unknown[][]} */ commands) => {
    const headers = { authorization: `Bearer ${rest.token}` };
    const answer = await fetch(`${rest.url}/pipeline`, { method: "POST", headers, body: JSON.stringify(commands) });
    const results = /** @type {{ result?: unknown, error?: string }[]} */ (await answer.json());
    return results.map(({ result, error }) => {
      if (error !== undefined) throw new Failure(`Redis: ${error}`);
      return result;
    });
  };
  const lua = await readFile(join(root, "src/limiter/admit.lua"), "utf8");
  const [sha] = await pipeline([["SCRIPT", "LOAD", lua]]);

  /** @param {import("./simulation.mjs").Load[]} loads */
  const commands = async (loads) => {
    const calls = await simulation.calls(loads);
    return calls.map((load) => load.map(({ keys, args }) => ["EVALSHA", sha, keys.length, ...keys, ...args]));
  };
  const evalshas = async () => {
    const fields = (await redis.info("commandstats")).get("cmdstat_evalsha") ?? "";
    const number = (/** @type {string} */ name) => Number(fields.match(new RegExp(`\\b${name}=(\\d+)`))?.[1] ?? 0);
    return { calls: number("calls"), usec: number("usec") };
  };
  /** How long each EVALSHA of this work took, as measured by Redis, in µs. */
  const timed = async (/** @type {() => Promise<unknown>} */ work) => {
    const before = await evalshas();
    await work();
    const after = await evalshas();
    return (after.usec - before.usec) / (after.calls - before.calls);
  };
  return { pipeline, commands, timed };
}

/**
 * Script times in µs: medians of some rounds, in which the contestants take turns.
 * @param {Script} script
 * @param {import("@upstash/redis").Redis} redis
 */
export async function scriptTimes({ pipeline, commands, timed }, redis) {
  /** @type {Record<string, number[]>} */
  const ours = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));
  /** @type {Record<string, number[]>} */
  const peer = { admitted: [], refused: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const loads = Object.entries(KINDS).flatMap(([kind, { at, lend, quota }]) => {
      // This makes the last call happen now.
      const last = Math.floor((Date.now() - at(CALLS)) / WIDTH) * WIDTH;
      const load = { key: `script:${kind}:${round}`, quota, windowMs: WINDOW_MS };
      const filling = Array.from({ length: SUB_BUCKETS + 1 }, (_, n) => last - (SUB_BUCKETS - n) * WIDTH);
      const measured = Array.from({ length: CALLS }, (_, n) => last + at(n));
      return [
        { ...load, cost: FILLED, lend: 0, firstId: 0, at: filling },
        { ...load, cost: 1, lend, firstId: filling.length, at: measured },
      ];
    });
    const all = await commands(loads);
    for (const [n, kind] of Object.keys(KINDS).entries()) {
      await pipeline(all[2 * n]);
      ours[kind].push(await timed(() => pipeline(all[2 * n + 1])));
    }
    for (const [kind, quota] of Object.entries({ admitted: MUCH, refused: 1 })) {
      const limiter = new Ratelimit({
        redis,
        prefix: `script:${kind}:${round}`,
        limiter: Ratelimit.slidingWindow(quota, `${WINDOW_MS} ms`),
        ephemeralCache: false,
        timeout: 60_000,
      });
      await limiter.limit("client");
      peer[kind].push(await timed(() => Promise.all(Array.from({ length: CALLS }, () => limiter.limit("client")))));
    }
  }
  const medians = (/** @type {Record<string, number[]>} */ times) =>
    Object.fromEntries(Object.entries(times).map(([kind, rounds]) => [kind, median(rounds)]));
  return { ours: medians(ours), peer: medians(peer), calls: CALLS, rounds: ROUNDS };
}

/**
 * The largest state of one subject in bytes: each sub-bucket in use, with as many digits as it can
 * have, many calls in each, and permits lent.
 * @param {Script} script
 */
export async function largestState({ pipeline, commands }) {
  let largest = 0;
  for (const windowMs of WINDOWS_MS) {
    const width = Math.ceil(windowMs / SUB_BUCKETS);
    const key = `script:largest:${windowMs}`;
    const start = Math.floor(Date.now() / width) * width;
    const loads = Array.from({ length: 2 * SUB_BUCKETS }, (_, n) => {
      const at = start + n * width;
      const load = { key, quota: LARGEST_QUOTA, windowMs, lend: 1_000, firstId: 10 * n };
      return [
        { ...load, cost: Math.floor(LARGEST_QUOTA / (SUB_BUCKETS + 2)), at: [at] },
        { ...load, cost: 1, firstId: 10 * n + 1, at: new Array(8).fill(at) },
      ];
    });
    const calls = (await commands(loads.flat())).flat();
    const results = await pipeline(calls.flatMap((call) => [call, ["STRLEN", key]]));
    largest = Math.max(largest, ...results.filter((result) => typeof result === "number"));
  }
  return largest;
}
