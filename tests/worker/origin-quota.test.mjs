/**
 * The quota of origin calls that all isolates share: only real calls count, and stored responses
 * stand in.
 */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import {
  ask,
  cacheStatus,
  costOf,
  limiter,
  newClient,
  problem,
  rateLimit,
  retryAfter,
  setUp,
  startGateBefore,
  until,
  untilTime,
} from "./kit.mjs";

const own = "/__origin/status/201";
const shared = "/__origin/status/202";
const sharedToo = "/__origin/status/203";
const brief = "/__origin/status/206";
const leased = "/__origin/status/207";
const free = "/__origin/status/208";
const made = "/__origin/headers";
const ticker = "/api/v1/market-data/ticker";
const trades = "/api/v1/market-data/trades";
const klines = "/api/v1/market-data/klines";
const symbols = "/api/v1/market-data/symbols";

const TTL = 200;
const CEILING = 1_500;

/** @param {number} limit */
const quota = (limit, window = "10m") => ({ limit, window });
/** @type {Record<string, any>} */
const edge = {
  limits: {
    ip: { by: "ip", window: "10m", quota: 100 },
    hot: { by: "ip", window: "10m", quota: 100_000, strategy: "lease" },
  },
  origin_quotas: { provider: quota(4), other: quota(1_000) },
  routes: [
    { path: own, limits: ["ip"], origin_quota: quota(2) },
    { path: shared, limits: ["ip"], origin_quota: "provider" },
    { path: sharedToo, origin_quota: "provider" },
    { path: brief, origin_quota: quota(1, "1s") },
    { path: leased, limits: ["hot"], origin_quota: "other" },
    { path: free, origin_quota: quota(1) },
    { path: made, limits: ["ip"], origin_quota: quota(5), cache: { ttl: "10m", query: ["__body"] } },
    { path: ticker, limits: ["ip"], origin_quota: quota(1), cache: { ttl: `${TTL}ms`, stale_while_revalidate: "10m" } },
    {
      path: trades,
      limits: ["ip"],
      origin_quota: quota(1),
      cache: { ttl: `${TTL}ms`, stale_if_error: `${CEILING - TTL}ms`, query: ["symbol"] },
    },
    { path: klines, limits: ["ip"], origin_quota: quota(3), cache: { query: ["symbol", "interval"] } },
    {
      path: symbols,
      limits: ["ip"],
      origin_quota: quota(1),
      cache: { ttl: `${TTL}ms`, stale_while_revalidate: "10m" },
    },
  ],
};
const setup = await setUp({ isolates: 2, edge });
const { gate, origin, store, tap } = setup;
const [first, second] = gate.isolates;
afterEach(() => origin.control.set({}));

for (const isolate of gate.isolates) await ask(isolate, leased, { headers: newClient() });

/** @param {import("./kit.mjs").Reply} reply */
function spent(reply) {
  const body = problem(reply, 503);
  assert.equal(body.code, "origin_quota_spent");
  assert.equal(body["violated-policies"], undefined, "it is not the client's");
  return retryAfter(reply);
}

/** The permits that are counted in the state of a limit. @param {string} name */
async function counted(name) {
  const state = await store.run("GET", `ot:l:${name}`);
  return state === null ? 0 : Number(String(state).split(" ")[6]);
}

test("a route's own quota bounds all isolates, and a refusal charges nothing", async () => {
  const headers = newClient();
  for (const isolate of gate.isolates) assert.equal((await ask(isolate, own, { headers })).status, 201);
  for (const isolate of [first, second, first, second]) {
    const refused = await ask(isolate, own, { headers });
    const wait = spent(refused);
    assert.ok(wait > 0 && wait <= 621, `Retry-After: ${wait}`);
    assert.equal(rateLimit(refused).ip.r, 98, "told of no charge");
  }
  await until(async () => (await counted(`ip:${headers["cf-connecting-ip"]}`)) === 2);
  assert.equal(origin.counters.of(own), 2);
});

test("routes that name a quota share it", async () => {
  for (let n = 0; n < 20; n++) {
    await ask(gate.isolates[n % 2], n % 3 ? shared : sharedToo, { headers: newClient() });
  }
  assert.equal(origin.counters.of(shared) + origin.counters.of(sharedToo), 4);
  const refused = await ask(first, sharedToo);
  spent(refused);
  assert.equal(limiter(refused), "none");
});

test("two isolates hammered at once call the origin as often as they may", async () => {
  const replies = await Promise.all(
    Array.from({ length: 40 }, (_, n) => ask(gate.isolates[n % 2], free, { headers: newClient() })),
  );
  assert.equal(replies.filter((reply) => reply.status === 208).length, 1);
  for (const reply of replies) if (reply.status !== 208) spent(reply);
  assert.equal(origin.counters.of(free), 1);
});

test("who waits as it was told may call", async () => {
  await ask(first, brief);
  const refused = await ask(first, brief);
  const wait = spent(refused);
  assert.ok(wait <= 2, `Retry-After: ${wait}`);
  await untilTime(refused.receivedAt + wait * 1_000);
  assert.equal((await ask(second, brief)).status, 206);
});

test("it is charged in the same call of the store, with one command more", async () => {
  const cost = await costOf(setup, () => ask(first, shared, { headers: newClient() }));
  // The quota is exhausted: the store is not asked about it again, and the client gets its permits
  // back.
  assert.ok(cost.calls <= 2, JSON.stringify(cost));
  const headers = newClient();
  const pays = await costOf(setup, () => ask(second, leased, { headers }));
  assert.deepEqual(pays, { evalsha: 1, mget: 1, set: 2, calls: 1 });
});

