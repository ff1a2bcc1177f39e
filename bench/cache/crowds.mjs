/**
 * Many simultaneous requests for the same thing: how often the origin is asked, and what happens to
 * the requests that wait.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { median } from "../lib/report.mjs";
import { askAndLeave, askOnce, crowd, longest, statuses } from "./asking.mjs";

/** @typedef {{ urls: string[] }} Front a gate or a peer in front of the origin */
/** @typedef {import("./origin.mjs").StampedOrigin} Origin */

const ROUNDS = 5;
export const CROWD = 100;
export const LATENCY_MS = 60;
const FOLLOWERS = 10;

/**
 * A hundred simultaneous requests for something that nobody has requested before.
 * @param {Front} front
 * @param {Origin} origin
 * @param {string} name a different one for each front
 */
export async function coldCrowd({ urls }, origin, name) {
  origin.trouble.latency = LATENCY_MS;
  // This warms up connections and code, so that only the answer is cold.
  await crowd(urls, `/cold?${name}`, CROWD);
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    const path = `/cold?${name}&${round}`;
    const told = await crowd(urls, path, CROWD);
    rounds.push({
      calls: origin.calls(path),
      p50: median(told.map(({ ms }) => ms)),
      longest: longest(told),
      errors: told.filter(({ status }) => status !== 200).length,
    });
  }
  origin.trouble.latency = 0;
  return {
    calls: Math.max(...rounds.map(({ calls }) => calls)),
    p50: median(rounds.map(({ p50 }) => p50)),
    errors: rounds.reduce((sum, { errors }) => sum + errors, 0),
    rounds,
  };
}

/**
 * What such a hundred costs the store, per request: commands and HTTP calls.
 * @param {Front} gate whose calls of the store `counts` counts
 * @param {Origin} origin
 * @param {() => Promise<number[]>} counts
 */
export async function coldCosts({ urls }, origin, counts) {
  origin.trouble.latency = LATENCY_MS;
  // This loads scripts and compares clocks.
  await crowd(urls, "/cold?metered-first", CROWD);
  await sleep(500);
  const before = await counts();
  await crowd(urls, "/cold?metered", CROWD);
  // The writes in the background count, too.
  await sleep(500);
  const after = await counts();
  origin.trouble.latency = 0;
  const [commands, calls] = after.map((count, n) => (count - before[n]) / CROWD);
  return { commands, calls };
}

/** For how long a failure is shared: docs/cache.md, "Failures of the origin". */
const SHARED_MS = 1_000;

/**
 * One client asks, ten more wait for the same response, and something happens to that request.
 * @param {Front} front
 * @param {Origin} origin
 * @param {"leaves" | "reset" | "hang"} what
 * @param {number} name a different one for each front
 */
export async function troubledCrowd({ urls: [url] }, origin, what, name) {
  const path = `/failing?${what}-${name}`;
  const { trouble } = origin;
  trouble.latency = what === "leaves" ? 400 : LATENCY_MS;
  trouble.fault = what === "leaves" ? null : what;
  const leave = await askAndLeave(url, path);
  while (origin.calls(path) === 0) await sleep(1);
  const waiting = crowd([url], path, FOLLOWERS);
  await sleep(LATENCY_MS / 2);
  if (what === "leaves") leave();
  if (what === "hang") {
    await sleep(200);
    trouble.fault = null;
  }
  const told = await waiting;
  const calls = origin.calls(path);
  trouble.fault = null;
  trouble.latency = 0;
  // A failure that several requests met is shared with those that come within a second.
  if (what !== "leaves") await sleep(SHARED_MS + 100);
  const next = await askOnce(url, path);
  leave();
  return {
    statuses: statuses(told),
    longest: longest(told),
    calls,
    next: next.status,
    nextMs: next.ms,
    told,
  };
}
