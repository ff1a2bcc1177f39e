/** Failures of the origin that several wait for are shared like answers, and only as safely. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { ask, cacheStatus, newClient, problem, rateLimit, setUp, startGateBefore, until } from "./kit.mjs";

const made = "/__origin/headers";
const book = "/api/v1/market-data/orderbook";
const trades = "/api/v1/market-data/trades";
const klines = "/api/v1/market-data/klines";
const markets = "/api/v1/market-data/markets";

const edge = {
  origin_timeout: "5s",
  limits: { many: { by: "ip", window: "60s", quota: 10_000 } },
  origin_quotas: { provider: { limit: 3, window: "10m" } },
  routes: [
    { path: made, cache: { ttl: "10m" } },
    { path: book, limits: ["many"], refund_on: [500], cache: { ttl: "10m", query: ["symbol", "limit"] } },
    { path: trades, limits: ["many"], origin_quota: "provider", cache: { ttl: "10m", query: ["symbol"] } },
    { path: klines, cache: { ttl: "100ms", stale_if_error: "1h", query: ["symbol", "interval"] } },
    {
      path: markets,
      limits: ["many"],
      cache: {
        ttl: "1s",
        negative_ttl: "10m",
        negative_statuses: [404, 500],
        query: ["page"],
        unknown_query: "refuse",
      },
    },
    { path: "/api/v1/market-data/ticker", limits: ["many"], cache: { ttl: "10m", query: [], unknown_query: "pass" } },
  ],
};
const setup = await setUp({ edge, isolates: 2 });
const { gate, origin } = setup;
const local = await startGateBefore({ origin }, { edge });
afterEach(() => origin.control.set({}));

/** The gate with Redis and without. */
const gates = /** @type {const} */ ([
  ["with Redis", gate],
  ["in local mode", local],
]);

/**
 * @param {{ url: string }} isolate
 * @param {string} path
 * @param {number} [size]
 * @param {(n: number) => Record<string, string>} [headers]
 */
function crowd(isolate, path, size = 100, headers = () => newClient()) {
  return Promise.all(Array.from({ length: size }, (_, n) => ask(isolate, path, { headers: headers(n) })));
}

for (const [where, { isolates }] of gates) {
  for (const [what, path] of /** @type {const} */ ([
    ["without limits", `${made}?for=${where.length}`],
    ["with limits", `${book}?symbol=BTCUSDT&limit=${where.length}`],
    ["with an origin quota", `${trades}?symbol=${where === "with Redis" ? "BTCUSDT" : "ETHUSDT"}`],
  ])) {
    test(`a hundred at once on a 500 are one call for all of them, ${what}, ${where}`, async () => {
      const pathname = path.split("?")[0];
      origin.control.set({ fail: 500, latency: 200, only: pathname });
      const before = origin.counters.of(pathname);
      const replies = await crowd(isolates[0], path);
      for (const reply of replies) {
        assert.equal(reply.status, 500, reply.text);
        assert.equal(reply.text, replies[0].text);
        assert.equal(reply.headers["content-type"], replies[0].headers["content-type"]);
      }
      const calls = origin.counters.of(pathname) - before;
      assert.ok(calls <= 2, `${calls} calls`);
      // Those that came when the first call had failed already did not wait for it.
      const shared = replies.filter((reply) => cacheStatus(reply).detail === "shared-failure");
      assert.ok(shared.length >= replies.length - calls, `${shared.length} shared`);
      assert.ok(shared.some((reply) => cacheStatus(reply).collapsed));
    });
  }

  for (const [fault, status] of /** @type {const} */ ([
    ["reset", 502],
    [503, 503],
  ])) {
    test(`a hundred at once on an origin that fails by ${fault} are one call, ${where}`, async () => {
      const path = `${made}?fault=${fault}-${where.length}`;
      origin.control.set({ fail: fault, latency: 200, only: made });
      const before = origin.counters.of(made);
      for (const reply of await crowd(isolates[0], path)) assert.equal(reply.status, status);
      const calls = origin.counters.of(made) - before;
      assert.ok(calls <= 2, `${calls} calls`);
      origin.control.set({});
      await until(async () => (await ask(isolates[0], path)).status === 200, { within: 5_000 });
    });
  }

  test(`a stored answer comes before a failure for all who wait, ${where}`, async () => {
    const path = `${klines}?symbol=BTCUSDT&interval=1m`;
    assert.equal((await ask(isolates[0], path)).status, 200);
    await until(async () => cacheStatus(await ask(isolates[0], path)).hit === true);
    origin.control.set({ fail: 500, latency: 200, only: klines });
    await new Promise((resolve) => setTimeout(resolve, 150));
    const before = origin.counters.of(klines);
    for (const reply of await crowd(isolates[0], path)) {
      assert.equal(reply.status, 200);
      assert.equal(cacheStatus(reply).detail, "stale-if-error");
      assert.ok(reply.headers["x-data-age"]);
    }
    const calls = origin.counters.of(klines) - before;
    assert.ok(calls <= 2, `${calls} calls`);
  });
}

