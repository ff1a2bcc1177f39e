/**
 * The cost of a request: set by its route, corrected by the origin, and refunded if the origin
 * failed.
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
  quotaExceeded,
  rateLimit,
  setUp,
  startGateBefore,
  until,
} from "./kit.mjs";

const made = "/__origin/headers";
const three = "/__origin/echo";
const slow = "/__origin/hang";
const plain = "/__origin/status/{code}";
const leasedPath = "/__origin/range";
const cached = "/api/v1/market-data/orderbook";

const routes = [
  { path: made, limits: ["hundred"], cost: 5, refund_on: [500, 502, 503, 504] },
  { path: three, limits: ["hundred", "fifty"], cost: 3, refund_on: [500, 502, 503, 504] },
  { path: slow, limits: ["hundred"], cost: 5, refund_on: [504], origin_timeout: "500ms" },
  { path: plain, limits: ["hundred"], cost: 5 },
];
/** @type {Record<string, any>} */
const limits = {
  hundred: { by: "ip", window: "10m", quota: 100 },
  fifty: { by: "ip", window: "10m", quota: 50 },
  many: { by: "ip", window: "10m", quota: 100_000, strategy: "lease" },
};

const setup = await setUp({
  isolates: 2,
  edge: {
    limits,
    routes: [
      ...routes,
      { path: leasedPath, limits: ["many"], refund_on: [503] },
      {
        path: cached,
        limits: ["hundred"],
        cost: 5,
        refund_on: [503],
        cache: { ttl: "1ms", stale_if_error: "10m", query: ["symbol"] },
      },
    ],
  },
});
const { gate, origin, store } = setup;
const [first, second] = gate.isolates;
afterEach(() => origin.control.set({}));

for (const isolate of gate.isolates) await ask(isolate, three, { headers: newClient() });

/** @param {import("./kit.mjs").Reply} reply */
const left = (reply, limit = "hundred") => rateLimit(reply)[limit].r ?? assert.fail();

/** The permits that the store counts for a client. @param {Record<string, string>} client */
async function counted(client, limit = "hundred") {
  const state = await store.run("GET", `ot:l:${limit}:${client["cf-connecting-ip"]}`);
  return state === null ? 0 : Number(String(state).split(" ")[6]);
}

/**
 * Waits until another isolate sees `used` permits, after the cost has been settled.
 * @param {Record<string, string>} headers
 * @param {number} used
 */
async function settled(headers, used, limit = "hundred") {
  await until(async () => (await counted(headers, limit)) === used);
  assert.equal(left(await ask(second, three, { headers }), limit), limits[limit].quota - used - 3);
}

for (const [said, cost] of /** @type {const} */ ([
  ["7", 7],
  ["5", 5],
  ["2", 2],
  ["0", 0],
  [" 9 ", 9],
])) {
  test(`the origin says that it cost ${JSON.stringify(said)}: that is what is taken and told`, async () => {
    const headers = newClient();
    const reply = await ask(first, `${made}?X-Edge-Cost=${encodeURIComponent(said)}&__body=x`, { headers });
    assert.equal(reply.status, 200);
    assert.equal(reply.text, "x");
    assert.equal(left(reply), 100 - cost);
    assert.equal(reply.headers["x-edge-cost"], undefined, "it is not for clients");
    await settled(headers, cost);
  });
}

for (const said of ["-1", "1.5", "0x7", "seven", "", "7, 7", "99999999999999999999999999", "1e3"]) {
  test(`the origin says that it cost ${JSON.stringify(said)}: that is no number, and changes nothing`, async () => {
    const headers = newClient();
    const reply = await ask(first, `${made}?X-Edge-Cost=${encodeURIComponent(said)}`, { headers });
    assert.equal(reply.status, 200);
    assert.equal(left(reply), 95);
    assert.equal(reply.headers["x-edge-cost"], undefined);
    await settled(headers, 5);
  });
}

test("what costs more than is left is taken anyhow, and the next is refused", async () => {
  const headers = newClient();
  assert.equal(left(await ask(first, `${made}?X-Edge-Cost=250`, { headers })), 0);
  await until(async () => (await counted(headers)) === 250);
  for (const isolate of gate.isolates) {
    const refused = await ask(isolate, made, { headers });
    assert.deepEqual(quotaExceeded(refused)["violated-policies"], ["hundred"]);
    assert.equal(left(refused), 0);
  }
});

test("a client cannot say what it costs", async () => {
  const headers = { ...newClient(), "x-edge-cost": "0" };
  assert.equal(left(await ask(first, made, { headers })), 95);
});

test("the true cost is settled by one call after the response, if it differs", async () => {
  const headers = newClient();
  const check = { evalsha: 1, mget: 1, set: 1 };
  assert.deepEqual(await costOf(setup, () => ask(first, `${made}?X-Edge-Cost=5`, { headers })), { ...check, calls: 1 });
  const twice = await costOf(setup, async () => {
    await ask(first, `${made}?X-Edge-Cost=6`, { headers });
    await until(async () => (await counted(headers)) === 11);
  });
  // The read by `counted` is not the gate's.
  delete twice.get;
  assert.deepEqual(twice, { evalsha: 2, mget: 2, set: 2, calls: 2 });
});

