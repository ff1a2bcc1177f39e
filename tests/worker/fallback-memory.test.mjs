/**
 * What an isolate remembers serves it without a store: its cache, its limits, and what was used
 * before.
 */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import {
  ask,
  cacheStatus,
  limiter,
  newClient,
  quotaExceeded,
  rateLimit,
  reducedCapacity,
  setUp,
  startGateBefore,
  until,
  untilTime,
} from "./kit.mjs";

const ten = "/__origin/status/201";
const book = "/api/v1/market-data/orderbook";
const free = "/api/v1/market-data/ticker";

const { gate, origin, tap } = await setUp({
  edge: {
    limits: {
      ten: { by: "ip", window: "10m", quota: 10 },
      many: { by: "ip", window: "10m", quota: 1_000 },
    },
    routes: [
      { path: ten, limits: ["ten"] },
      { path: book, limits: ["many"], cache: { ttl: "10m", query: ["symbol"] } },
      { path: free, cache: { ttl: "10m", query: ["symbol"] } },
    ],
  },
});

afterEach(async () => {
  tap.fault = null;
  await until(async () => limiter(await ask(gate, book, { headers: newClient() })) === "redis");
});

test("the cache of the isolate goes on serving", async () => {
  for (const path of [`${book}?symbol=BTCUSDT`, `${free}?symbol=BTCUSDT`]) {
    await ask(gate, path);
    await until(async () => cacheStatus(await ask(gate, path)).hit);
    tap.fault = "reset";
    const seen = origin.counters.get().total;
    for (let n = 0; n < 10; n++) {
      const reply = await ask(gate, path);
      assert.equal(reply.status, 200);
      assert.equal(cacheStatus(reply).hit, true);
      assert.equal(cacheStatus(reply).detail, "l1");
      assert.equal(limiter(reply), path.startsWith(book) ? "local" : "none");
    }
    assert.equal(origin.counters.get().total, seen);
    tap.fault = null;
    await until(async () => limiter(await ask(gate, book, { headers: newClient() })) === "redis");
  }
});

test("what is not in memory comes from the origin, and stays in memory", async () => {
  tap.fault = "reset";
  for (const path of [`${book}?symbol=ETHUSDT`, `${free}?symbol=ETHUSDT`]) {
    const reply = await ask(gate, path);
    assert.equal(reply.status, 200);
    assert.ok(cacheStatus(reply).fwd);
    await until(async () => cacheStatus(await ask(gate, path)).hit);
  }
});

test("the local limits start from what was used before", async () => {
  const headers = newClient();
  for (let n = 0; n < 8; n++) assert.equal((await ask(gate, ten, { headers })).status, 201);
  tap.fault = "reset";
  const replies = [];
  for (let n = 0; n < 12; n++) replies.push(await ask(gate, ten, { headers }));
  for (const reply of replies) assert.equal(limiter(reply), "local");
  const admitted = replies.filter((reply) => reply.status === 201);
  assert.ok(admitted.length <= 2, `${admitted.length} beside the eight`);
  const refused = replies.at(-1) ?? assert.fail();
  assert.deepEqual(reducedCapacity(refused)["violated-policies"], ["ten"]);
  assert.equal(rateLimit(refused).ten.r, 0);
});

test("a refusal that the store gave holds while it is gone", async () => {
  const headers = newClient();
  for (let n = 0; n < 10; n++) await ask(gate, ten, { headers });
  assert.equal(limiter(await ask(gate, ten, { headers })), "redis");
  tap.fault = "reset";
  const reply = await ask(gate, ten, { headers });
  quotaExceeded(reply);
  assert.equal(limiter(reply), "blocked");
  assert.equal(rateLimit(reply).ten.r, 0);
});

test("a local refusal does not outlive the failure of the store", async () => {
  const headers = newClient();
  tap.fault = "reset";
  await until(async () => (await ask(gate, ten, { headers })).status === 503);
  tap.fault = null;
  const reply = await until(async () => {
    const reply = await ask(gate, ten, { headers });
    return limiter(reply) === "redis" ? reply : undefined;
  });
  assert.equal(reply.status, 201);
});

test("local limits keep their window too, and Retry-After is true of them", async () => {
  const window = 2_000;
  const limits = { four: { by: "ip", window: `${window}ms`, quota: 4 } };
  const local = await startGateBefore({ origin }, { edge: { default_limits: ["four"], limits } });
  const headers = newClient();
  /** @type {import("./kit.mjs").Reply[]} */
  const admitted = [];
  await until(async () => {
    const reply = await ask(local, "/__origin/echo", { headers });
    assert.equal(limiter(reply), "local");
    if (reply.status === 200) {
      admitted.push(reply);
    } else {
      quotaExceeded(reply);
      const wait = Number(reply.headers["retry-after"]);
      assert.ok(wait >= 1 && wait <= 3, `Retry-After: ${wait}`);
      // Every other time it asks as soon as it was told to, otherwise again and again until it is
      // admitted.
      if (admitted.length % 2) {
        await untilTime(reply.receivedAt + wait * 1_000);
        admitted.push(await ask(local, "/__origin/echo", { headers }));
        assert.equal(admitted.at(-1)?.status, 200);
      }
    }
    return admitted.length >= 9;
  });
  for (let n = 4; n < admitted.length; n++) {
    const apart = admitted[n].receivedAt - admitted[n - 4].sentAt;
    assert.ok(apart >= window, `five within ${apart} ms`);
  }
});
