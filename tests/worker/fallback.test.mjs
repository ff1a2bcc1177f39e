/**
 * The store fails: the gate goes on within the deadline, and uses the store again when it is back.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../support/servers.mjs";
import {
  ask,
  limiter,
  newClient,
  problem,
  quotaExceeded,
  rateLimit,
  reducedCapacity,
  retryAfter,
  startGateBefore,
  startSampleOrigin,
  startStore,
  until,
} from "./kit.mjs";

const many = "/__origin/status/201";
const ten = "/__origin/status/202";
const open = "/__origin/status/203";
const closed = "/__origin/status/206";
const mixed = "/__origin/status/207";
const book = "/api/v1/market-data/orderbook";

const origin = await startSampleOrigin();

const edge = {
  limits: {
    many: { by: "ip", window: "60s", quota: 1_000_000 },
    ten: { by: "ip", window: "60s", quota: 10 },
    open: { by: "ip", window: "60s", quota: 2, on_failure: "open" },
    closed: { by: "ip", window: "60s", quota: 1_000, on_failure: "closed" },
  },
  routes: [
    { path: many, limits: ["many"] },
    { path: ten, limits: ["ten"] },
    { path: open, limits: ["open"] },
    { path: closed, limits: ["closed"] },
    { path: mixed, limits: ["ten", "open"] },
    { path: book, limits: ["many"], cache: { ttl: "10m", query: ["symbol"] } },
  ],
};

/**
 * A gate for one test in front of this store, with the default timeout of the store.
 * @param {import("node:test").TestContext} t
 * @param {{ url: string, token: string } | undefined} store
 * @param {Record<string, any>} [redis]
 */
function gateBefore(t, store, redis) {
  return startGateBefore({ origin, store }, { edge: { ...edge, redis: { timeout: undefined, ...redis } } }, t);
}

/** The address of a store on which no server listens. */
const nowhere = async () => ({ url: `http://127.0.0.1:${await freePort()}`, token: "a-token" });

/** @param {{ url: string }} gate */
const health = async (gate) => JSON.parse((await ask(gate, "/__edge/health")).text);

test("without a store it limits by itself: local mode", async (t) => {
  const gate = await gateBefore(t, undefined);
  assert.deepEqual(await health(gate), { status: "ok", store: "none" });
  const headers = newClient();
  const replies = [];
  for (let n = 0; n < 30; n++) replies.push(await ask(gate, ten, { headers }));
  const admitted = replies.filter((reply) => reply.status === 202);
  assert.ok(admitted.length >= 5 && admitted.length <= 10, `${admitted.length} of a quota of 10`);
  for (const reply of replies) {
    assert.equal(limiter(reply), "local");
    assert.equal(rateLimit(reply).ten.q, 10);
    if (reply.status !== 202) {
      assert.deepEqual(quotaExceeded(reply)["violated-policies"], ["ten"]);
      assert.ok(Number(reply.headers["retry-after"]) > 0);
    }
  }
  assert.equal((await ask(gate, ten, { headers: newClient() })).status, 202);
  assert.deepEqual(gate.logs(), []);
});

test("Redis dies under load: no 5xx, local within 1 s, and back within 5 s", async (t) => {
  const { redis, store } = await startStore({ scope: t });
  const gate = await gateBefore(t, store);
  /** @type {import("./kit.mjs").Reply[]} */
  const replies = [];
  let going = true;
  const load = Array.from({ length: 4 }, async () => {
    while (going) replies.push(await ask(gate, many, { headers: newClient() }));
  });
  const latest = () => limiter(replies.at(-1) ?? assert.fail());
  await until(() => replies.length > 20 && latest() === "redis");

  await redis.kill();
  const killed = Date.now();
  await sleep(2_500);
  await redis.restart();
  const restarted = Date.now();
  await until(() => latest() === "redis");
  const back = Date.now();
  await sleep(200);
  going = false;
  await Promise.all(load);

  assert.deepEqual([...new Set(replies.map((reply) => reply.status))], [201], "the origin's answer, always");
  for (const reply of replies) assert.ok(["redis", "local"].includes(limiter(reply)), limiter(reply));
  const down = replies.filter(({ sentAt, receivedAt }) => sentAt > killed + 1_000 && receivedAt < restarted);
  assert.ok(down.length > 0);
  for (const reply of down) assert.equal(limiter(reply), "local");
  assert.ok(back - restarted <= 5_000, `back after ${back - restarted} ms`);
  assert.deepEqual(await health(gate), { status: "ok", store: "closed" });
});

