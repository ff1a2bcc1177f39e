/** `POST /__edge/purge`: named entries are void, here at once and elsewhere within `l1_max_age`. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FORM } from "../support/gate.mjs";
import { ask, cacheStatus, costOf, HOST, problem, retryAfter, setUp, startGateBefore, until } from "./kit.mjs";

const made = "/__origin/headers";
const orderbook = "/api/v1/market-data/orderbook";
const token = "t0ken-of-the-admin";
/** How long another isolate may still serve a purged entry, in milliseconds. */
const BELIEVED = 1_000;

const edge = {
  routes: [
    { path: made, cache: { ttl: "10m", vary: ["x-plan"], tags: ["made", "symbol:{query.x}"] } },
    { path: orderbook, cache: { ttl: "10m", query: ["symbol", "limit"], tags: ["symbol:{query.symbol}"] } },
    { path: "/api/v1/market-data/{*rest}" },
  ],
};
const vars = { EDGE_ADMIN_TOKEN: token };
const setup = await setUp({ isolates: 3, edge, vars });
const { gate, origin, store, tap } = setup;
const [first, second, third] = gate.isolates;
afterEach(() => {
  tap.fault = null;
});

/**
 * @param {{ url: string }} isolate
 * @param {unknown} body a text is sent as it is
 * @param {{ method?: string, authorization?: string }} [options]
 */
function purge(isolate, body, { method = "POST", authorization = `Bearer ${token}` } = {}) {
  const headers = { ...(authorization && { authorization }), "content-type": "application/json" };
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return ask(isolate, "/__edge/purge", { method, headers, body: method === "GET" ? undefined : text });
}

/** @param {import("./kit.mjs").Reply} reply @param {{ tags?: number, urls?: number }} counts */
function purged(reply, { tags = 0, urls = 0 }) {
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.headers["cache-control"], "no-store");
  assert.deepEqual(JSON.parse(reply.text), { purged: { tags, urls } });
}

let paths = 0;

/**
 * A new path whose body counts how often the origin was asked.
 * @param {Record<string, string>} [query]
 */
function path(query = {}) {
  paths++;
  return `${made}?${new URLSearchParams({ __body: `${paths}: {n}`, ...query })}`;
}

/**
 * The answer of an isolate, once it comes from the cache.
 * @param {{ url: string }} isolate @param {string} path @param {Record<string, string>} [headers]
 */
function stored(isolate, path, headers = {}) {
  return until(async () => {
    const reply = await ask(isolate, path, { headers });
    return cacheStatus(reply).hit ? reply : null;
  });
}

test("a purge by tag counts at once, in others' memory within l1_max_age", async () => {
  const [one, other] = [path({ x: "A" }), path({ x: "B" })];
  const before = await stored(first, one);
  const unharmed = await stored(first, other);
  for (const isolate of [first, second]) {
    assert.equal((await stored(isolate, one)).text, before.text, "there is one entry for all of them");
    assert.equal((await stored(isolate, other)).text, unharmed.text);
  }
  purged(await purge(first, { tags: ["symbol:A"] }), { tags: 1 });
  const known = Date.now();
  // The third isolate has nothing in memory, so it reads the store, where the entry still lies.
  const fresh = await ask(third, one);
  assert.equal(cacheStatus(fresh).hit, undefined);
  assert.notEqual(fresh.text, before.text);
  const here = await until(async () => {
    const reply = await ask(first, one);
    assert.notEqual(reply.text, before.text, "not once");
    return cacheStatus(reply).hit ? reply : null;
  });
  assert.equal(here.text, fresh.text);
  await until(async () => {
    const asked = Date.now();
    const reply = await ask(second, one);
    assert.ok(reply.text !== before.text || asked <= known + BELIEVED, "an old answer after l1_max_age");
    return reply.text === fresh.text;
  });
  for (const isolate of gate.isolates) assert.equal((await ask(isolate, other)).text, unharmed.text, "another symbol");
});

test("a purge of one symbol leaves the books of the others", async () => {
  const [btc, eth] = ["BTCUSDT", "ETHUSDT"].map((symbol) => `${orderbook}?symbol=${symbol}&limit=3`);
  for (const book of [btc, eth]) await stored(first, book);
  const calls = origin.counters.of(orderbook);
  purged(await purge(second, { tags: ["symbol:BTCUSDT"] }), { tags: 1 });
  for (const isolate of [second, third]) {
    for (const book of [btc, eth]) await stored(isolate, book);
  }
  assert.equal(origin.counters.of(orderbook) - calls, 1);
});

test("what the origin sends during a purge is served to nobody after it", async () => {
  const slow = path({ x: "slow", __delay: "400" });
  const before = origin.counters.of(made);
  const leader = ask(first, slow);
  await until(() => origin.counters.of(made) > before);
  const elsewhere = ask(second, slow);
  await sleep(50);
  purged(await purge(first, { tags: ["symbol:slow"] }), { tags: 1 });
  const after = await Promise.all([ask(first, slow), ask(third, slow)]);
  const old = (await leader).text;
  await elsewhere;
  for (const reply of after) assert.notEqual(reply.text, old);
  // The second isolate asked before the purge, so it may serve what it has for a while.
  await sleep(BELIEVED);
  for (const isolate of gate.isolates) {
    for (let n = 0; n < 3; n++) assert.notEqual((await ask(isolate, slow)).text, old);
  }
});

