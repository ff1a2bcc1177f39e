/** A Worker, by Cloudflare's own types: the package stands in for what the platform offers. */
import { Cache, clientAddress, RateLimiter, Redis, tooManyRequests } from "@omnitrade/edge";
import { createGate } from "@omnitrade/edge/gate";
import gate from "@omnitrade/edge/worker";

interface Env {
  LIMITER?: RateLimit;
  PRODUCTS: Fetcher;
}

const limiter = new RateLimiter({ quota: 10, window: "1m" });
const binding: RateLimit = limiter;
const cache = new Cache();

export default {
  async fetch(request, env, context): Promise<Response> {
    const redis = Redis.fromEnv(env, { timeout: "1s" });
    const { success } = await (env.LIMITER ?? binding).limit({ key: clientAddress(request) ?? "shared" });
    if (!success) return tooManyRequests(await limiter.peek("shared"));
    const own = createGate(
      { origin: "https://origin.example" },
      { redis, fetch: (asked) => env.PRODUCTS.fetch(asked) },
    );
    const value = await cache.getOrSet("a", { ttl: "1m" }, () => 1);
    return value > 0 ? own.fetch(request, context) : gate.fetch(request, env, context);
  },
} satisfies ExportedHandler<Env>;
