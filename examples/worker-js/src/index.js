/** A Worker that limits its clients, caches what is slow, and has a route of its own. */
import { env } from "cloudflare:workers";
import { Cache, clientAddress, RateLimiter, Redis, rateLimitHeaders, tooManyRequests } from "@omnitrade/edge";

// Without Upstash's two secrets, each isolate has limits and entries of its own.
const redis = "UPSTASH_REDIS_REST_URL" in env ? { redis: Redis.fromEnv(env) } : {};
const limiter = new RateLimiter({ quota: 5, window: "10s", name: "per-address", ...redis });
const cache = new Cache(redis);

export default {
  async fetch(/** @type {Request} */ request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/health") return new Response("ok\n"); // not limited
    const result = await limiter.limit(clientAddress(request) ?? "unknown");
    if (!result.success) return tooManyRequests(result);
    const report = await cache.getOrSet(pathname, { ttl: "30s", staleWhileRevalidate: "5m" }, () =>
      slowReport(pathname),
    );
    return Response.json(report, { headers: rateLimitHeaders(result) });
  },
};

/** What takes too long for every request. @param {string} name */
async function slowReport(name) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  return { name, madeAt: new Date().toISOString() };
}
