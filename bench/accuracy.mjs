/** How much an adversary gets: the most requests admitted in any window, by the real clock. */
import { setTimeout as sleep } from "node:timers/promises";
import { ours, peer, peerWithoutBlock } from "./lib/contestants.mjs";
import { get, openConnection } from "./load/connection.mjs";

const QUOTA = 50;
const WINDOW_MS = 2_000;
const CONNECTIONS = 16;

/** The last request of a burst comes this long before the end of the window. */
const MARGIN_MS = 10;

const path = "/api/v1/market-data/symbols";
const job = {
  limits: { "per-client": { by: "client", window: `${WINDOW_MS / 1000}s`, quota: QUOTA } },
  routes: [{ path, limits: ["per-client"] }],
};

/** @typedef {{ sent: number, answered: number, status: number, by: string }} Attempt times in ms */

/**
 * @typedef {{ admitted: number, byStore: boolean }} Outcome `byStore`: every decision was the
 *   store's, or followed from an earlier one
 */

/**
 * What the adversaries do. Each knows when the windows end, and how long before its end a burst
 * must start.
 * @type {Record<string, (
 *   pool: import("./load/connection.mjs").Connection[], key: string, edge: number, lead: number
 * ) => Promise<Attempt[]>>}
 */
const ADVERSARIES = {
  "two bursts, each at the end of a window": async (pool, key, edge, lead) => {
    await until(edge - lead);
    const one = await burst(pool, key, edge);
    // Both bursts have to lie in one window.
    await until(edge + WINDOW_MS - 2 * lead);
    return [...one, ...(await burst(pool, key, edge + WINDOW_MS - lead))];
  },
  "a burst at the end of a window, then without pause": async (pool, key, edge, lead) => {
    await until(edge - lead);
    const attempts = await burst(pool, key, edge);
    while (Date.now() < edge + WINDOW_MS) {
      attempts.push(await attempt(pool[0], key));
      await sleep(4);
    }
    return attempts;
  },
};

/** @param {import("./lib/ground.mjs").Ground} ground */
export async function measure(ground) {
  const contestants = [ours, peer, peerWithoutBlock];
  /** @type {Record<string, Record<string, Outcome>>} */
  const results = {};
  for (const contestant of contestants) results[contestant.name] = await attack(contestant, ground);
  const local = Object.values(results.ours).filter(({ byStore }) => !byStore).length;
  return {
    title: `The most requests admitted in any ${WINDOW_MS / 1000} s, of a quota of ${QUOTA}`,
    columns: contestants.map(({ title }) => title),
    rows: Object.keys(ADVERSARIES).map((name) => ({
      name,
      cells: contestants.map((contestant) => `${results[contestant.name][name].admitted}`),
    })),
    notes: [
      "Counted where both the request and its answer lie in the window: at least so many.",
      ...(local > 0 ? [`In ${local} of them omnitrade-edge decided without the store.`] : []),
    ],
    data: { quota: QUOTA, windowMs: WINDOW_MS, results },
  };
}

/**
 * @param {import("./lib/contestants.mjs").Contestant} contestant
 * @param {import("./lib/ground.mjs").Ground} ground
 */
async function attack(contestant, { start }) {
  const gate = await start(contestant, job);
  try {
    const pool = await Promise.all(Array.from({ length: CONNECTIONS }, () => openConnection(gate.url)));
    await burst(pool, "warm-up", Number.POSITIVE_INFINITY);
    const started = Date.now();
    await burst(pool, "how-long", Number.POSITIVE_INFINITY);
    const lead = Math.min(Math.max(2 * (Date.now() - started), 80), WINDOW_MS / 8);
    /** @type {Record<string, Outcome>} */
    const results = {};
    for (const [name, adversary] of Object.entries(ADVERSARIES)) {
      const edge = (Math.floor((Date.now() + 2 * lead) / WINDOW_MS) + 1) * WINDOW_MS;
      const attempts = await adversary(pool, name.replaceAll(/\W+/g, "-"), edge, lead);
      const admitted = attempts.filter(({ status }) => status === 200);
      const byStore = attempts.every(({ by }) => by !== "local");
      results[name] = { admitted: mostInAWindow(admitted), byStore };
    }
    for (const connection of pool) connection.close();
    return results;
  } finally {
    await gate.stop();
  }
}

/**
 * Sends more requests than the quota, as fast as possible, and none after the time `end`.
 * @param {import("./load/connection.mjs").Connection[]} pool
 * @param {string} key
 * @param {number} end Unix ms
 */
async function burst(pool, key, end) {
  let left = 1.2 * QUOTA;
  const each = pool.map(async (connection) => {
    const attempts = [];
    while (left-- > 0 && Date.now() < end - MARGIN_MS) attempts.push(await attempt(connection, key));
    return attempts;
  });
  return (await Promise.all(each)).flat();
}

/**
 * @param {import("./load/connection.mjs").Connection} connection
 * @param {string} key
 * @returns {Promise<Attempt>}
 */
async function attempt(connection, key) {
  const sent = performance.now();
  const { status, head } = await connection.exchange(get(path, key));
  const by = head.match(/\r\nx-edge-limiter: *(\S+)/i)?.[1] ?? "";
  return { sent, answered: performance.now(), status, by };
}

/**
 * The largest number of attempts that were sent and answered inside one window.
 * @param {Attempt[]} attempts
 */
function mostInAWindow(attempts) {
  const inside = (/** @type {number} */ from) =>
    attempts.filter(({ sent, answered }) => sent >= from && answered < from + WINDOW_MS).length;
  return Math.max(0, ...attempts.map(({ sent }) => inside(sent)));
}

/** @param {number} time Unix ms */
async function until(time) {
  await sleep(Math.max(time - Date.now(), 0));
}