test("a purge by URL covers all its variants, and no other URL", async () => {
  const varied = path({ Vary: "X-Lang" });
  const other = path();
  const variants = ["en", "de"].flatMap((lang) => ["free", "pro"].map((plan) => ({ "x-lang": lang, "x-plan": plan })));
  const all = async (/** @type {{ url: string }} */ isolate) => {
    const replies = [];
    for (const headers of variants) replies.push((await stored(isolate, varied, headers)).text);
    return replies;
  };
  const before = await all(first);
  assert.equal(new Set(before).size, variants.length);
  const unharmed = await stored(first, other);
  purged(await purge(first, { urls: [`http://${HOST}${varied}#top`] }), { urls: 1 });
  for (const isolate of [first, third]) {
    for (const text of await all(isolate)) assert.ok(!before.includes(text), text);
    assert.equal((await ask(isolate, other)).text, unharmed.text);
  }
  // A path belongs to the host to which the purge was sent.
  const again = await all(first);
  purged(await purge(third, { urls: [varied], tags: ["nothing"] }), { tags: 1, urls: 1 });
  for (const text of await all(third)) assert.ok(!again.includes(text), text);
});

// A store of two functions takes one command at a time.
const hasPipelines = FORM !== "create-gate-over-store";
test("it costs one call of the store, with one command for each tag and URL", { skip: !hasPipelines }, async () => {
  const names = {
    tags: ["a", "b", "a"],
    urls: [`${orderbook}?symbol=A&limit=3&utm=1`, `${orderbook}?limit=3&symbol=A`],
  };
  const cost = await costOf(setup, async () => purged(await purge(first, names), { tags: 2, urls: 1 }));
  assert.deepEqual(cost, { set: 3, calls: 1 });
  const keys = (await store.keys()).filter((key) => key.startsWith("ot:t:"));
  assert.ok(keys.includes("ot:t:a"));
  for (const key of keys) {
    const left = await store.run("PTTL", key);
    assert.ok(left > 30 * 86_400_000 && left <= 31 * 86_400_000, `${key}: ${left}`);
  }
});

test("nobody purges without the token", async () => {
  const body = { tags: ["made"] };
  for (const authorization of ["", "Bearer wrong", `Basic ${token}`, `Bearer ${token}x`]) {
    const reply = await purge(first, body, { authorization });
    assert.equal(problem(reply, 401).code, "unauthorised");
    assert.equal(reply.headers["www-authenticate"], "Bearer");
  }
  const get = await purge(first, body, { method: "GET" });
  assert.equal(problem(get, 405).code, "method_not_allowed");
  assert.equal(get.headers.allow, "POST");
});

test("what is wrong is named", async () => {
  for (const [body, status, said] of /** @type {[unknown, number, RegExp][]} */ ([
    ["", 400, /expected a JSON object/],
    ["{", 400, /expected a JSON object/],
    [{}, 422, /^tags, urls: expected 1 to 100 names/],
    [{ tags: [""] }, 422, /^tags\[0\]: expected a tag/],
    [{ all: true }, 422, /^all: expected one of the fields tags, urls/],
    [
      { urls: ["/api/v1/market-data/ticker?symbol=A"] },
      422,
      /^urls\[0\]: expected a URL of a route with a cache, found/,
    ],
  ])) {
    const reply = await purge(first, body);
    assert.match(problem(reply, status).detail, said);
  }
  const large = { tags: ["x".repeat(70_000)] };
  assert.equal(problem(await purge(first, large), 413).code, "body_too_large");
  // The body comes in pieces, without its length.
  const pieces = new Blob([" ".repeat(70_000)]).stream();
  const headers = { authorization: `Bearer ${token}` };
  const init = /** @type {any} */ ({ method: "POST", headers, body: pieces, duplex: "half" });
  assert.equal((await first.fetch("/__edge/purge", init)).status, 413);
});

test("a store that fails is told, and the isolate drops what it has anyhow", async () => {
  const one = path();
  const before = await stored(first, one);
  tap.fault = 503;
  const reply = await purge(first, { tags: ["made"] });
  assert.equal(problem(reply, 503).code, "purge_unconfirmed");
  assert.ok(retryAfter(reply) >= 1);
  assert.notEqual((await ask(first, one)).text, before.text);
  tap.fault = null;
  await until(async () => (await purge(first, { tags: ["made"] })).status === 200);
});

test("without a store a purge drops what this isolate has, and says so", async () => {
  const local = await startGateBefore({ origin }, { edge, vars });
  const [one, slow] = [path(), path({ __delay: "300" })];
  const before = await stored(local, one);
  const calls = origin.counters.of(made);
  const leader = ask(local, slow);
  await until(() => origin.counters.of(made) > calls);
  const reply = await purge(local, { tags: ["any"] });
  assert.deepEqual(JSON.parse(reply.text), { purged: { tags: 1, urls: 0 }, scope: "isolate" });
  const [old, fresh] = [(await leader).text, await stored(local, slow)];
  assert.notEqual(fresh.text, old);
  assert.notEqual((await ask(local, one)).text, before.text);
});

test("without EDGE_ADMIN_TOKEN there is no such page", async () => {
  const open = await startGateBefore({ origin }, { edge });
  for (const method of ["POST", "GET"]) assert.equal(problem(await purge(open, {}, { method }), 404).code, "not_found");
});
