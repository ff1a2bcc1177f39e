/**
 * Limits whose permits are fetched ahead: few calls of the store, still one quota, and no request
 * waits.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, cacheStatus, costOf, limiter, newClient, quotaExceeded, rateLimit, setUp, until } from "./kit.mjs";

const hot = "/__origin/status/201";
const short = "/__origin/status/202";
const long = "/__origin/status/203";
const both = "/__origin/status/206";
const tight = "/__origin/status/207";
const book = "/api/v1/market-data/orderbook";
const exactBook = "/api/v1/market-data/trades";

const SHORT = 1_000;

const lease = { by: "ip", strategy: "lease" };
const setup = await setUp({
  isolates: 3,
  edge: {
    limits: {
      hot: { ...lease, window: "10m", quota: 100_000 },
      short: { ...lease, window: `${SHORT}ms`, quota: 60 },
      long: { ...lease, window: "10m", quota: 300 },
      exact: { by: "ip", window: "10m", quota: 100_000 },
      three: { by: "ip", window: "10m", quota: 3 },
    },
    routes: [
      { path: hot, limits: ["hot"] },
      { path: short, limits: ["short"] },
      { path: long, limits: ["long"] },
      { path: both, limits: ["hot", "exact"] },
      { path: tight, limits: ["hot", "three"] },
      { path: book, limits: ["hot"], cache: { ttl: "10m", query: ["symbol"] } },
      { path: exactBook, limits: ["hot", "exact"], cache: { ttl: "10m", query: ["symbol"] } },
    ],
  },
});
const { gate, tap } = setup;

// The script is loaded once, and each isolate asks for the store's time once.
for (const isolate of gate.isolates) await ask(isolate, both, { headers: newClient() });

/**
 * Sends so many requests that many permits are at hand.
 * @param {Record<string, string>} headers
 */
async function warmUp(headers) {
  for (let n = 0; n < 50; n++) await ask(gate, hot, { headers });
  await until(async () => limiter(await ask(gate, hot, { headers })) === "lease", { every: 1 });
}

test("a hot client costs a fifth of a command per request at most", async () => {
  const headers = newClient();
  const requests = 500;
  /** @type {string[]} */
  const sources = [];
  const { calls, ...commands } = await costOf(setup, async () => {
    for (let n = 0; n < requests; n++) {
      const reply = await ask(gate, hot, { headers });
      assert.equal(reply.status, 201);
      sources.push(limiter(reply));
    }
  });
  const leased = sources.filter((source) => source === "lease").length;
  assert.equal(leased + sources.filter((source) => source === "redis").length, requests);
  assert.ok(leased >= 0.9 * requests, `${leased} of ${requests} from a lease`);
  const all = Object.values(commands).reduce((sum, n) => sum + n, 0);
  assert.ok(all <= 0.2 * requests, `${all} commands: ${JSON.stringify(commands)}`);
  assert.ok(calls <= all / 3, `${calls} calls`);
});

test("a new client gets a few permits ahead in each isolate", async () => {
  const headers = newClient();
  const reply = await ask(gate, hot, { headers });
  assert.equal(limiter(reply), "redis");
  assert.equal(rateLimit(reply).hot.r, 99_999);
  for (let n = 1; n <= 12; n++) {
    const next = await ask(gate, hot, { headers });
    assert.deepEqual([limiter(next), rateLimit(next).hot.r], ["lease", 99_999 - n]);
  }
  const other = newClient();
  await ask(gate, hot, { headers: other });
  const elsewhere = await ask(gate.isolates[1], hot, { headers: other });
  assert.equal(rateLimit(elsewhere).hot.r, 99_998 - 12, "the other isolate holds twelve");
});

test("a client is told of no more than is left, its own requests included", async () => {
  const headers = newClient();
  let last = 100_000;
  for (let n = 1; n <= 100; n++) {
    const { r = assert.fail(), q, w } = rateLimit(await ask(gate, hot, { headers })).hot;
    assert.deepEqual({ q, w }, { q: 100_000, w: 600 });
    assert.ok(r <= 100_000 - n && r < last, `r=${r} after ${n} requests, and ${last} before`);
    last = r;
  }
});

