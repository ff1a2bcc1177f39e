/**
 * The built Worker with a binding that records what Workers Analytics Engine would get, and at
 * `/__dataset` what that was.
 */
// @ts-expect-error Only the bundler knows where it is.
import gate from "built-worker";

/** @type {object[]} */
const points = [];
const EDGE_METRICS = { writeDataPoint: (/** @type {object} */ point) => void points.push(point) };

export default {
  /**
   * @param {Request} request
   * @param {object} env
   * @param {unknown} context
   */
  fetch: (request, env, context) =>
    new URL(request.url).pathname === "/__dataset"
      ? Response.json(points)
      : gate.fetch(request, { ...env, EDGE_METRICS }, context),
};
