/**
 * Market data: equal requests share one entry for as long as the answer holds, and nothing outside
 * the key affects it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, cacheStatus, secondsBetween, setUp, until, untilTime } from "./kit.mjs";

const book = "/api/v1/market-data/orderbook";
const klines = "/api/v1/market-data/klines";
const echo = "/__origin/echo";
const made = "/__origin/headers";
const DAY = 86_400;

const { gate, origin, store } = await setUp({
  isolates: 2,
  api: { cache: false },
  edge: {
    routes: [
      {
        path: book,
        cache: {
          ttl: "10m",
          negative_ttl: "1s",
          stale_while_revalidate: "10m",
          query: ["symbol", "limit"],
          normalize: { symbol: "upper" },
          defaults: { limit: "100" },
        },
      },
      { path: klines, cache: { ttl: "candle", query: ["symbol", "interval", "startTime", "endTime", "limit"] } },
      { path: echo, cache: { ttl: "10m", query: ["n"], normalize: { n: "lower" }, vary: ["x-keyed"] } },
      { path: made, cache: { ttl: "1s", stale_while_revalidate: "10m", query: ["__body"] } },
    ],
  },
});
const [first, second] = gate.isolates;

/** Asks until the answer comes from the cache. @param {string} path @param {any} [options] */
const stored = (path, options) =>
  until(async () => {
    const reply = await ask(first, path, options);
    return cacheStatus(reply).hit ? reply : undefined;
  });

test("equal questions are one entry and one origin call, however spelt", async () => {
  const miss = await ask(first, `${book}?symbol=btcusdt&utm_source=x`);
  assert.equal(miss.status, 200);
  await stored(`${book}?symbol=BTCUSDT`);
  await until(async () => (await store.keys()).some((key) => key.startsWith("ot:c:")));
  for (const query of [
    "limit=100&symbol=BTCUSDT",
    "symbol=BtcUsdt",
    "%73ymbol=%62tcusdt&limit=%3100",
    "symbol=btcusdt&x",
  ]) {
    for (const isolate of [first, second]) {
      const reply = await ask(isolate, `${book}?${query}`);
      assert.equal(cacheStatus(reply).hit, true, query);
      assert.deepEqual(reply.body, miss.body);
    }
  }
  assert.equal(origin.counters.of(book), 1);
  assert.equal(JSON.parse(miss.text).bids.length, 100);
  assert.equal(JSON.parse((await ask(first, `${book}?symbol=btcusdt&limit=5`)).text).bids.length, 5);
});

test("the origin is asked in the canonical form, also past the cache", async () => {
  const url = (/** @type {import("./kit.mjs").Reply} */ reply) => JSON.parse(reply.text).url;
  assert.equal(url(await ask(first, `${echo}?b=1&n=A%62%C3%A4&c`)), `${echo}?n=ab%C3%A4`);
  const noStore = { headers: { "cache-control": "no-store" } };
  assert.equal(url(await ask(first, `${echo}?b=1&n=ABC`, noStore)), `${echo}?n=abc`);
  assert.equal(url(await ask(first, `${echo}?b=1&n=ABC`, { method: "POST" })), `${echo}?b=1&n=ABC`);
});

test("closed candles are kept for good, open ones until they close", async () => {
  const closed = `${klines}?symbol=BTCUSDT&interval=1s&limit=5&endTime=${Date.now() - 60_000}`;
  const open = `${klines}?symbol=BTCUSDT&interval=1s&limit=5`;
  const miss = await ask(first, closed);
  const kept30Days = Number(cacheStatus(miss).ttl) >= 30 * DAY - secondsBetween(miss) - 1;
  assert.ok(kept30Days, miss.headers["cache-status"]?.toString());
  await stored(closed);

  const before = origin.counters.of(klines);
  const live = await ask(first, open);
  assert.ok(Number(cacheStatus(live).ttl) <= 1, "until the second is over");
  await untilTime(Math.ceil(live.receivedAt / 1_000) * 1_000 + 100);
  const later = await ask(first, open);
  assert.equal(cacheStatus(later).hit, undefined, "it has closed");
  assert.notEqual(later.text, live.text);
  assert.equal(origin.counters.of(klines), before + 2);

  for (const isolate of [first, second]) {
    const again = await ask(isolate, closed);
    assert.equal(cacheStatus(again).hit, true);
    assert.deepEqual(again.body, miss.body);
  }
  const keys = (await store.keys()).filter((key) => key.startsWith("ot:c:"));
  const kept = await Promise.all(keys.map((key) => store.run("PTTL", key)));
  assert.ok(Math.max(...kept) > 29 * DAY * 1_000, `${kept}`);
});

test("what is missing is remembered for a moment, and then asked for again", async () => {
  const path = `${book}?symbol=nothing`;
  origin.control.set({ fail: 404, only: book });
  const missing = await ask(first, path);
  assert.equal(missing.status, 404);
  assert.ok(cacheStatus(missing).stored);
  const again = await stored(`${book}?symbol=NOTHING&limit=100`);
  assert.equal(again.status, 404);
  assert.deepEqual(again.body, missing.body);
  await untilTime(again.receivedAt + 1_000);
  const seen = origin.counters.of(book);
  const later = await ask(first, path);
  assert.equal(cacheStatus(later).hit, undefined, "it is not served stale");
  assert.equal(origin.counters.of(book), seen + 1);
  origin.control.set({});
});

test("only a stale answer says how old it is, in milliseconds", async () => {
  const path = `${made}?__body=old`;
  const miss = await ask(first, path);
  assert.equal(miss.headers["x-data-age"], undefined);
  await untilTime(miss.receivedAt + 1_000);
  const stale = await ask(first, path);
  assert.equal(cacheStatus(stale).hit, true);
  const age = Number(stale.headers["x-data-age"]);
  assert.ok(age >= 1_000 && age <= stale.receivedAt - miss.sentAt, `${age}`);
  const fresh = await until(async () => {
    const reply = await ask(first, path);
    return Number(cacheStatus(reply).ttl) >= 0 && reply;
  });
  assert.equal(fresh.headers["x-data-age"], undefined);
});

test("a header that is not in the key does not reach the origin", async () => {
  const path = `${echo}?n=poison`;
  const headers = {
    cookie: "session=evil",
    "user-agent": "evil",
    "x-api-key": "evil",
    "x-tenant": "evil",
    "x-forwarded-host": "evil.example",
    "x-keyed": "mine",
    accept: "application/json",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "cf-connecting-ip": "192.0.2.1",
  };
  const miss = await ask(first, path, { headers });
  const told = JSON.parse(miss.text).headers;
  assert.ok(!JSON.stringify(told).includes("evil"), miss.text);
  assert.equal(told["x-keyed"], "mine");
  assert.equal(told.accept, "application/json");
  assert.equal(told.traceparent, headers.traceparent);
  assert.equal(told["x-forwarded-for"], "192.0.2.1");
  const victim = await stored(path, { headers: { "x-keyed": "mine" } });
  assert.deepEqual(victim.body, miss.body);

  const past = await ask(first, path, { headers: { ...headers, "cache-control": "no-store" } });
  assert.equal(JSON.parse(past.text).headers["x-tenant"], "evil", "past the cache all go on");
});
