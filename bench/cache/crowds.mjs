/** Many that ask for the same at once: how often the origin is asked, and what becomes of those who wait. */
import { setTimeout as sleep } from "node:timers/promises";
import { median } from "../lib/report.mjs";
import { askAndLeave, askOnce, crowd, longest, statuses } from "./asking.mjs";

/** @typedef {{ urls: string[] }} Front whoever stands before the origin */
/** @typedef {import("./origin.mjs").StampedOrigin} Origin */

const ROUNDS = 5;
export const CROWD = 100;
export const LATENCY_MS = 60;
const FOLLOWERS = 10;

/**
 * A hundred at once that nobody has asked before.
 * @param {Front} front
 * @param {Origin} origin
 * @param {string} name another one for each front
 */
export async function coldCrowd({ urls }, origin, name) {
  origin.trouble.latency = LATENCY_MS;
  // So that connections and code are warm, and only the answer is cold.
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
 * One asks, ten more wait for what it brings, and something happens to it.
 * @param {Front} front
 * @param {Origin} origin
 * @param {"leaves" | "reset" | "hang"} what
 */
export async function troubledCrowd({ urls: [url] }, origin, what) {
  const path = `/failing?${what}`;
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
  trouble.fault = null;
  trouble.latency = 0;
  const next = await askOnce(url, path);
  leave();
  return {
    statuses: statuses(told),
    longest: longest(told),
    calls: origin.calls(path),
    next: next.status,
    nextMs: next.ms,
    told,
  };
}
