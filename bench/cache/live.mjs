/** Fifty clients that want what changes every second, as fast as they can. */
import { setTimeout as sleep } from "node:timers/promises";
import { load } from "../lib/loading.mjs";
import { askOnce } from "./asking.mjs";
import { LATENCY_MS } from "./crowds.mjs";

export const CLIENTS = 50;
export const SECONDS = 6;
export const ROUNDS = 3;
const WARM_UP_SECONDS = 2;

/** @typedef {import("../lib/loading.mjs").Loaded & { calls: number }} Live `calls`: of the origin */

/** What each of them sends in a second where speed is not the point, and nobody waits for the processor. */
const PACE = 10;

/**
 * In turns; of each front its rounds, and one at {@link PACE}.
 * @param {import("./crowds.mjs").Front[]} fronts
 * @param {import("./crowds.mjs").Origin} origin
 * @returns {Promise<{ rounds: Live[], paced: Live }[]>}
 */
export async function liveLoads(fronts, origin) {
  const job = { keys: 1, connections: CLIENTS, slow: LATENCY_MS, stamped: true };
  origin.trouble.latency = LATENCY_MS;
  const live = async (/** @type {string[]} */ urls, /** @type {string} */ path, pace = 0) => {
    // The first answer, for which somebody has to wait; and it has to be stored, which is done behind it.
    await askOnce(urls[0], path);
    await sleep(100);
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
