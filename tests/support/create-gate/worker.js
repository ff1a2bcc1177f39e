/**
 * A Worker that makes its gate by `createGate` of the npm package, out of the bindings of the
 * prebuilt Worker: so the tests of that one run over this one, too.
 */
import { Redis } from "@omnitrade/edge";
import { createGate } from "@omnitrade/edge/gate";

/** @type {import("@omnitrade/edge/gate").Gate | undefined} */
let gate;

/** @param {any} env */
function make(env) {
  const { EDGE, EDGE_ORIGIN, UPSTASH_REDIS_REST_URL, THROUGH_A_STORE } = env;
  const config = typeof EDGE === "string" ? JSON.parse(EDGE) : EDGE;
  const redis = UPSTASH_REDIS_REST_URL ? Redis.fromEnv(env, { timeout: "60s", retries: 0 }) : undefined;
  // Without what our client has beyond a store.
  const store = redis && {
    command: redis.command.bind(redis),
    evaluate: redis.evaluate.bind(redis),
  };
  return createGate(EDGE_ORIGIN ? { ...config, origin: EDGE_ORIGIN } : config, {
    redis: THROUGH_A_STORE ? store : redis,
    adminToken: env.EDGE_ADMIN_TOKEN,
    keySecret: env.EDGE_KEY_SECRET,
    previousKeySecret: env.EDGE_KEY_SECRET_PREVIOUS,
  });
}

export default {
  /**
   * @param {Request} request
   * @param {unknown} env
   * @param {{ waitUntil(work: Promise<unknown>): void }} context
   */
  fetch(request, env, context) {
    gate ??= make(env);
    return gate.fetch(request, context);
  },
};
