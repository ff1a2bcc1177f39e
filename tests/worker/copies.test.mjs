/**
 * Bodies stay in JavaScript: the number of bytes copied between JavaScript and wasm does not grow
 * with them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bundleCountingWorker } from "../support/counting.mjs";
import { ask, cacheStatus, setUp, until } from "./kit.mjs";

const streamed = "/__origin/stream";
const LARGE = 250_000;

const { gate } = await setUp({
  script: await bundleCountingWorker(),
  edge: { routes: [{ path: streamed, cache: { ttl: "10m" } }] },
});

/** @returns {Promise<number>} */
async function copied() {
  return JSON.parse((await ask(gate, "/__counting")).text).bytes;
}

test("a large answer out of the isolate's memory is not copied through wasm", async () => {
  const path = `${streamed}?bytes=${LARGE}&length=true`;
  const before = await copied();
  await ask(gate, path);
  const isHit = (/** @type {import("./kit.mjs").Reply} */ reply) => cacheStatus(reply).detail === "l1";
  await until(async () => isHit(await ask(gate, path)));
  const stored = await copied();
  assert.ok(stored - before >= LARGE, `the probe saw ${stored - before} bytes while it was stored`);

  const hits = 10;
  for (let n = 0; n < hits; n++) {
    const reply = await ask(gate, path);
    assert.equal(reply.body.length, LARGE);
    assert.ok(isHit(reply));
  }
  const perHit = ((await copied()) - stored) / hits;
  // It may be 0: what is the same as in the answer before is not copied again.
  assert.ok(perHit < 10_000, `${perHit} bytes a hit`);
});

test("a large answer that is not stored is not copied through wasm", async () => {
  const before = await copied();
  const reply = await ask(gate, "/api/v1/market-data/markets?per_page=250");
  const passed = (await copied()) - before;
  assert.ok(reply.body.length > 150_000, `${reply.body.length} bytes`);
  assert.ok(passed > 0 && passed < 10_000, `${passed} bytes were copied`);
});
