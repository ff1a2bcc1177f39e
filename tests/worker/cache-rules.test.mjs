/** `cache = {}`: a shared cache that follows the origin's headers (RFC 9111). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, cacheStatus, secondsBetween, setUp, until, untilTime } from "./kit.mjs";

const { gate } = await setUp({
  edge: {
    routes: [
      { path: "/__origin/headers", cache: {} },
      { path: "/__origin/cookies", cache: { ttl: "10m", override_origin: true } },
    ],
  },
});

let paths = 0;

/**
 * A new path whose response has these headers. Each time the origin makes it, its body is another
 * one.
 * @param {Record<string, string>} headers
 */
function made(headers) {
  paths++;
  return `/__origin/headers?${new URLSearchParams({ ...headers, __body: `${paths}: {n}` })}`;
}

/** @param {string} path @param {Record<string, string>} [headers] */
const get = (path, headers = {}) => ask(gate, path, { headers });

/**
 * Asks twice; the second time comes when the first answer would have been stored.
 * @param {string} path @param {Record<string, string>} [headers]
 */
async function twice(path, headers = {}) {
  const first = await get(path, headers);
  if (cacheStatus(first).stored) await until(async () => (await get(path, headers)).text === first.text);
  const second = await get(path, headers);
  return { first, second, hit: cacheStatus(second).hit === true };
}

for (const [headers, why] of /** @type {[Record<string, string>, string][]} */ ([
  [{}, "no lifetime"],
  [{ "Cache-Control": "no-store, max-age=600" }, "no-store"],
  [{ "Cache-Control": "private, max-age=600" }, "private"],
  [{ "Cache-Control": "max-age=600, s-maxage=0" }, "s-maxage=0"],
  [{ "Cache-Control": "max-age=600", "Set-Cookie": "a=1" }, "a cookie"],
  [{ "Cache-Control": "max-age=600", Vary: "*" }, "Vary: *"],
  [{ "Cache-Control": "max-age=600", __status: "500" }, "a server error"],
  [{ "Cache-Control": "max-age=600", __status: "206" }, "a part"],
  [{ "Cache-Control": "max-age=600", Age: "601" }, "its age"],
  [{ Expires: "0" }, "Expires: 0"],
  [{ "Cache-Control": "max-age=abc" }, "a broken max-age"],
  [{ "Cache-Control": "max-age=600", "CDN-Cache-Control": "no-store" }, "a targeted no-store"],
])) {
  test(`not served again: ${why}`, async () => {
    const path = made(headers);
    const texts = new Set([(await get(path)).text, (await get(path)).text, (await get(path)).text]);
    assert.equal(texts.size, 3, "the origin was asked each time");
    assert.equal(cacheStatus(await get(path)).hit, undefined);
  });
}

for (const [headers, why] of /** @type {[Record<string, string>, string][]} */ ([
  [{ "Cache-Control": "max-age=600" }, "max-age"],
  [{ "Cache-Control": "max-age=0, s-maxage=600" }, "s-maxage before max-age"],
  [{ "Cache-Control": "max-age=600", Expires: "0" }, "max-age before Expires"],
  [{ Expires: "Fri, 01 Jan 2100 00:00:00 GMT" }, "Expires"],
  [{ "Cache-Control": "max-age=600", __status: "404" }, "a 404 that says so"],
  [{ "Cache-Control": "max-age=600", __status: "301", Location: "/x" }, "a redirect that says so"],
  [{ "Cache-Control": "no-store", "CDN-Cache-Control": "max-age=600" }, "a targeted max-age before all"],
])) {
  test(`served again: ${why}`, async () => {
    const { first, second, hit } = await twice(made(headers));
    assert.equal(hit, true, JSON.stringify(second.headers));
    assert.equal(second.status, first.status);
    assert.equal(second.text, first.text);
    assert.equal(second.headers["cache-control"], first.headers["cache-control"]);
    assert.equal(second.headers.location, first.headers.location);
  });
}

test("Age goes on from what the origin said", async () => {
  const { first, second, hit } = await twice(made({ "Cache-Control": "max-age=600", Age: "100" }));
  assert.equal(hit, true);
  const age = Number(second.headers.age);
  assert.ok(age >= 100 && age <= 101 + secondsBetween(first, second), `Age: ${age}`);
  assert.ok(Number(cacheStatus(first).ttl) <= 500);
});

test("Vary: each value of the header has its own response", async () => {
  const path = made({ "Cache-Control": "max-age=600", Vary: "X-Lang" });
  const en = await twice(path, { "x-lang": "en" });
  assert.equal(en.hit, true);
  const de = await get(path, { "x-lang": "de" });
  assert.equal(cacheStatus(de).fwd, "vary-miss");
  assert.notEqual(de.text, en.first.text);
  assert.notEqual((await get(path)).text, en.first.text, "without the header it is yet another");
});

