/**
 * The load generator, in a process of its own.
 *
 *     node bench/load/main.mjs '{"url":…, "paths":[…], "keys":…, "connections":…, "seconds":…}'
 *
 * Prints a `Result` as JSON. Each connection goes through all paths, and each request is of another
 * client.
 */
import { get, openConnection } from "./connection.mjs";

/** @typedef {{ url: string, paths: string[], keys: number, connections: number, seconds: number }} Load */

/**
 * @typedef {object} Result
 * @property {number} requests
 * @property {number} seconds
 * @property {number} p50 ms
 * @property {number} p99 ms
 * @property {Record<string, number>} statuses how many answers had each
 */

/**
 * @param {Load} load
 * @returns {Promise<Result>}
 */
async function generate({ url, paths, keys, connections, seconds }) {
  const requests = paths.flatMap((path) => Array.from({ length: keys }, (_, key) => get(path, `key-${key}`)));
  const pool = await Promise.all(Array.from({ length: connections }, () => openConnection(url)));
  /** @type {number[]} */
  const latencies = [];
  /** @type {Record<string, number>} */
  const statuses = {};

  const started = performance.now();
  const end = started + seconds * 1000;
  // A step that shares no factor with their number reaches all of them, and mixes paths with keys.
  const step = keys + 1;
  await Promise.all(
    pool.map(async (connection, index) => {
      let sent = performance.now();
      for (let next = index * step; sent < end; next += step) {
        const { status } = await connection.exchange(requests[next % requests.length]);
        const now = performance.now();
        latencies.push(now - sent);
        statuses[status] = (statuses[status] ?? 0) + 1;
        sent = now;
      }
    }),
  );
  const took = (performance.now() - started) / 1000;
  for (const connection of pool) connection.close();

  latencies.sort((a, b) => a - b);
  const quantile = (/** @type {number} */ q) =>
    latencies[Math.min(Math.floor(latencies.length * q), latencies.length - 1)];
  return { requests: latencies.length, seconds: took, p50: quantile(0.5), p99: quantile(0.99), statuses };
}

console.log(JSON.stringify(await generate(JSON.parse(process.argv[2]))));
