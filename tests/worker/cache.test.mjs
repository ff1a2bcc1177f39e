/** The cache: what is served from it, from which level, and what bypasses it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { ask, cacheStatus, newClient, problem, secondsBetween, setUp, until } from "./kit.mjs";

const book = "/api/v1/market-data/orderbook";
const echo = "/__origin/echo";
const made = "/__origin/headers";

const { gate, origin, store } = await setUp({
  isolates: 2,
  edge: {
    limits: { many: { by: "client", window: "60s", quota: 1_000 } },
    routes: [
      { path: book, limits: ["many"], cache: { ttl: "10m", query: ["symbol", "limit"] } },
      { path: "/api/v1/market-data/klines", cache: { ttl: "10m" } },
      { path: echo, cache: { ttl: "10m", query: ["b", "a"] } },
      { path: made, cache: {} },
      { path: "/__origin/gzip", cache: { ttl: "10m" } },
      { path: "/__origin/range", cache: { ttl: "10m" } },
      { path: "/__origin/short", cache: { ttl: "10m" } },
      { path: "/__origin/slow-body", cache: { ttl: "10m" } },
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

test("the first request is stored, and the second is a hit with its age", async () => {
  const path = `${book}?symbol=BTCUSDT`;
  const miss = await ask(first, path, { headers: newClient() });
  assert.equal(miss.status, 200);
  const { fwd, stored: kept, ttl, hit } = cacheStatus(miss);
  assert.ok(fwd === "uri-miss" || fwd === "miss", `fwd=${fwd}`);
  assert.equal(kept, true);
  assert.equal(hit, undefined);
  assert.ok(Number(ttl) >= 599 - secondsBetween(miss) && Number(ttl) <= 600, `ttl=${ttl}`);

  const again = await stored(path);
  assert.deepEqual(again.body, miss.body);
  assert.equal(cacheStatus(again).detail, "l1");
  assert.match(String(again.headers.age), /^\d+$/);
  assert.equal(again.headers.etag, miss.headers.etag);
  assert.equal(again.headers["content-type"], miss.headers["content-type"]);
  assert.equal(origin.counters.of(book), 1);
  assert.equal(again.headers["x-edge-limiter"], "redis", "a hit is counted against the limits too");
});

test("another isolate finds it in Redis, and then in its own memory", async () => {
  const path = `${book}?symbol=ETHUSDT`;
  const miss = await ask(first, path);
  await until(async () => (await store.keys()).filter((key) => key.startsWith("ot:c:")).length >= 2);
  const seen = origin.counters.of(book);
  const shared = await ask(second, path);
  assert.equal(cacheStatus(shared).hit, true);
  assert.equal(cacheStatus(shared).detail, "redis");
  assert.deepEqual(shared.body, miss.body);
  assert.match(String(shared.headers.age), /^\d+$/);
  assert.equal(cacheStatus(await ask(second, path)).detail, "l1");
  assert.equal(origin.counters.of(book), seen);
});

test("parameters that are not declared reach neither the key nor the origin", async () => {
  const told = JSON.parse((await ask(first, `${echo}?utm_source=x&b=2&a=1&c=3`)).text);
  assert.deepEqual(told.query, { a: "1", b: "2" });
  for (const query of ["b=2&a=1", "a=1&b=2&utm_source=y", "a=1&b=2&&"]) {
    const reply = await stored(`${echo}?${query}`);
    assert.equal(JSON.parse(reply.text).url, told.url, query);
  }
  const other = JSON.parse((await ask(first, `${echo}?a=2&b=2`)).text);
  assert.deepEqual(other.query, { a: "2", b: "2" });
  assert.equal(JSON.parse((await ask(first, `${echo}?utm_source=z`)).text).url, echo);
});

test("where none is declared all count, and go to the origin as they are", async () => {
  const klines = "/api/v1/market-data/klines?symbol=BTCUSDT&interval=1m&limit=";
  const paths = [`${klines}2`, `${klines}3`];
  for (const path of paths) assert.equal(cacheStatus(await ask(first, path)).hit, undefined);
  const [two, three] = await Promise.all(paths.map((path) => stored(path)));
  assert.equal(JSON.parse(two.text).length, 2);
  assert.equal(JSON.parse(three.text).length, 3);
});

test("HEAD is answered from what a GET has stored", async () => {
  const path = `${book}?symbol=SOLUSDT`;
  await ask(first, path);
  const get = await stored(path);
  const seen = origin.counters.of(book);
  const head = await ask(first, path, { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(cacheStatus(head).hit, true);
  assert.equal(head.body.length, 0);
  assert.equal(Number(head.headers["content-length"]), get.body.length);
  assert.equal(head.headers.etag, get.headers.etag);
  assert.equal(origin.counters.of(book), seen);
});

test("HEAD before any GET goes to the origin as HEAD", async () => {
  const path = `${book}?symbol=XRPUSDT`;
  const head = await ask(first, path, { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.ok(cacheStatus(head).fwd);
  assert.equal(head.body.length, 0);
  const get = await ask(first, path);
  assert.ok(get.body.length > 0, "no empty body was stored");
});

test("a client that has it already gets 304 from the cache", async () => {
  const path = `${book}?symbol=ADAUSDT`;
  await ask(first, path);
  const { headers } = await stored(path);
  const seen = origin.counters.of(book);
  for (const tags of [String(headers.etag), `"x", ${headers.etag}`, "*", String(headers.etag).replace("W/", "")]) {
    const reply = await ask(first, path, { headers: { "if-none-match": tags } });
    assert.equal(reply.status, 304, tags);
    assert.equal(reply.body.length, 0);
    assert.equal(reply.headers.etag, headers.etag);
    assert.equal(cacheStatus(reply).hit, true);
  }
  const other = await ask(first, path, { headers: { "if-none-match": '"other"' } });
  assert.equal(other.status, 200);
  assert.ok(other.body.length > 0);
  assert.equal(origin.counters.of(book), seen);
});

test("a client's own condition does not keep the response out of the cache", async () => {
  const path = `${made}?Cache-Control=max-age=600&ETag=%22v1%22&__revalidate=1&__body=whole&own`;
  const headers = { "if-none-match": '"v1"' };
  const miss = await ask(first, path, { headers });
  assert.equal(miss.status, 304);
  assert.equal(miss.body.length, 0);
  const whole = await stored(path);
  assert.equal(whole.status, 200);
  assert.equal(whole.text, "whole");
});

test("a range is cut from what is stored, and else passes through", async () => {
  const path = "/__origin/range";
  const part = await ask(first, path, { headers: { range: "bytes=10-19" } });
  assert.equal(part.status, 206);
  assert.equal(part.headers["content-range"], "bytes 10-19/10240");
  assert.deepEqual([...part.body], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  assert.equal(cacheStatus(part).fwd, "uri-miss");
  assert.equal(cacheStatus(part).stored, undefined);
  const whole = await ask(first, path);
  assert.equal(whole.status, 200);
  assert.equal(whole.body.length, 10_240);
  await stored(path);
  const again = await ask(first, path, { headers: { range: "bytes=-1" } });
  assert.equal(again.status, 206);
  assert.equal(again.body.length, 1);
  assert.equal(again.body[0], whole.body[10_239]);
  assert.equal(again.headers["content-length"], "1");
  assert.equal(cacheStatus(again).hit, true);
  const beyond = await ask(first, path, { headers: { range: "bytes=20000-" } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers["content-range"], "bytes */10240");
  assert.equal((await ask(first, path)).status, 200);
});

