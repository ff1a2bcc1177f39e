/** A program that has used the package ends when its own work is done. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../../scripts/lib/process.mjs";
import { startStore } from "./kit.mjs";

const { store } = await startStore();
const built = new URL("../../pkg/dist/index.js", import.meta.url).href;

test("no timer and no connection of the package keeps a process going", async () => {
  const program = `
    const { Cache, RateLimiter, Redis } = await import(${JSON.stringify(built)});
    const redis = new Redis({ ...${JSON.stringify({ url: store.url, token: store.token })}, timeout: "60s" });
    const leased = new RateLimiter({ quota: 1_000_000, window: "1h", strategy: "lease", redis, timeout: "60s" });
    for (let n = 0; n < 50; n++) await (leased.limitNow("a") ?? (await leased.limit("a"))).pending;
    const cache = new Cache({ redis, timeout: "60s", loadTimeout: "60s" });
    await cache.getOrSet("k", { ttl: "1m", staleWhileRevalidate: "1m" }, () => 1);
    await new Cache({ loadTimeout: "60s" }).getOrSet("k", { ttl: "1m" }, async () => 1);
    await redis.command(["PING"]);
    console.log(Date.now());
  `;
  const { text } = await run(process.execPath, ["--input-type=module", "--eval", program], { output: "quiet" });
  const took = Date.now() - Number(text);
  assert.ok(took < 20_000, `it went on for ${took} ms`);
});
