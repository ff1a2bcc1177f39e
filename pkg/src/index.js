/** The entry `.`: limiter, cache, Redis client. */
export { Cache } from "./cache.js";
export { EdgeError } from "./errors.js";
export { clientAddress, rateLimitHeaders, tooManyRequests } from "./headers.js";
export { RateLimiter } from "./limiter.js";
export { Redis } from "./redis.js";
