/** Fifty clients that request something that changes every second, as fast as they can. */
import { setTimeout as sleep } from "node:timers/promises";
import { load } from "../lib/loading.mjs";
import { askOnce } from "./asking.mjs";
import { LATENCY_MS } from "./crowds.mjs";

export const CLIENTS = 50;
export const SECONDS = 6;
export const ROUNDS = 3;
const WARM_UP_SECONDS = 2;

const job = { keys: 1, connections: CLIENTS, slow: LATENCY_MS, stamped: true };

/**
 * @typedef {import("../lib/loading.mjs").Loaded & { calls: number }} Live `calls`: of the origin
 */

/**
 * How many requests per second each client sends if speed is not measured, so that no request waits
 * for the processor.
 */
const PACE = 10;

/**
 * The fronts are measured in turns: some rounds at full speed for each, and one at {@link PACE}.
 * @param {import("./crowds.mjs").Front[]} fronts
 * @param {import("./crowds.mjs").Origin} origin
 * @returns {Promise<{ rounds: Live[], paced: Live }[]>}
 */
export async function liveLoads(fronts, origin) {
  origin.trouble.latency = LATENCY_MS;
  const live = async (/** @type {string[]} */ urls, /** @type {string} */ path, pace = 0) => {
    await prime(urls[0], path);
    const loaded = await load({ ...job, urls, paths: [path], seconds: SECONDS, pace });
    return { ...loaded, calls: origin.calls(path) };
  };
  for (const { urls } of fronts) await load({ ...job, urls, paths: ["/live?warm"], seconds: WARM_UP_SECONDS });
  /** @type {Live[][]} */
  const rounds = fronts.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, { urls }] of fronts.entries()) {
      rounds[index].push(await live(urls, `/live?${index}-${round}`));
    }
  }
  /** @type {Live[]} */
  const paced = [];
  for (const [index, { urls }] of fronts.entries()) paced.push(await live(urls, `/live?${index}-paced`, PACE));
  origin.trouble.latency = 0;
  return fronts.map((_, index) => ({ rounds: rounds[index], paced: paced[index] }));
}

/**
 * What a request costs the store, at {@link PACE}: commands and HTTP calls.
 * @param {import("./crowds.mjs").Front} gate whose calls of the store `counts` counts
 * @param {import("./crowds.mjs").Origin} origin
 * @param {() => Promise<number[]>} counts
 */
export async function storeCosts({ urls }, origin, counts) {
  origin.trouble.latency = LATENCY_MS;
  await prime(urls[0], "/live?metered");
  const before = await counts();
  const loaded = await load({ ...job, urls, paths: ["/live?metered"], seconds: SECONDS, pace: PACE });
  const after = await counts();
  origin.trouble.latency = 0;
  const [commands, calls] = after.map((count, n) => (count - before[n]) / loaded.requests);
  return { commands, calls };
}

/**
 * Requests the first answer, which has to wait for the origin, and waits until it is stored, which
 * happens in the background.
 */
async function prime(/** @type {string} */ url, /** @type {string} */ path) {
  await askOnce(url, path);
  await sleep(100);
}
