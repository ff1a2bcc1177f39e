/**
 * Stale responses: served while they are refreshed, and when the origin fails, but not for ever.
 */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { ask, cacheStatus, newClient, problem, setUp, until, untilTime } from "./kit.mjs";

const made = "/__origin/headers";
const book = "/api/v1/market-data/orderbook";
const trades = "/api/v1/market-data/trades";
const symbols = "/api/v1/market-data/symbols";
const ticker = "/api/v1/market-data/ticker";

const TTL = 300;
const CEILING = 1_500;

const { gate, origin } = await setUp({
  isolates: 2,
  edge: {
    origin_timeout: "1s",
    limits: { many: { by: "client", window: "60s", quota: 1_000 } },
    routes: [
      { path: made, origin_timeout: "30s", cache: { ttl: "300ms", stale_while_revalidate: "10m", query: ["__body"] } },
      { path: book, limits: ["many"], cache: { ttl: "2s", stale_while_revalidate: "10m", query: ["symbol"] } },
      { path: trades, cache: { ttl: "300ms", stale_if_error: "10m", query: ["symbol"] } },
      { path: symbols, cache: { ttl: "300ms", stale_while_revalidate: "500ms", stale_if_error: "1200ms" } },
      { path: ticker, cache: { ttl: "10m", query: ["symbol"] } },
    ],
  },
});
const [first, second] = gate.isolates;
afterEach(() => origin.control.set({}));

/**
 * Fetches a path, and waits until the response is stored and has gone stale.
 * @param {string} path
 */
async function gone(path, ttl = TTL) {
  const reply = await ask(first, path);
  assert.equal(reply.status, 200);
  assert.equal(cacheStatus(reply).stored, true);
  await untilTime(reply.receivedAt + ttl);
  return reply;
}

test("a stale response is served at once, and one request refreshes it", async () => {
  const path = `${made}?__body=swr{n}`;
  const old = await gone(path);
  const seen = origin.counters.of(made);
  // A request that waited for this origin would wait for a minute.
  origin.control.set({ latency: 60_000, only: made });
  const replies = await Promise.all(Array.from({ length: 10 }, () => ask(first, path)));
  for (const reply of replies) {
    assert.equal(reply.status, 200);
    assert.equal(reply.text, old.text);
    assert.equal(cacheStatus(reply).hit, true);
    assert.ok(Number(cacheStatus(reply).ttl) < 0, "it does not look fresh");
  }
  await until(() => origin.counters.of(made) > seen);
  assert.equal(origin.counters.of(made), seen + 1);
});

test("the refreshed response is the one that is served then", async () => {
  const path = `${made}?__body=fresh{n}`;
  const old = await gone(path);
  assert.equal((await ask(first, path)).text, old.text);
  const renewed = await until(async () => {
    const reply = await ask(first, path);
    return reply.text === old.text ? undefined : reply;
  });
  assert.equal(cacheStatus(renewed).hit, true, "nobody had to wait for it");
});

test("two isolates refresh a shared response once", async () => {
  const path = `${book}?symbol=BTCUSDT`;
  const old = await gone(path, 0);
  await until(async () => cacheStatus(await ask(second, path, { headers: newClient() })).detail === "l1");
  await untilTime(old.receivedAt + 2_000);
  const seen = origin.counters.of(book);
  const replies = await Promise.all([...gate.isolates, ...gate.isolates].map((isolate) => ask(isolate, path)));
  for (const reply of replies) assert.equal(cacheStatus(reply).hit, true);
  const text = await until(async () => {
    const texts = await Promise.all(gate.isolates.map(async (isolate) => (await ask(isolate, path)).text));
    return texts[0] !== old.text && texts[0] === texts[1] ? texts[0] : undefined;
  });
  assert.notEqual(text, old.text);
  assert.equal(origin.counters.of(book), seen + 1);
});

for (const [fail, status] of /** @type {const} */ ([
  [503, 503],
  [500, 500],
  ["reset", undefined],
  ["hang", undefined],
])) {
  test(`a stale response is served when the origin fails: ${fail}`, async () => {
    const path = `${trades}?symbol=${{ 503: "BTCUSDT", 500: "ETHUSDT", reset: "SOLUSDT", hang: "XRPUSDT" }[fail]}`;
    const old = await gone(path);
    origin.control.set({ fail, only: trades });
    const reply = await ask(first, path);
    assert.equal(reply.status, 200);
    assert.equal(reply.text, old.text);
    const { fwd, "fwd-status": forwarded, ttl, hit } = cacheStatus(reply);
    assert.equal(hit, undefined);
    assert.equal(fwd, "stale");
    assert.equal(forwarded, status);
    assert.ok(Number(ttl) < 0);
    assert.match(String(reply.headers.age), /^\d+$/);
  });
}

test("an answer that is no failure replaces the stale one", async () => {
  const path = `${trades}?symbol=ADAUSDT`;
  await gone(path);
  origin.control.set({ fail: 404, only: trades });
  assert.equal((await ask(first, path)).status, 404);
});

test("older than the ceiling it is never served, and the failure is shown", async () => {
  const old = await gone(symbols);
  origin.control.set({ fail: 503, only: symbols });
  const over = old.receivedAt + CEILING;
  const served = await until(
    async () => {
      const reply = await ask(first, symbols);
      if (reply.status !== 200) return reply;
      assert.equal(reply.text, old.text);
      assert.ok(reply.sentAt < over, `served ${reply.sentAt - over} ms after the ceiling`);
    },
    { every: 5 },
  );
  assert.equal(served.status, 503, "the origin's own");
  assert.equal(JSON.parse(served.text).statusCode, 503);
  assert.ok(cacheStatus(served).fwd);
  await untilTime(over);
  for (const [fail, status] of /** @type {const} */ ([
    ["reset", 502],
    ["hang", 504],
  ])) {
    origin.control.set({ fail, only: symbols });
    for (const isolate of [first, second]) {
      const reply = await ask(isolate, symbols);
      problem(reply, status);
      assert.ok(cacheStatus(reply).fwd, "Cache-Status is on every response of a route with a cache");
    }
  }
});

test("while it is fresh nobody notices that the origin is gone", async () => {
  const path = `${ticker}?symbol=BTCUSDT`;
  const old = await gone(path, 0);
  await until(async () => cacheStatus(await ask(first, path)).hit);
  origin.control.set({ fail: "reset" });
  const reply = await ask(first, path);
  assert.equal(reply.text, old.text);
  assert.equal(cacheStatus(reply).hit, true);
});

test("with nothing stored an origin's failure is shown, with limits' headers", async () => {
  origin.control.set({ fail: "reset", only: book });
  const reply = await ask(first, `${book}?symbol=LTCUSDT`, { headers: newClient() });
  problem(reply, 502);
  assert.equal(reply.headers["x-edge-limiter"], "redis");
  assert.match(String(reply.headers.ratelimit), /^"many";r=999;/);
});