test("no window ever exceeds the quota, with three isolates hammered at once", async () => {
  const headers = newClient();
  /** @type {import("./kit.mjs").Reply[]} */
  const admitted = [];
  const leased = new Set();
  const enough = 60 * 4;
  await Promise.all(
    gate.isolates.flatMap((isolate) =>
      Array.from({ length: 4 }, async () => {
        while (admitted.length < enough) {
          const reply = await ask(isolate, short, { headers });
          if (reply.status === 202) {
            admitted.push(reply);
            if (limiter(reply) === "lease") leased.add(isolate);
          } else {
            quotaExceeded(reply);
            await sleep(5);
          }
        }
      }),
    ),
  );
  assert.ok(leased.size > 0, "some of it was leased");
  for (const { sentAt } of admitted) {
    const inside = admitted.filter((other) => other.sentAt >= sentAt && other.receivedAt < sentAt + SHORT);
    assert.ok(inside.length <= 60, `${inside.length} within a window`);
  }
});

test("three isolates give out one quota together, and nearly all of it", async () => {
  const headers = newClient();
  let admitted = 0;
  await Promise.all(
    gate.isolates.flatMap((isolate) =>
      Array.from({ length: 4 }, async () => {
        for (let refusals = 0; refusals < 3; ) {
          const reply = await ask(isolate, long, { headers });
          if (reply.status === 203) admitted++;
          else refusals++;
        }
      }),
    ),
  );
  assert.ok(admitted <= 300, `${admitted} of 300`);
  assert.ok(admitted >= 200, `${admitted} of 300`);
});

test("permits are fetched while some are left, and nobody waits for them", async () => {
  const headers = newClient();
  await warmUp(headers);
  let release = () => {};
  tap.barrier = new Promise((resolve) => {
    release = () => resolve(undefined);
  });
  try {
    const calls = tap.calls;
    // These requests are answered while the calls of the store are not.
    await until(async () => {
      assert.equal(limiter(await ask(gate, hot, { headers })), "lease");
      return tap.calls > calls;
    });
    assert.equal(tap.calls, calls + 1, "one fetches for all");
    const next = await ask(gate, hot, { headers });
    assert.equal(limiter(next), "lease", "there were some left");
    assert.equal(tap.calls, calls + 1);
  } finally {
    release();
  }
  await warmUp(headers);
});

test("beside an exact limit, one call asks for all that is open", async () => {
  const headers = newClient();
  for (let n = 0; n < 20; n++) await ask(gate, both, { headers });
  const cost = await costOf(setup, async () => {
    for (let n = 1; n <= 10; n++) {
      const reply = await ask(gate, both, { headers });
      assert.equal(limiter(reply), "redis");
      const { exact } = rateLimit(reply);
      assert.equal(exact.r, 100_000 - 20 - n);
    }
  });
  // Some of the calls fetch permits.
  assert.ok(cost.calls >= 10 && cost.calls <= 15, JSON.stringify(cost));
});

test("one call asks for limits and cache entry, and a hit at hand costs none", async () => {
  const headers = newClient();
  await warmUp(headers);
  const [first, second] = gate.isolates;
  assert.equal(cacheStatus(await ask(first, `${book}?symbol=BTCUSDT`, { headers })).stored, true);
  await until(async () => cacheStatus(await ask(first, `${book}?symbol=BTCUSDT`, { headers })).hit);
  const hits = await costOf(setup, async () => {
    for (let n = 0; n < 5; n++) {
      const reply = await ask(first, `${book}?symbol=BTCUSDT`, { headers });
      assert.equal(cacheStatus(reply).detail, "l1");
      assert.equal(limiter(reply), "lease");
    }
  });
  assert.ok(hits.calls <= 2, JSON.stringify(hits));

  // The isolate that has neither permits nor the entry asks for both in one call.
  await ask(first, `${exactBook}?symbol=BTCUSDT`, { headers: newClient() });
  await until(async () => (await setup.store.keys()).filter((key) => key.startsWith("ot:c:")).length >= 2);
  for (const [path, sets] of /** @type {const} */ ([
    [`${book}?symbol=BTCUSDT`, 1],
    [`${exactBook}?symbol=BTCUSDT`, 2],
  ])) {
    const cost = await costOf(setup, async () => {
      const reply = await ask(second, path, { headers: newClient() });
      assert.equal(cacheStatus(reply).detail, "redis");
    });
    assert.deepEqual(cost, { evalsha: 1, mget: 1, set: sets, calls: 1 });
  }
});

test("what another limit refuses takes no permit from the lease", async () => {
  const headers = newClient();
  await warmUp(headers);
  for (let n = 0; n < 3; n++) assert.equal((await ask(gate, tight, { headers })).status, 207);
  const before = rateLimit(await ask(gate, hot, { headers })).hot.r ?? assert.fail();
  for (let n = 0; n < 10; n++) {
    assert.deepEqual(quotaExceeded(await ask(gate, tight, { headers }))["violated-policies"], ["three"]);
  }
  assert.equal(rateLimit(await ask(gate, hot, { headers })).hot.r, before - 1);
});
