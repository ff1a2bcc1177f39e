/**
 * The limits and the store: what a request costs, what is written, and that isolates share the
 * store.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, cacheStatus, costOf as kitCostOf, newClient, quotaExceeded, rateLimit, setUp, until } from "./kit.mjs";

const one = "/__origin/status/201";
const fifty = "/__origin/status/202";
const cached = "/api/v1/market-data/orderbook";
const secret = "sk_live_51H8x-never-to-be-written";

const { gate, store, tap } = await setUp({
  isolates: 2,
  edge: {
    limits: {
      two: { by: "client", window: "60s", quota: 2 },
      many: { by: "client", window: "60s", quota: 1_000 },
      ip: { by: "ip", window: "60s", quota: 1_000 },
      fifty: { by: "global", window: "10m", quota: 50 },
    },
    routes: [
      { path: one, limits: ["two"] },
      { path: fifty, limits: ["fifty"] },
      { path: cached, limits: ["many"], cache: { ttl: "10m", query: ["symbol"], tags: ["book"] } },
      { path: "/__origin/echo", limits: ["many", "ip"] },
    ],
  },
});
const [first, second] = gate.isolates;

// The script is loaded once, and each isolate asks for the store's time once.
for (const isolate of gate.isolates) await ask(isolate, one, { headers: newClient() });

/** @param {() => Promise<unknown>} request */
const costOf = (request) => kitCostOf({ store, tap }, request);

test("a check is three commands in one call, a refusal two, remembered none", async () => {
  const headers = newClient();
  const check = async (/** @type {number} */ status, /** @type {string} */ limiter) => {
    const reply = await ask(first, one, { headers });
    assert.equal(reply.status, status);
    assert.equal(reply.headers["x-edge-limiter"], limiter);
    return reply;
  };
  assert.deepEqual(await costOf(() => check(201, "redis")), { evalsha: 1, mget: 1, set: 1, calls: 1 });
  assert.deepEqual(await costOf(() => check(201, "redis")), { evalsha: 1, mget: 1, set: 1, calls: 1 });
  assert.deepEqual(await costOf(() => check(429, "redis")), { evalsha: 1, mget: 1, calls: 1 });
  const remembered = async () => {
    for (let n = 0; n < 5; n++) {
      const reply = await check(429, "blocked");
      assert.deepEqual(quotaExceeded(reply)["violated-policies"], ["two"]);
      assert.ok(Number(reply.headers["retry-after"]) > 0);
      assert.equal(rateLimit(reply).two.r, 0);
    }
  };
  assert.deepEqual(await costOf(remembered), { calls: 0 });
});

test("two limits cost one command more than one", async () => {
  const headers = newClient();
  const cost = await costOf(() => ask(first, "/__origin/echo", { headers }));
  assert.deepEqual(cost, { evalsha: 1, mget: 1, set: 2, calls: 1 });
});

test("reading the cache costs a limited request nothing more", async () => {
  const path = `${cached}?symbol=ETHUSDT`;
  const headers = newClient();
  const get = async (/** @type {import("../support/gate.mjs").Isolate} */ isolate) => {
    const reply = await ask(isolate, path, { headers });
    assert.equal(reply.status, 200);
    return cacheStatus(reply);
  };
  const keys = (await store.keys()).length;
  const miss = await costOf(async () => {
    assert.ok((await get(first)).stored);
    // The limit's state, the refresh lease, and the entry, which is written after the answer.
    await until(async () => (await store.keys()).length === keys + 3);
  });
  assert.deepEqual(miss, { evalsha: 1, mget: 1, set: 3, calls: 2 });

  const three = { evalsha: 1, mget: 1, set: 1, calls: 1 };
  const fromStore = await costOf(async () => assert.equal((await get(second)).detail, "redis"));
  assert.deepEqual(fromStore, three);
  const fromMemory = await costOf(async () => assert.equal((await get(second)).detail, "l1"));
  assert.deepEqual(fromMemory, three);
});

