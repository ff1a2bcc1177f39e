/** A server of plain `node:http` that limits its clients. */
import { createServer } from "node:http";
import { RateLimiter, Redis, rateLimitHeaders } from "@omnitrade/edge";

// Without Upstash's two variables, the limits are those of this process.
const redis = process.env.UPSTASH_REDIS_REST_URL ? { redis: Redis.fromEnv() } : {};
const limiter = new RateLimiter({ quota: 5, window: "10s", name: "per-address", ...redis });

const server = createServer(async (request, response) => {
  const result = await limiter.limit(request.socket.remoteAddress ?? "unknown");
  response.setHeaders(new Headers(rateLimitHeaders(result)));
  if (result.success) return response.end("hello\n");
  response.writeHead(429, { "retry-after": `${Math.ceil(result.retryAfter / 1_000)}` }).end("slow down\n");
});
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  console.log(`listening on http://127.0.0.1:${port}`);
});
