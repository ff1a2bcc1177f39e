/** What the gate and its peers are all configured to do. */

/**
 * By path, in ms: how long an answer is fresh, and how long after that it may be served while it is
 * refreshed, and if the origin fails.
 * @type {Record<string, { ttl: number, whileRefreshed?: number, ifError?: number }>}
 */
export const TIMES = {
  "/cold": { ttl: 600_000 },
  "/live": { ttl: 1_000, whileRefreshed: 10_000, ifError: 10_000 },
  "/failing": { ttl: 600_000 },
  "/fine": { ttl: 250 },
  "/ceiling": { ttl: 1_000, ifError: 2_000 },
  "/dead": { ttl: 1_000, whileRefreshed: 20_000, ifError: 20_000 },
  "/large": { ttl: 600_000 },
  "/small": { ttl: 600_000 },
  "/tagged": { ttl: 600_000 },
};

/** How long the origin may take. */
export const ORIGIN_TIMEOUT_MS = 2_000;

/** The tag of `/tagged`. */
export const TAG = "all";

/** The gate's own configuration. */
export const EDGE = {
  limits: {},
  origin_timeout: `${ORIGIN_TIMEOUT_MS}ms`,
  routes: Object.entries(TIMES).map(([path, { ttl, whileRefreshed = 0, ifError = 0 }]) => ({
    path,
    cache: {
      ttl: `${ttl}ms`,
      stale_while_revalidate: `${whileRefreshed}ms`,
      stale_if_error: `${ifError}ms`,
      tags: path === "/tagged" ? [TAG] : [],
    },
  })),
};

/** @param {number} ms */
export function seconds(ms) {
  return `${ms / 1000}s`;
}