test("a store that hangs holds requests up to its deadline, and then none", async (t) => {
  const { tap, store } = await startStore({ scope: t });
  const deadline = 1_000;
  const gate = await gateBefore(t, store, { timeout: `${deadline}ms` });
  assert.equal(limiter(await ask(gate, many)), "redis");
  tap.fault = "hang";
  const waiting = await Promise.all(Array.from({ length: 3 }, () => ask(gate, many)));
  for (const reply of waiting) {
    assert.equal(reply.status, 201);
    assert.equal(limiter(reply), "local");
    const took = reply.receivedAt - reply.sentAt;
    assert.ok(took >= deadline - 100 && took < 2 * deadline, `answered after ${took} ms`);
  }
  assert.deepEqual(await health(gate), { status: "degraded", store: "open" });

  // Only probes may go to the store now, one at a time.
  const calls = tap.calls;
  const replies = await Promise.all(Array.from({ length: 50 }, () => ask(gate, many)));
  assert.ok(tap.calls - calls <= 1, `${tap.calls - calls} calls`);
  for (const reply of replies) assert.equal(limiter(reply), "local");
  const waited = replies.filter((reply) => reply.receivedAt - reply.sentAt >= deadline);
  assert.ok(waited.length <= tap.calls - calls, `${waited.length} waited`);

  tap.fault = null;
  await until(async () => limiter(await ask(gate, many)) === "redis", { within: 5_000 + deadline });
  assert.deepEqual(await health(gate), { status: "ok", store: "closed" });
});

test("a Redis that is paused behind its REST server is no different", async (t) => {
  const { redis, store } = await startStore({ scope: t });
  const gate = await gateBefore(t, store, { timeout: "200ms" });
  await until(async () => limiter(await ask(gate, many)) === "redis");
  redis.pause();
  try {
    for (let n = 0; n < 10; n++) {
      const reply = await ask(gate, many);
      assert.equal(reply.status, 201);
      assert.equal(limiter(reply), "local");
    }
  } finally {
    redis.resume();
  }
  await until(async () => limiter(await ask(gate, many)) === "redis", { within: 10_000 });
});

for (const fault of /** @type {const} */ (["reset", "stall", "nonsense", 500, 503, 429, 404])) {
  test(`a store that answers with ${fault}: local, and the client notices nothing`, async (t) => {
    const { tap, store } = await startStore({ scope: t });
    const gate = await gateBefore(t, store, { timeout: fault === "stall" ? "200ms" : "10s" });
    tap.fault = fault;
    for (let n = 0; n < 8; n++) {
      const reply = await ask(gate, many);
      assert.equal(reply.status, 201);
      assert.equal(limiter(reply), "local");
    }
    assert.equal((await health(gate)).status, "degraded");
  });
}

test("a wrong token: local at once, and the log says why without the token", async (t) => {
  const { store } = await startStore({ scope: t });
  const token = "wrong-0123456789-token";
  const gate = await gateBefore(t, { url: store.url, token }, { timeout: "10s" });
  const reply = await ask(gate, many);
  assert.equal(reply.status, 201);
  assert.equal(limiter(reply), "local");
  assert.deepEqual(await health(gate), { status: "degraded", store: "open" });
  const log = (await until(() => gate.logs().length > 0 && gate.logs())).join("\n");
  assert.match(log, /store: .*(401|unauthori[sz]ed|WRONGPASS)/i);
  for (const hidden of [token, store.url, new URL(store.url).host]) assert.ok(!log.includes(hidden), log);
});

test("on_failure = open: nobody is limited while the store fails", async (t) => {
  const gate = await gateBefore(t, await nowhere());
  const headers = newClient();
  for (let n = 0; n < 10; n++) {
    const reply = await ask(gate, open, { headers });
    assert.equal(reply.status, 203);
    assert.equal(limiter(reply), "none");
  }
});

test("on_failure = closed: a 503 problem with Retry-After, origin not asked", async (t) => {
  const gate = await gateBefore(t, await nowhere());
  for (let n = 0; n < 10; n++) {
    const reply = await ask(gate, closed, { headers: newClient() });
    problem(reply, 503);
    const wait = Number(reply.headers["retry-after"]);
    assert.ok(Number.isInteger(wait) && wait >= 1 && wait <= 5, `Retry-After: ${wait}`);
  }
  assert.equal(origin.counters.of(closed), 0);
});

test("on_failure is each limit's own: one is open, another is kept locally", async (t) => {
  const gate = await gateBefore(t, await nowhere());
  const headers = newClient();
  const replies = [];
  for (let n = 0; n < 15; n++) replies.push(await ask(gate, mixed, { headers }));
  const admitted = replies.filter((reply) => reply.status === 207);
  assert.ok(admitted.length >= 5 && admitted.length <= 10, `${admitted.length}`);
  for (const reply of replies) {
    assert.equal(limiter(reply), "local");
    if (reply.status !== 207) {
      assert.deepEqual(reducedCapacity(reply)["violated-policies"], ["ten"]);
      assert.ok(retryAfter(reply) <= 62);
    }
  }
});

test("redis.on_failure is for the limits that say nothing themselves", async (t) => {
  const gate = await gateBefore(t, await nowhere(), { on_failure: "closed" });
  problem(await ask(gate, many), 503);
  assert.equal((await ask(gate, open)).status, 203);
});
