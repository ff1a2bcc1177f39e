/**
 * What 100,000 calls on 10,000 subjects leave in memory: `node --expose-gc memory.mjs`. It prints
 * the bytes in use after each 10,000 calls, as JSON.
 */
import { RateLimiter } from "@omnitrade/edge";

const limiter = new RateLimiter({ quota: 1_000, window: "60s" });
const inUse = [];
for (let n = 1; n <= 100_000; n++) {
  await limiter.limit(`subject-${n % 10_000}`);
  if (n % 10_000 > 0) continue;
  globalThis.gc?.();
  const { heapUsed, arrayBuffers, external } = process.memoryUsage();
  // The module's memory counts as external.
  inUse.push(heapUsed + Math.max(arrayBuffers, external));
}
process.stdout.write(JSON.stringify(inUse));
