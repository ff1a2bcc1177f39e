/**
 * Clients that ignore refusals are blocked: each for itself, longer each time, and without calls of
 * the store.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  abnormalUsage,
  ask,
  cacheStatus,
  costOf,
  limiter,
  newClient,
  quotaExceeded,
  rateLimit,
  reducedCapacity,
  retryAfter,
  secondsBetween,
  setUp,
  until,
  untilTime,
} from "./kit.mjs";

const brief = "/__origin/status/201";
const long = "/__origin/status/202";
const dear = "/__origin/status/203";
const other = "/__origin/status/206";
const both = "/__origin/status/207";
const shadow = "/__origin/status/208";
const book = "/api/v1/market-data/orderbook";

const setup = await setUp({
  isolates: 2,
  edge: {
    limits: {
      brief: { by: "ip", window: "1s", quota: 1, penalty: { after: 3, hold: "2s", max: "10m" } },
      long: { by: "ip", window: "10m", quota: 5, penalty: { after: 4, hold: "10m", max: "10m" } },
      other: { by: "ip", window: "10m", quota: 100 },
      shadow: { by: "ip", window: "10m", quota: 1, mode: "shadow", penalty: { after: 1 } },
    },
    routes: [
      { path: brief, limits: ["brief"] },
      { path: long, limits: ["long"] },
      { path: dear, limits: ["long"], cost: 5 },
      { path: other, limits: ["other"] },
      { path: both, limits: ["long", "other"] },
      { path: shadow, limits: ["shadow"] },
      { path: book, limits: ["long"], cache: { ttl: "10m", query: ["symbol"] } },
    ],
  },
});
const { gate, origin, tap } = setup;
const [first, second] = gate.isolates;

/**
 * Asks until the client is blocked, and returns the last refusal before, which started that.
 * @param {Record<string, string>} headers
 * @param {string} path
 */
async function provoke(headers, path) {
  /** @type {import("./kit.mjs").Reply | undefined} */
  let last;
  for (;;) {
    const reply = await ask(first, path, { headers });
    if (reply.status === 429 && JSON.parse(reply.text).code === "abnormal_usage") return last ?? assert.fail();
    last = reply;
  }
}

test("after so many refusals a client is held off, told so and for how long", async () => {
  const headers = newClient();
  for (let n = 0; n < 5; n++) assert.equal((await ask(first, long, { headers })).status, 202);
  for (let n = 0; n < 3; n++) quotaExceeded(await ask(first, long, { headers }));
  const bringing = await ask(first, long, { headers });
  quotaExceeded(bringing);
  const held = await ask(first, long, { headers });
  const body = abnormalUsage(held);
  assert.deepEqual(body["violated-policies"], ["long"]);
  assert.equal(body["retry-after"], retryAfter(held));
  assert.match(body.detail, new RegExp(`\\b${retryAfter(held)} s\\b`));
  const least = 600 - secondsBetween(bringing, held);
  assert.ok(retryAfter(held) >= least && retryAfter(held) <= 621, `Retry-After: ${retryAfter(held)}`);
  assert.equal(limiter(held), "blocked");
  const { r, t, q, w } = rateLimit(held).long;
  assert.deepEqual({ r, t, q, w }, { r: 0, t: retryAfter(held), q: 5, w: 600 });
  assert.match(String(held.headers["cache-control"]), /no-store/);
});

test("while it lasts no store or origin is asked, and it becomes no longer", async () => {
  const headers = newClient();
  await provoke(headers, long);
  const seen = origin.counters.get().total;
  let wait = Number.POSITIVE_INFINITY;
  const cost = await costOf(setup, async () => {
    for (let n = 0; n < 50; n++) {
      const held = await ask(first, long, { headers });
      abnormalUsage(held);
      assert.ok(retryAfter(held) <= wait);
      wait = retryAfter(held);
    }
    abnormalUsage(await ask(first, dear, { headers }));
  });
  assert.deepEqual(cost, { calls: 0 });
  assert.equal(origin.counters.get().total, seen);
});

test("the refusal that brings a hold tells its true end; the next is longer", async () => {
  const headers = newClient();
  const bringing = await provoke(headers, brief);
  quotaExceeded(bringing);
  assert.equal(retryAfter(bringing), 2);
  const held = await ask(first, brief, { headers });
  abnormalUsage(held);
  const over = held.receivedAt + retryAfter(held) * 1_000;
  // Nothing passes before the block is over.
  const passed = await until(
    async () => {
      const reply = await ask(first, brief, { headers });
      if (reply.status === 201) return reply;
      abnormalUsage(reply);
      assert.ok(reply.sentAt <= over, `still held ${reply.sentAt - over} ms after`);
    },
    { every: 50 },
  );
  assert.ok(passed.receivedAt >= bringing.sentAt + 2_000, `${passed.receivedAt - bringing.sentAt} ms after`);
  assert.equal(retryAfter(await provoke(headers, brief)), 4, "twice as long");
});

test("who waits as it was told is served", async () => {
  const headers = newClient();
  const bringing = await provoke(headers, brief);
  await untilTime(bringing.receivedAt + retryAfter(bringing) * 1_000);
  assert.equal((await ask(first, brief, { headers })).status, 201);
});

test("nobody else is held off, nor the client on routes without that limit", async () => {
  const headers = newClient();
  await provoke(headers, long);
  assert.equal((await ask(first, long, { headers: newClient() })).status, 202);
  assert.equal((await ask(first, other, { headers })).status, 206);
  const refused = await ask(first, both, { headers });
  assert.deepEqual(abnormalUsage(refused)["violated-policies"], ["long"]);
  assert.equal(rateLimit(await ask(first, other, { headers })).other.r, 98, "it was not charged for that");
});

test("other isolates count for themselves, and refuse because of the quota", async () => {
  const headers = newClient();
  await provoke(headers, long);
  quotaExceeded(await ask(second, long, { headers }));
});

test("a limit in shadow mode holds nobody off", async () => {
  const headers = newClient();
  for (let n = 0; n < 10; n++) assert.equal((await ask(first, shadow, { headers })).status, 208);
});

test("a hold is a refusal for the cache, too", async () => {
  const headers = newClient();
  await provoke(headers, long);
  const held = await ask(first, `${book}?symbol=BTCUSDT`, { headers });
  abnormalUsage(held);
  assert.deepEqual(cacheStatus(held), { detail: "refused" });
});

test("a HEAD of a client that is held off gets the head of the answer", async () => {
  const headers = newClient();
  await provoke(headers, long);
  const held = await ask(first, long, { method: "HEAD", headers });
  assert.equal(held.status, 429);
  assert.equal(held.body.length, 0);
  assert.ok(retryAfter(held) > 0);
});

test("nobody is held off because the store fails; but who was, still is", async () => {
  const [headers, before] = [newClient(), newClient()];
  await provoke(before, long);
  tap.fault = "reset";
  try {
    const refused = await until(async () => {
      const reply = await ask(first, long, { headers });
      return reply.status === 202 ? undefined : reply;
    });
    reducedCapacity(refused);
    for (let n = 0; n < 20; n++) reducedCapacity(await ask(first, long, { headers }));
    abnormalUsage(await ask(first, long, { headers: before }));
  } finally {
    tap.fault = null;
  }
  await until(async () => limiter(await ask(first, other, { headers: newClient() })) === "redis");
  // The store is told of what was given meanwhile, and of no refusal: the client is not held off.
  const back = await ask(first, long, { headers });
  quotaExceeded(back);
  assert.equal(limiter(back), "redis");
});