test("POST is not cached", async () => {
  const path = `${made}?Cache-Control=max-age=600&__body=post{n}`;
  const texts = new Set();
  for (let n = 0; n < 3; n++) {
    const reply = await ask(first, path, { method: "POST", body: "x" });
    assert.equal(cacheStatus(reply).fwd, "method");
    assert.equal(cacheStatus(reply).stored, undefined);
    texts.add(reply.text);
  }
  assert.equal(texts.size, 3);
});

test("only-if-cached is answered from the cache or with 504", async () => {
  const path = `${book}?symbol=DOGEUSDT`;
  const headers = { "cache-control": "only-if-cached" };
  const seen = origin.counters.of(book);
  const none = await ask(first, path, { headers });
  problem(none, 504);
  assert.match(String(none.headers["cache-status"]), /^omnitrade-edge/);
  assert.equal(origin.counters.of(book), seen);
  await ask(first, path);
  await stored(path);
  const some = await ask(first, path, { headers });
  assert.equal(some.status, 200);
  assert.equal(cacheStatus(some).hit, true);
});

test("a gzipped response is stored once and fits every client", async () => {
  const path = "/__origin/gzip";
  const zipped = { "accept-encoding": "gzip" };
  const miss = await ask(first, path, { headers: zipped });
  assert.equal(miss.headers["content-encoding"], "gzip");
  const text = gunzipSync(miss.body).toString();
  assert.equal(JSON.parse(text).items.length, 200);
  const plain = (/** @type {import("./kit.mjs").Reply} */ reply) =>
    reply.headers["content-encoding"] === "gzip" ? gunzipSync(reply.body).toString() : reply.text;
  await stored(path, { headers: zipped });
  for (const isolate of gate.isolates) {
    for (const accepted of ["gzip", "identity", undefined]) {
      /** @type {Record<string, string>} */
      const headers = accepted ? { "accept-encoding": accepted } : {};
      const reply = await ask(isolate, path, { headers });
      assert.equal(plain(reply), text, `accept-encoding: ${accepted}`);
      if (accepted !== "gzip") assert.equal(reply.headers["content-encoding"], undefined);
    }
  }
});

test("a body that ends too early is not stored", async () => {
  const path = "/__origin/short";
  for (let n = 1; n <= 3; n++) {
    await assert.rejects(ask(first, path), "the client sees that it broke off");
    assert.equal(origin.counters.of(path), n);
  }
});

test("a response is streamed to the client while it is stored", async () => {
  const path = "/__origin/slow-body?parts=3&gap=20";
  const text = "part 1 of 3\npart 2 of 3\npart 3 of 3\n";
  assert.equal((await ask(first, path)).text, text);
  assert.equal((await stored(path)).text, text);
});

test("a GET with content goes past the cache", async () => {
  const path = `${made}?Cache-Control=max-age=600&__body=get{n}&content`;
  const reply = await ask(first, path, { body: "a GET with content", headers: { "content-length": "18" } });
  assert.equal(reply.status, 200);
  assert.equal(cacheStatus(reply).fwd, "bypass");
});
