/** The configuration that this repository ships, for servers on this machine. */

import { AUDIENCE, ISSUER, JWKS_PATH } from "../../examples/origin/identity.js";
import { readWranglerConfig } from "../../scripts/lib/wrangler.mjs";

/**
 * `EDGE` of `wrangler.toml` as wrangler reads it. Only the addresses are others: those of the origin
 * and of whoever signs the users' tokens.
 * @param {string} api the address of the sample API, which is both
 * @returns {Record<string, any>}
 */
export function shippedEdge(api) {
  const edge = /** @type {Record<string, any>} */ (structuredClone(readWranglerConfig().vars.EDGE));
  if (edge.client?.jwt) {
    edge.client.jwt = { ...edge.client.jwt, jwks: api + JWKS_PATH, issuer: ISSUER, audience: AUDIENCE };
  }
  return { ...edge, origin: api };
}

/** The same with every limit asking the store about every request. @param {Record<string, any>} edge */
export function withExactLimits(edge) {
  const limits = Object.entries(edge.limits).map(([name, limit]) => [name, { ...limit, strategy: "exact" }]);
  return { ...edge, limits: Object.fromEntries(limits) };
}