test("what the cache answers counts in no isolate, and asks in one call", async () => {
  const path = `${made}?__body=hit`;
  assert.equal(cacheStatus(await ask(first, path, { headers: newClient() })).stored, true);
  await until(async () => (await store.keys()).some((key) => key.startsWith("ot:c:")));
  const seen = origin.counters.of(made);
  for (let n = 0; n < 10; n++) {
    const cost = await costOf(setup, async () => {
      const reply = await ask(gate.isolates[n % 2], path, { headers: newClient() });
      assert.equal(cacheStatus(reply).hit, true);
    });
    assert.deepEqual(cost, { evalsha: 1, mget: 1, set: 1, calls: 1 });
  }
  assert.equal(origin.counters.of(made), seen);
});

test("a client that wants a stored answer or none takes nothing from it", async () => {
  const headers = { "cache-control": "only-if-cached" };
  for (let n = 0; n < 20; n++) {
    const reply = await ask(gate.isolates[n % 2], `${klines}?symbol=BTCUSDT&interval=1m`, {
      headers: { ...newClient(), ...headers },
    });
    assert.equal(problem(reply, 504).code, "not_cached");
  }
  assert.equal(origin.counters.of(klines), 0);
  for (let n = 0; n < 3; n++) {
    const reply = await ask(first, `${klines}?symbol=BTCUSDT&interval=1m`, { headers: newClient() });
    assert.equal(reply.status, 200, `call ${n + 1} of 3`);
  }
  spent(await ask(first, `${klines}?symbol=BTCUSDT&interval=1m`, { headers: newClient() }));
});

test("a stale answer is served on, and refreshed as far as the quota allows", async () => {
  const path = `${ticker}?symbol=BTCUSDT`;
  const old = await ask(first, path, { headers: newClient() });
  assert.equal(old.status, 200);
  await until(async () => cacheStatus(await ask(second, path, { headers: newClient() })).hit);
  await untilTime(old.receivedAt + TTL);
  for (let n = 0; n < 10; n++) {
    const reply = await ask(gate.isolates[n % 2], path, { headers: newClient() });
    assert.equal(reply.status, 200);
    assert.equal(reply.text, old.text);
    assert.ok(Number(cacheStatus(reply).ttl) < 0);
  }
  assert.equal(origin.counters.of(ticker), 1);
});

test("who may not call does not keep others from refreshing", async () => {
  const leases = async () => (await store.keys()).filter((key) => key.startsWith("ot:f:"));
  const known = await leases();
  const old = await ask(first, symbols, { headers: newClient() });
  const lease = (await leases()).find((key) => !known.includes(key)) ?? assert.fail();
  await until(async () => cacheStatus(await ask(second, symbols, { headers: newClient() })).hit);
  await untilTime(old.receivedAt + TTL);
  const takenAt = await store.run("GET", lease);
  for (let n = 0; n < 6; n++) {
    const reply = await ask(gate.isolates[n % 2], symbols, { headers: newClient() });
    assert.equal(cacheStatus(reply).hit, true);
  }
  assert.equal(await store.run("GET", lease), takenAt, "nobody has taken it");
});

test("a stale answer stands in for a call up to its ceiling, then it is 503", async () => {
  const path = `${trades}?symbol=BTCUSDT`;
  const old = await ask(first, path, { headers: newClient() });
  assert.equal(cacheStatus(old).stored, true);
  await untilTime(old.receivedAt + TTL);
  const over = old.receivedAt + CEILING;
  let served = 0;
  const refused = await until(
    async () => {
      const isolate = gate.isolates[served % 2];
      const reply = await ask(isolate, path, { headers: newClient() });
      if (reply.status !== 200) return reply;
      served++;
      assert.equal(reply.text, old.text);
      assert.ok(reply.sentAt < over, `served ${reply.sentAt - over} ms after the ceiling`);
      assert.equal(cacheStatus(reply).detail, "origin-quota");
      assert.match(String(reply.headers.age), /^\d+$/);
    },
    { every: 20 },
  );
  assert.ok(served > 1);
  spent(refused);
  assert.equal(refused.headers["cache-status"], "omnitrade-edge; detail=origin-quota");
  assert.equal(origin.counters.of(trades), 1);
});

test("beside leased permits it asks the store for itself, in one call", async () => {
  const headers = newClient();
  for (let n = 0; n < 30; n++) await ask(first, leased, { headers });
  const before = await counted("@origin:other");
  const cost = await costOf(setup, async () => {
    for (let n = 0; n < 5; n++) {
      const reply = await ask(first, leased, { headers });
      assert.equal(reply.status, 207);
      assert.equal(limiter(reply), "lease");
    }
  });
  assert.ok(cost.calls >= 5 && cost.calls <= 7, JSON.stringify(cost));
  assert.equal(await counted("@origin:other"), before + 5);
});

test("while the store fails each isolate keeps to it by itself", async () => {
  const alone = await startGateBefore(setup, { edge });
  tap.fault = "reset";
  try {
    const seen = origin.counters.of(sharedToo);
    const replies = [];
    for (let n = 0; n < 10; n++) replies.push(await ask(alone, sharedToo, { headers: newClient() }));
    assert.equal(origin.counters.of(sharedToo) - seen, replies.filter((reply) => reply.status === 203).length);
    assert.ok(origin.counters.of(sharedToo) - seen <= 4);
    spent(replies.at(-1) ?? assert.fail());
  } finally {
    tap.fault = null;
  }
});
