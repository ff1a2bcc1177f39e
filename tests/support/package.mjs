/** The built npm package, for tests that run in Node. */
const dist = new URL("../../pkg/dist/", import.meta.url);
const load = (/** @type {string} */ name) => import(new URL(`${name}.js`, dist).href);

/** @type {typeof import("../../pkg/types/index.js")} */
export const { EdgeError, RateLimiter, Redis, rateLimitHeaders } = await load("index");
/** @type {typeof import("../../pkg/types/gate.js")} */
export const { ConfigError, createGate } = await load("gate");
/** @type {typeof import("../../pkg/types/clients.js")} */
export const { fromIoredis, fromNodeRedis, fromUpstash } = await load("clients");
/** @type {typeof import("../../pkg/types/queue.js")} */
export const { Queue } = await load("queue");