for (const status of [500, 502, 503, 504]) {
  test(`${status} from the origin: it costs nothing`, async () => {
    const headers = newClient();
    const reply = await ask(first, `${made}?__status=${status}&X-Edge-Cost=50`, { headers });
    assert.equal(reply.status, status);
    assert.equal(left(reply), 100);
    assert.equal(reply.headers["x-edge-cost"], undefined);
    await settled(headers, 0);
  });
}

test("a status that is not named is paid for", async () => {
  const headers = newClient();
  for (const path of [`${made}?__status=501`, "/__origin/status/503"]) await ask(first, path, { headers });
  assert.equal(await counted(headers), 10);
});

test("the gate's own 502 and 504 give all limits their permits back", async () => {
  const headers = newClient();
  origin.control.set({ fail: "reset", only: three });
  const failed = await ask(first, three, { headers });
  assert.equal(problem(failed, 502).code, "origin_failed");
  assert.equal(left(failed), 100);
  assert.equal(left(failed, "fifty"), 50);
  const given = async () => (await counted(headers)) + (await counted(headers, "fifty")) === 0;
  await until(given);
  const late = await ask(first, slow, { headers });
  assert.equal(problem(late, 504).code, "origin_timed_out");
  assert.equal(left(late), 100);
  await until(given);
});

test("what comes back can be used at once: failing requests are not refused", async () => {
  const headers = newClient();
  for (let n = 0; n < 30; n++) {
    const reply = await ask(first, `${made}?__status=503`, { headers });
    assert.equal(reply.status, 503);
    await until(async () => (await counted(headers)) === 0, { every: 1 });
  }
});

test("a stored answer in place of a failure is an answer, and paid for", async () => {
  const headers = newClient();
  const path = `${cached}?symbol=BTCUSDT`;
  assert.equal(cacheStatus(await ask(first, path, { headers })).stored, true);
  origin.control.set({ fail: 503, only: cached });
  const reply = await until(async () => {
    const reply = await ask(first, path, { headers: newClient() });
    return cacheStatus(reply).detail === "stale-if-error" && reply;
  });
  assert.equal(reply.status, 200);
  assert.equal(left(reply), 95);
});

test("the cache keeps nothing of it, and a hit costs what the route says", async () => {
  const cachedRoutes = [{ path: made, limits: ["hundred"], cost: 5, cache: { ttl: "10m" } }];
  const caching = await startGateBefore(setup, { edge: { limits, routes: cachedRoutes }, isolates: 2 });
  const headers = newClient();
  const path = `${made}?X-Edge-Cost=40&ETag=%22a%22&__body=kept`;
  const miss = await ask(caching.isolates[0], path, { headers });
  assert.equal(cacheStatus(miss).stored, true);
  assert.equal(left(miss), 60);
  assert.equal(miss.headers["x-edge-cost"], undefined);
  await until(
    async () => (await counted(headers)) === 40 && (await store.keys()).some((key) => key.startsWith("ot:c:")),
  );
  for (const [n, isolate] of [...caching.isolates, ...caching.isolates].entries()) {
    const hit = await ask(isolate, path, { headers });
    assert.equal(hit.text, "kept");
    assert.equal(cacheStatus(hit).hit, true);
    assert.equal(left(hit), 60 - 5 * (n + 1));
    assert.equal(hit.headers["x-edge-cost"], undefined);
  }
  for (const key of await store.keys()) assert.doesNotMatch(String(await store.run("GET", key)), /"x-edge-cost"/);
});

test("leased permits come back without a call of the store", async () => {
  const headers = newClient();
  for (let n = 0; n < 50; n++) await ask(first, leasedPath, { headers });
  await until(async () => limiter(await ask(first, leasedPath, { headers })) === "lease", { every: 1 });
  const before = left(await ask(first, leasedPath, { headers }), "many");
  origin.control.set({ fail: 503, only: leasedPath });
  for (let n = 0; n < 20; n++) {
    const reply = await ask(first, leasedPath, { headers });
    assert.equal(reply.status, 503);
    assert.equal(limiter(reply), "lease");
    assert.equal(left(reply, "many"), before);
  }
});

test("in local mode permits come back too", async () => {
  const local = await startGateBefore({ origin }, { edge: { limits, routes } });
  const headers = newClient();
  const one = left(await ask(local, `${made}?X-Edge-Cost=1`, { headers }));
  for (let n = 0; n < 30; n++) {
    const reply = await ask(local, `${made}?__status=503`, { headers });
    assert.equal(reply.status, 503);
    assert.ok(left(reply) >= one, `${left(reply)} left, of ${one} before`);
  }
  assert.ok(left(await ask(local, `${made}?X-Edge-Cost=20`, { headers })) <= one - 19);
});