test("what is for one Authorization is not shared, unless it says it may be", async () => {
  const path = made({ "Cache-Control": "max-age=600" });
  const mine = await get(path, { authorization: "Bearer one" });
  assert.equal(cacheStatus(mine).stored, undefined);
  for (const headers of [{ authorization: "Bearer two" }, { authorization: "Bearer one" }]) {
    const other = await get(path, headers);
    assert.equal(cacheStatus(other).hit, undefined);
    assert.notEqual(other.text, mine.text);
  }
  for (const allows of ["public, max-age=600", "s-maxage=600", "max-age=600, must-revalidate"]) {
    assert.equal((await twice(made({ "Cache-Control": allows }), { authorization: "Bearer x" })).hit, true, allows);
  }
});

test("a cookie is never stored, not even where ttl overrides the origin", async () => {
  for (let n = 0; n < 3; n++) {
    const reply = await get("/__origin/cookies");
    assert.equal(cacheStatus(reply).hit, undefined);
    assert.equal(reply.headers["set-cookie"]?.length, 2);
  }
});

test("the client's no-store and no-cache are heard", async () => {
  const path = made({ "Cache-Control": "max-age=600" });
  const unstored = await get(path, { "cache-control": "no-store" });
  assert.equal(cacheStatus(unstored).stored, undefined);
  const { first } = await twice(path);
  assert.notEqual(first.text, unstored.text);
  const forced = await get(path, { "cache-control": "no-cache" });
  assert.equal(cacheStatus(forced).fwd, "request");
  assert.notEqual(forced.text, first.text);
});

test("a stale response is revalidated, and a 304 renews it without a body", async () => {
  const path = `${made({ "Cache-Control": "max-age=1", ETag: '"v1"' })}&__revalidate=1`;
  const { first } = await twice(path);
  await untilTime(first.receivedAt + 1_000);
  const renewed = await get(path);
  assert.equal(renewed.status, 200);
  assert.equal(renewed.text, first.text);
  const { fwd, stored, "fwd-status": forwarded } = cacheStatus(renewed);
  assert.deepEqual({ fwd, stored, forwarded }, { fwd: "stale", stored: true, forwarded: 304 });
  assert.equal(renewed.headers.etag, '"v1"');
  assert.ok(Number(renewed.headers.age) <= secondsBetween(renewed), `Age: ${renewed.headers.age}`);
});

test("no-cache from the origin: stored, and revalidated each time", async () => {
  const path = `${made({ "Cache-Control": "no-cache", ETag: '"v1"' })}&__revalidate=1`;
  const first = await get(path);
  await until(async () => cacheStatus(await get(path))["fwd-status"] === 304);
  const again = await get(path);
  assert.equal(again.status, 200);
  assert.equal(again.text, first.text);
  assert.equal(cacheStatus(again).hit, undefined);
});

test("by Last-Modified too", async () => {
  const date = "Wed, 01 Jan 2025 00:00:00 GMT";
  const path = `${made({ "Cache-Control": "no-cache", "Last-Modified": date })}&__revalidate=1`;
  const first = await get(path);
  await until(async () => cacheStatus(await get(path))["fwd-status"] === 304);
  assert.equal((await get(path)).text, first.text);
  assert.equal((await get(path, { "if-modified-since": date })).status, 304);
});

test("an unsafe request that succeeds makes what its URL has stored invalid", async () => {
  const path = made({ "Cache-Control": "max-age=600" });
  const { first } = await twice(path);
  assert.equal((await ask(gate, path, { method: "POST" })).status, 200);
  assert.notEqual((await get(path)).text, first.text);
});

test("hop-by-hop headers and those of one client are not stored", async () => {
  const path = made({ "Cache-Control": "max-age=600", "X-RateLimit-Remaining": "3", "Keep-Alive": "timeout=9" });
  const { second, hit } = await twice(path);
  assert.equal(hit, true);
  assert.equal(second.headers["x-ratelimit-remaining"], undefined);
  assert.equal(second.headers["keep-alive"], undefined);
});

test("a cache before this one is in Cache-Status, as long as it was asked", async () => {
  const { first, second } = await twice(made({ "Cache-Control": "max-age=600", "Cache-Status": "Origin; hit" }));
  assert.match(String(first.headers["cache-status"]), /^Origin; hit, omnitrade-edge; fwd=/);
  assert.match(String(second.headers["cache-status"]), /^omnitrade-edge; hit/);
});
