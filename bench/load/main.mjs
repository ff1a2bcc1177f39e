/**
 * The load generator, in a process of its own.
 *
 *     node bench/load/main.mjs '{"urls":[…], "paths":[…], "keys":…, "connections":…, "seconds":…}'
 *
 * Prints a `Result` as JSON. Each connection requests all paths in turn, and each request is that
 * of another client; the connections are distributed over the addresses. Without an argument, it
 * takes one `Load` after the other as messages of the process that forked it, and answers each with
 * a `Result`: its code is then compiled once, and not for each load.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { stampOf } from "../cache/stamp.mjs";
import { get, openConnection } from "./connection.mjs";

/**
 * @typedef {object} Load
 * @property {string[]} urls
 * @property {string[]} paths
 * @property {number} keys how many clients
 * @property {[string, string][]} [headers] of each request, besides those that name the client
 * @property {number} connections
 * @property {number} seconds
 * @property {number} [from] the connections share one sequence of requests, which begins with this
 *   number; by default, each goes through all of them
 * @property {number} [most] how many requests are sent, if `seconds` allow them
 * @property {number} [pace] how many requests each connection sends in a second; by default, as
 *   many as it can
 * @property {number} [slow] count the answers that took at least this many ms
 * @property {boolean} [stamped] whether the answers are stamped, like those of
 *   `bench/cache/origin.mjs`
 */

/**
 * @typedef {object} Result
 * @property {number} requests
 * @property {number} seconds
 * @property {number} p50 ms
 * @property {number} p99 ms
 * @property {number} longest ms
 * @property {number} slow how many answers took `slow` ms or more
 * @property {number} waited how many answers were made by a call of the origin that began after
 *   they were requested
 * @property {number} oldest ms: the greatest age that an answer had when it was requested
 * @property {Record<string, number>} statuses how many answers had each status
 * @property {number} generatorMs processor time of this generator
 */

/** How many different requests are made in advance; of more, each is made when it is sent. */
const MOST_PREPARED = 200_000;

/**
 * @param {Load} load
 * @returns {Promise<Result>}
 */
async function generate(load) {
  const { urls, keys, connections, seconds, pace, stamped = false } = load;
  const { from, most = Number.POSITIVE_INFINITY, slow = Number.POSITIVE_INFINITY } = load;
  const request = requestsOf(load);
  const pool = await Promise.all(
    Array.from({ length: connections }, (_, n) => openConnection(urls[n % urls.length], { bodies: stamped })),
  );
  /** @type {number[]} */
  const latencies = [];
  /** @type {Record<string, number>} */
  const statuses = {};
  let [waited, oldest, count] = [0, 0, 0];

  const processorTime = process.cpuUsage();
  const started = performance.now();
  const end = started + seconds * 1000;
  // A step that shares no factor with the number of keys reaches all of them, and mixes paths with
  // keys.
  const step = keys + 1;
  await Promise.all(
    pool.map(async (connection, index) => {
      const gap = pace ? 1000 / pace : 0;
      // Connections do not start at the same instant.
      let due = performance.now() + (gap * index) / pool.length;
      if (gap) await sleep(due - performance.now());
      let sent = performance.now();
      for (let own = index; sent < end && count < most; own++) {
        const next = (from === undefined ? own : from + count) * step;
        count++;
        const sentAt = Date.now();
        const { status, body } = await connection.exchange(request(next));
        const now = performance.now();
        if (stamped && status === 200) {
          const { asked, made } = stampOf(body);
          if (asked >= sentAt) waited++;
          oldest = Math.max(oldest, sentAt - made);
        }
        latencies.push(now - sent);
        statuses[status] = (statuses[status] ?? 0) + 1;
        due += gap;
        if (gap && due > now) await sleep(due - now);
        sent = performance.now();
      }
    }),
  );
  const took = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(processorTime);
  for (const connection of pool) connection.close();

  latencies.sort((a, b) => a - b);
  const quantile = (/** @type {number} */ q) =>
    latencies[Math.min(Math.floor(latencies.length * q), latencies.length - 1)];
  return {
    requests: latencies.length,
    seconds: took,
    p50: quantile(0.5),
    p99: quantile(0.99),
    longest: latencies.at(-1) ?? 0,
    slow: latencies.filter((latency) => latency >= slow).length,
    waited,
    oldest,
    statuses,
    generatorMs: (user + system) / 1000,
  };
}

/**
 * The requests by their numbers; each client and each path in turns.
 * @param {Load} load
 * @returns {(n: number) => Buffer}
 */
function requestsOf({ paths, keys, headers }) {
  const make = (/** @type {number} */ n) => get(paths[Math.floor(n / keys) % paths.length], `key-${n % keys}`, headers);
  const count = paths.length * keys;
  if (count > MOST_PREPARED) return make;
  const prepared = Array.from({ length: count }, (_, n) => make(n));
  return (n) => prepared[n % count];
}

if (process.argv[2] !== undefined) {
  console.log(JSON.stringify(await generate(JSON.parse(process.argv[2]))));
} else {
  process.on("message", (/** @type {Load} */ load) => {
    generate(load).then(
      (result) => process.send?.({ result }),
      (error) => process.send?.({ problem: `${error?.stack ?? error}` }),
    );
  });
}