test("an origin that is gone is called once for all who wait", async () => {
  const gone = await startGateBefore({ origin: { url: "http://127.0.0.1:9" } }, { edge });
  const started = Date.now();
  for (const reply of await crowd(gone.isolates[0], `${book}?symbol=A`)) problem(reply, 502);
  assert.ok(Date.now() - started < 8_000);
});

test("each who shares a failure has its own account", async () => {
  origin.control.set({ fail: 500, latency: 200, only: book });
  for (const reply of await crowd(gate.isolates[0], `${book}?symbol=SOLUSDT`, 20)) {
    assert.equal(reply.status, 500);
    assert.deepEqual(rateLimit(reply).many.r, 10_000, "refunded");
  }
});

test("what is for one client reaches no other", async () => {
  const kinds = [
    "__status=500&set-cookie=s%3D1",
    "__status=500&cache-control=private",
    "__status=503&cache-control=private,no-store",
    "__status=500&vary=x-me",
    "__status=500&vary=*",
    "__status=503&cache-control=no-store&vary=x-me",
    "__status=500&vary=x-forwarded-for",
    "__status=429&retry-after=1",
    "__status=511",
  ];
  for (const [n, kind] of kinds.entries()) {
    for (const isolate of [gate.isolates[0], local.isolates[0]]) {
      const path = `${made}?n=${n}-${isolate === gate.isolates[0]}&__delay=100&${kind}`;
      const before = origin.counters.of(made);
      const replies = await crowd(isolate, path, 8, (who) => ({ ...newClient(), "x-me": String(who) }));
      for (const reply of replies) assert.ok(reply.status >= 429);
      assert.equal(origin.counters.of(made) - before, 8, `${kind}: each asks for itself`);
    }
  }
  const path = `${made}?__status=500&__delay=100&cache-control=public`;
  const before = origin.counters.of(made);
  await crowd(gate.isolates[0], path, 8, (n) => ({ authorization: `Bearer ${n}` }));
  assert.equal(origin.counters.of(made) - before, 8);
});

test("of a failure that must not be stored others learn only that it failed", async () => {
  for (const [n, kind] of ["__status=503&cache-control=no-store", "__status=502&cache-control=no-cache"].entries()) {
    for (const isolate of [gate.isolates[0], local.isolates[0]]) {
      const path = `${made}?own=${n}-${isolate === gate.isolates[0]}&__delay=100&${kind}`;
      const before = origin.counters.of(made);
      const replies = await crowd(isolate, path, 11);
      assert.equal(origin.counters.of(made) - before, 2, kind);
      const told = replies.filter((reply) => cacheStatus(reply).detail === "shared-failure");
      assert.equal(told.length, 9, kind);
      for (const reply of told) assert.equal(problem(reply, 502).code, "origin_failed");
    }
  }
});

test("a 500 that the route counts as negative is stored like a 404", async () => {
  origin.control.set({ fail: 500, latency: 100, only: markets });
  const before = origin.counters.of(markets);
  for (const reply of await crowd(gate.isolates[0], `${markets}?page=9`, 20)) assert.equal(reply.status, 500);
  origin.control.set({});
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  for (const isolate of gate.isolates) {
    const reply = await ask(isolate, `${markets}?page=9`, { headers: newClient() });
    assert.equal(reply.status, 500);
    assert.equal(cacheStatus(reply).hit, true);
  }
  assert.equal(origin.counters.of(markets) - before, 1);
});

test("an undeclared parameter is refused or passed on, as the route says", async () => {
  const headers = newClient();
  const calls = origin.counters.of(markets);
  const refused = await ask(gate.isolates[0], `${markets}?page=1&foo=1&b%5B%5D=2`, { headers });
  const body = problem(refused, 400);
  assert.equal(body.code, "unknown_query");
  assert.deepEqual(body.parameters, ["foo", "b%5B%5D"]);
  assert.equal(cacheStatus(refused).detail, "unknown-query");
  assert.equal(rateLimit(refused).many.r, 9_999, "it costs what it would have cost");
  assert.equal(origin.counters.of(markets), calls);

  const ticker = "/api/v1/market-data/ticker";
  const before = origin.counters.of(ticker);
  for (let n = 1; n <= 2; n++) {
    const passed = await ask(gate.isolates[0], `${ticker}?foo=1`, { headers });
    assert.equal(cacheStatus(passed).fwd, "bypass");
    assert.equal(cacheStatus(passed).detail, "unknown-query");
    assert.equal(origin.counters.of(ticker) - before, n);
  }
});
