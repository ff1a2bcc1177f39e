/**
 * What all measurements share: one Redis, REST in front of it, one origin, and Workers on demand.
 */
import { startRedis, startRestRedis, startSampleApi } from "../../scripts/lib/servers.mjs";
import { startGate } from "../../tests/support/gate.mjs";
import { scriptOf } from "./contestants.mjs";
import { connectToRedis } from "./redis-info.mjs";

/**
 * @typedef {object} Ground
 * @property {import("./redis-info.mjs").RedisInfo} redis
 * @property {{ url: string, token: string }} rest Upstash's REST protocol over that Redis
 * @property {{ url: string }} origin
 * @property {(
 *   contestant: import("./contestants.mjs").Contestant, job: Job, options?: StartOptions
 * ) => Promise<Gate>} start starts a contestant in workerd, with its own memory
 * @property {() => Promise<Ground>} another of the same kind, with servers of its own
 * @property {() => Promise<void>} stop
 */

/**
 * What all contestants are asked to do: `EDGE`, with the ground's origin unless it names another.
 * The peers use only `default_limits`, `window`, `quota` and `by` of a limit, and `path`,
 * `methods`, `limits`, and the cache's `ttl` and `query` of a route.
 * @typedef {{
 *   origin?: string, limits: Record<string, object>, routes: object[], default_limits?: string[],
 *   cache?: object
 * }} Job
 */

/**
 * @typedef {object} StartOptions
 * @property {number} [isolates]
 * @property {string | null} [restUrl] another address for the store; `null`: without a store
 * @property {string[]} [v8Flags] for the JavaScript engine
 */

/** @typedef {import("../../tests/support/gate.mjs").Gate} Gate */

/**
 * As long as `@upstash/ratelimit` waits, so that noise of the machine does not make it decide
 * without the store.
 */
const STORE_TIMEOUT = "5s";

/**
 * @param {string} restServer the program that serves REST
 * @returns {Promise<Ground>}
 */
export async function layGround(restServer) {
  const redisServer = await startRedis();
  const [rest, origin] = await Promise.all([
    startRestRedis({ redisUrl: redisServer.url, program: restServer }),
    startSampleApi(),
  ]);
  const redis = await connectToRedis(redisServer.port);
  return {
    redis,
    rest,
    origin,
    start: async (contestant, job, { isolates, restUrl = rest.url, v8Flags } = {}) => {
      const edge = { origin: origin.url, redis: { timeout: STORE_TIMEOUT, key_prefix: contestant.name }, ...job };
      const store = restUrl === null ? {} : { UPSTASH_REDIS_REST_URL: restUrl, UPSTASH_REDIS_REST_TOKEN: rest.token };
      return startGate({
        script: await scriptOf(contestant),
        edge,
        isolates,
        v8Flags,
        vars: { ...store, ...contestant.vars },
      });
    },
    another: () => layGround(restServer),
    stop: async () => {
      redis.close();
      await Promise.all([rest.stop(), origin.stop()]);
      await redisServer.stop();
    },
  };
}
