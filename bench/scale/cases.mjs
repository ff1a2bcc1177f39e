/** What the gate is measured with: few or many clients, cache entries and routes. */

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {number} clients
 * @property {number} entries
 * @property {number} routes
 */

/** The smallest, and what is larger in one respect, or in all. @type {Case[]} */
export const cases = [
  { name: "1 client, 1 entry, 8 routes", clients: 1, entries: 1, routes: 8 },
  { name: "1,000 clients", clients: 1_000, entries: 1, routes: 8 },
  { name: "100,000 clients", clients: 100_000, entries: 1, routes: 8 },
  { name: "10,000 entries", clients: 1, entries: 10_000, routes: 8 },
  { name: "500 routes", clients: 1, entries: 1, routes: 500 },
  { name: "100,000 clients, 10,000 entries, 500 routes", clients: 100_000, entries: 10_000, routes: 500 },
];

/** The path of the entries' route. */
const PATH = "/api/v1/market-data/orderbook";

/** The paths of this many entries. @param {number} entries */
export function pathsOf(entries) {
  return Array.from({ length: entries }, (_, n) => `${PATH}?symbol=S${n}`);
}

/**
 * @param {object} options
 * @param {string} options.origin
 * @param {number} options.routes
 * @param {"exact" | "lease"} [options.strategy]
 * @returns {import("../lib/ground.mjs").Job}
 */
export function jobOf({ origin, routes, strategy = "exact" }) {
  const limits = ["limit"];
  const others = Array.from({ length: routes - 1 }, (_, n) => ({
    // As in an API: most have parameters, and they share their beginnings.
    path: n % 3 === 0 ? `/api/v1/area-${n % 20}/list-${n}` : `/api/v1/area-${n % 20}/{id}/items-${n}`,
    limits,
  }));
  return {
    origin,
    limits: { limit: { by: "client", window: "60s", quota: 1_000_000, strategy } },
    routes: [{ path: PATH, limits, cache: { ttl: "3600s", query: ["symbol"] } }, ...others],
    // Room for all entries.
    cache: { l1_size: "64MB" },
  };
}
