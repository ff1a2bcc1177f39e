/** The configuration that this repository ships, in front of a sample API on this machine. */
import { AUDIENCE, ISSUER, JWKS_PATH } from "../../examples/origin/identity.js";
import { readWranglerConfig } from "./wrangler.mjs";

/**
 * `EDGE` of `wrangler.toml` as wrangler reads it. Only the origin is another one, and the keys of
 * the users' tokens are those of the sample API's identity provider.
 * @param {string} api the address of the sample API
 * @returns {Record<string, any>}
 */
export function shippedEdge(api) {
  const edge = /** @type {Record<string, any>} */ (structuredClone(readWranglerConfig().vars.EDGE ?? {}));
  if (edge.client?.jwt) {
    edge.client.jwt = { ...edge.client.jwt, jwks: api + JWKS_PATH, issuer: ISSUER, audience: AUDIENCE };
  }
  return { ...edge, origin: api };
}
