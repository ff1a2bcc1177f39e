/**
 * How old served answers get: in normal operation, while the origin is down, and after it has come
 * back.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { openConnection } from "../load/connection.mjs";
import { ask, askOnce, longest, statuses } from "./asking.mjs";
import { TIMES } from "./job.mjs";

/** @typedef {import("./crowds.mjs").Front} Front */
/** @typedef {import("./crowds.mjs").Origin} Origin */

const FINE_MS = 3_000;

/** How long the answers are watched after the time at which they must have ended. */
const BEYOND_MS = 3_000;
const DEAD_MS = 3_000;

/**
 * The oldest answer that is served as fresh, by its age when it was requested.
 * @param {Front} front
 */
export async function oldestFresh(front) {
  const told = await poll(front, "/fine", { every: 2, until: after(FINE_MS) });
  return { oldest: oldest(told), asked: told.length, statuses: statuses(told) };
}

/**
 * The oldest answer of all while the origin is down. `isEndless`: even the last request of the
 * measurement got one.
 * @param {Front} front
 * @param {Origin} origin
 */
export async function oldestWhileDown(front, origin) {
  const { ttl, ifError = 0 } = TIMES["/ceiling"];
  for (const url of front.urls) await askOnce(url, "/ceiling");
  origin.trouble.fault = "reset";
  const told = await poll(front, "/ceiling", { every: 10, until: after(ttl + ifError + BEYOND_MS) });
  origin.trouble.fault = null;
  const last = told.findLast(({ stamp }) => stamp);
  const isEndless = last === told.at(-1);
  return { oldest: oldest(told), isEndless, statuses: statuses(told) };
}

/**
 * The origin fails just after a stored answer went stale, and comes back.
 * @param {Front} front
 * @param {Origin} origin
 * @param {"reset" | "hang"} how
 */
export async function deadAndBack(front, origin, how) {
  const path = `/dead?${how}`;
  for (const url of front.urls) await askOnce(url, path);
  await sleep(TIMES["/dead"].ttl + 100);
  origin.trouble.fault = how;
  const told = await poll(front, path, { every: 10, until: after(DEAD_MS) });
  origin.trouble.fault = null;
  const backAt = Date.now();
  // Through each address, because all of them must serve new answers again.
  const back = await Promise.all(
    front.urls.map(async (url) => {
      await poll({ urls: [url] }, path, { every: 5, until: ({ stamp }) => (stamp?.made ?? 0) >= backAt });
      return Date.now() - backAt;
    }),
  );
  return { statuses: statuses(told), longest: longest(told), backMs: Math.max(...back), isStale: told.every(isOk) };
}

/**
 * The results of requests on one connection to each address, in turns.
 * @param {Front} front
 * @param {string} path
 * @param {{ every: number, until: (told: import("./asking.mjs").Told) => boolean }} times
 */
export async function poll({ urls }, path, { every, until }) {
  const connections = await Promise.all(urls.map((url) => openConnection(url)));
  const giveUp = after(20_000);
  const told = [];
  try {
    for (let n = 0; ; n++) {
      const answer = await ask(connections[n % connections.length], path);
      told.push(answer);
      if (answer.status === 0) connections[n % connections.length] = await openConnection(urls[n % urls.length]);
      if (until(answer) || giveUp()) return told;
      await sleep(every);
    }
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** @param {import("./asking.mjs").Told[]} told */
function oldest(told) {
  return Math.max(...told.flatMap(({ stamp, sentAt }) => (stamp ? [sentAt - stamp.made] : [])));
}

/** @param {import("./asking.mjs").Told} told */
function isOk({ status }) {
  return status === 200;
}

/** @param {number} ms */
function after(ms) {
  const end = Date.now() + ms;
  return () => Date.now() >= end;
}
