/** Two servers of axum on one store, under load: how many requests they admit in any window. */
import { setTimeout as sleep } from "node:timers/promises";
import { spawnServer } from "../../scripts/lib/process.mjs";
import { get, openConnection } from "../load/connection.mjs";

/**
 * A request that was admitted: when it came to the limiter, and when the limiter had let it
 * through. The limiter decided between them. In milliseconds of the machine's clock, which the
 * servers share.
 * @typedef {{ came: number, admitted: number }} Admitted
 *
 * @typedef {object} Outcome
 * @property {number} sent
 * @property {number} admitted
 * @property {number} most the most that certainly were admitted in one window: those of which both
 *   instants lie in it
 * @property {number} mostServed the most that were let through in one window, by the later instant
 */

/**
 * @param {object} options
 * @param {string} options.program the server
 * @param {{ url: string, token: string }} options.store
 * @param {"exact" | "lease"} options.strategy
 * @param {number} options.quota
 * @param {number} options.windowMs
 * @param {number} options.connections half of them to each server
 * @param {number} options.seconds
 * @returns {Promise<Outcome>}
 */
export async function admitInWindows({ program, store, strategy, quota, windowMs, connections, seconds }) {
  const env = {
    UPSTASH_REDIS_REST_URL: store.url,
    UPSTASH_REDIS_REST_TOKEN: store.token,
    STRATEGY: strategy,
    QUOTA: `${quota}`,
    WINDOW_MS: `${windowMs}`,
  };
  const start = () => spawnServer(program, [], { env, ready: /listening on (\S+)/, name: "limited-axum" });
  const servers = await Promise.all([start(), start()]);
  try {
    const open = (/** @type {unknown} */ _, /** @type {number} */ n) => openConnection(servers[n % 2].ready[0][1]);
    const pool = await Promise.all(Array.from({ length: connections }, open));
    const request = get("/", "client");
    /** @type {Admitted[]} */
    const admitted = [];
    let sent = 0;
    const end = performance.now() + seconds * 1_000;
    const each = pool.map(async (connection, n) => {
      while (performance.now() < end) {
        const { status, body } = await connection.exchange(request);
        sent += 1;
        if (status === 200) {
          const [came, passed] = body
            .toString()
            .split(" ")
            .map((text) => Number(text) / 1_000);
          admitted.push({ came, admitted: passed });
        } else if (status === 429) {
          // Not all at once, so that every instant finds one that asks.
          await sleep((n % 4) + 1);
        } else {
          throw new Error(`status ${status}`);
        }
      }
    });
    await Promise.all(each);
    for (const connection of pool) connection.close();
    return {
      sent,
      admitted: admitted.length,
      most: most(admitted, windowMs),
      mostServed: most(
        admitted.map(({ admitted }) => ({ came: admitted, admitted })),
        windowMs,
      ),
    };
  } finally {
    for (const server of servers) await server.stop();
  }
}

/**
 * The most requests that lie wholly in one window. A window holds its beginning and not its end.
 * @param {Admitted[]} all
 * @param {number} windowMs
 */
export function most(all, windowMs) {
  let found = 0;
  for (const { came: start } of all) {
    const within = all.filter(({ came, admitted }) => came >= start && admitted < start + windowMs);
    found = Math.max(found, within.length);
  }
  return found;
}
