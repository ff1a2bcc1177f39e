/**
 * The built Worker as `wrangler dev` runs it: with its configuration, through wrangler's own
 * harness.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { createTestHarness } from "wrangler";
import { root } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";
import { shippedEdge } from "../../scripts/lib/shipped.mjs";
import { readWranglerConfig } from "../../scripts/lib/wrangler.mjs";
import { storeVars, surroundings } from "./kit.mjs";

const { origin, store } = await surroundings();

const { name, compatibility_date, compatibility_flags } = readWranglerConfig();
const config = join(scratchFolder(), "wrangler.json");
writeFileSync(
  config,
  JSON.stringify({
    name,
    main: join(root, "build/index.js"),
    compatibility_date,
    compatibility_flags,
    vars: {
      EDGE: { ...shippedEdge(origin.url), redis: { timeout: "10s" } },
      ...storeVars(store),
    },
  }),
);
// Keep wrangler from calling outside services.
Object.assign(process.env, {
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
});
const harness = createTestHarness({ workers: [{ configPath: config }] });
after(() => harness.close());
await harness.listen();

test("it is up", async () => {
  const response = await harness.fetch("/__edge/health");
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { status: "ok", store: "closed" });
});

test("it limits, by way of the store", async () => {
  const response = await harness.fetch("/api/v1/market-data/orderbook?symbol=BTCUSDT");
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("x-edge-limiter"), "redis");
  assert.match(String(response.headers.get("ratelimit")), /^"per-user";r=499;t=\d+, "per-ip";r=1999;t=\d+$/);
  assert.match(String(response.headers.get("cache-status")), /^omnitrade-edge; fwd=.*; stored/);
  const book = /** @type {any} */ (await response.json());
  assert.equal(book.symbol, "BTCUSDT");
});