test("two isolates share one quota: of a hundred at once exactly fifty pass", async () => {
  const replies = await Promise.all(
    Array.from({ length: 100 }, (_, n) => ask(gate.isolates[n % 2], fifty, { headers: newClient() })),
  );
  const of = (/** @type {number} */ status) => replies.filter((reply) => reply.status === status);
  assert.equal(of(202).length, 50);
  assert.equal(of(429).length, 50);
  assert.deepEqual(
    of(202)
      .map((reply) => rateLimit(reply).fifty.r ?? -1)
      .sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, n) => n),
    "each was told another number of permits left",
  );
  for (const reply of of(202)) assert.equal(reply.headers["x-edge-limiter"], "redis");
});

test("a key goes to the origin alone: not to the store, not to the log", async () => {
  const headers = { ...newClient(), "x-api-key": secret };
  for (const path of [one, `${cached}?symbol=SOLUSDT`, "/__origin/echo"]) await ask(first, path, { headers });
  const echo = await ask(first, "/__origin/echo", { headers });
  assert.equal(JSON.parse(echo.text).headers["x-api-key"], secret);
  const keys = await until(async () => {
    const keys = await store.keys();
    return keys.filter((key) => key.startsWith("ot:c:")).length >= 2 && keys;
  });
  for (const key of keys) {
    const value = await store.run("GET", key);
    assert.ok(!`${key} ${value}`.includes(secret), key);
    assert.ok(!`${key} ${value}`.includes(Buffer.from(secret).toString("base64").slice(0, 20)), key);
  }
  assert.ok(!gate.logs().join("\n").includes(secret));
});

test("every key has the contract's name and a lifetime", async () => {
  const keys = await store.keys();
  const names = [
    /^ot:l:(two|many|ip|fifty):(all|unknown|\d+\.\d+\.\d+\.\d+|[0-9a-f]{32}|[0-9a-f:]+\/64)$/,
    /^ot:c:[0-9a-f]{32}$/,
    /^ot:f:[0-9a-f]{32}$/,
  ];
  for (const name of names)
    assert.ok(
      keys.some((key) => name.test(key)),
      `${name}: ${keys}`,
    );
  for (const key of keys) {
    assert.ok(
      names.some((name) => name.test(key)),
      key,
    );
    const lifetime = await store.run("PTTL", key);
    // -2: the key has expired meanwhile.
    assert.ok(lifetime > 0 || lifetime === -2, `${key}: ${lifetime}`);
    const ours = key.startsWith("ot:l:two:") ? 64_000 : 24 * 3_600_000;
    assert.ok(lifetime <= ours, `${key}: ${lifetime}`);
  }
});

test("a store that has forgotten the script is given it again", async () => {
  await store.run("SCRIPT", "FLUSH");
  for (const isolate of gate.isolates) {
    const reply = await ask(isolate, one, { headers: newClient() });
    assert.equal(reply.status, 201);
    assert.equal(reply.headers["x-edge-limiter"], "redis");
  }
});

test("what others wrote under the gate's keys does no harm", async () => {
  const client = newClient();
  const path = `${cached}?symbol=ADAUSDT`;
  await ask(first, path, { headers: client });
  const entry = await until(async () => {
    const keys = await store.keys();
    for (const key of keys.filter((key) => key.startsWith("ot:c:"))) {
      if (String(await store.run("GET", key)).includes("ADAUSDT")) return key;
    }
  });
  for (const nonsense of [
    "",
    "1 99999999999999 {",
    "\u0000".repeat(100),
    "1 9999999999999 1 1 1 x",
    `1 ${"9".repeat(400)}`,
  ]) {
    await store.run("SET", entry, nonsense);
    await store.run("SET", `ot:l:many:${client["cf-connecting-ip"]}`, nonsense);
    const reply = await ask(second, path, { headers: client });
    assert.equal(reply.status, 200, nonsense);
    assert.equal(reply.headers["x-edge-limiter"], "redis", nonsense);
    assert.equal(JSON.parse(reply.text).symbol, "ADAUSDT");
  }
  await store.run("DEL", `ot:l:many:${client["cf-connecting-ip"]}`);
  await store.run("HSET", `ot:l:many:${client["cf-connecting-ip"]}`, "a", "b");
  assert.equal((await ask(second, path, { headers: client })).headers["x-edge-limiter"], "redis");
});
