/**
 * Concurrent requests that miss the same key: one goes to the origin, the others wait for what it
 * stores.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { afterEach, test } from "node:test";
import { ask, cacheStatus, HOST, newClient, setUp, until } from "./kit.mjs";

const made = "/__origin/headers";
const limited = "/api/v1/market-data/orderbook";

const { gate, origin, redis } = await setUp({
  isolates: 2,
  edge: {
    origin_timeout: "8s",
    limits: { many: { by: "client", window: "60s", quota: 10_000 } },
    routes: [
      { path: made, cache: { ttl: "10m" } },
      { path: limited, limits: ["many"], cache: { ttl: "10m", query: ["symbol", "limit"] } },
    ],
  },
});
const [first, second] = gate.isolates;
afterEach(() => origin.control.set({}));

/** @param {{ url: string }[]} isolates @param {string} path */
function crowd(isolates, path, size = 100) {
  const headers = newClient();
  return Promise.all(Array.from({ length: size }, (_, n) => ask(isolates[n % isolates.length], path, { headers })));
}

for (const [what, path] of [
  ["without limits", `${made}?__body=cold{n}&__delay=60`],
  ["with limits", `${limited}?symbol=BTCUSDT&limit=7`],
]) {
  test(`of a hundred that miss at once, one goes to the origin, ${what}`, async () => {
    origin.control.set({ latency: 60, only: limited });
    const before = origin.counters.of(path.split("?")[0]);
    const replies = await crowd([first], path);
    for (const reply of replies) {
      assert.equal(reply.status, 200);
      assert.equal(reply.text, replies[0].text);
    }
    assert.equal(origin.counters.of(path.split("?")[0]) - before, 1);
    const collapsed = replies.filter((reply) => cacheStatus(reply).collapsed);
    assert.ok(collapsed.length >= 50, `${collapsed.length} waited for it`);
    for (const reply of collapsed) assert.ok(cacheStatus(reply).fwd, "RFC 9211 §2.6: a forward request that waited");
  });
}

test("of a hundred over two isolates, two go to the origin at most", async () => {
  const path = `${made}?__body=two{n}&__delay=60`;
  const before = origin.counters.of(made);
  for (const reply of await crowd([first, second], path)) assert.equal(reply.status, 200);
  const calls = origin.counters.of(made) - before;
  assert.ok(calls <= 2, `${calls} calls`);
});

test("a leader whose client hangs up goes on for those who wait", async () => {
  const path = `${made}?__body=gone{n}&__delay=800`;
  const before = origin.counters.of(made);
  const { hostname, port } = new URL(first.url);
  const leader = connect(Number(port), hostname);
  leader.write(`GET ${path} HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  await until(() => origin.counters.of(made) > before);
  const waiting = crowd([first], path, 10);
  leader.destroy();
  for (const reply of await waiting) {
    assert.equal(reply.status, 200);
    assert.equal(cacheStatus(reply).collapsed, true);
  }
  assert.equal(origin.counters.of(made) - before, 1);
});

test("what is for one client only is handed to nobody else", async () => {
  const path = `${made}?__body=own{n}&__delay=60&cache-control=private`;
  // The second crowd does not wait at all.
  for (const isolates of [[first], [first, second]]) {
    const before = origin.counters.of(made);
    for (const reply of await crowd(isolates, path, 20)) {
      assert.equal(reply.status, 200);
      assert.equal(cacheStatus(reply).collapsed, undefined);
    }
    assert.equal(origin.counters.of(made) - before, 20);
  }
});

test("an origin that resets fails who asked, and is asked again soon", async () => {
  const path = `${made}?__body=reset{n}`;
  origin.control.set({ fail: "reset", only: made });
  for (const reply of await crowd([first], path, 20)) assert.equal(reply.status, 502);
  origin.control.set({});
  await until(async () => (await ask(first, path)).status === 200);
});

test("an origin that hangs holds who waits no longer than their deadlines", async () => {
  const path = `${made}?__body=hang{n}`;
  origin.control.set({ fail: "hang", only: made });
  const before = origin.counters.of(made);
  const leader = ask(first, path);
  await until(() => origin.counters.of(made) > before);
  const waiting = crowd([first], path, 10);
  await new Promise((resolve) => setTimeout(resolve, 200));
  origin.control.set({});
  // The followers give the leader up for lost, and one of them becomes the leader.
  for (const reply of await waiting) assert.equal(reply.status, 200);
  assert.equal((await ask(first, path)).status, 200);
  assert.equal((await leader).status, 504);
});

test("without Redis one goes to the origin, too, for each isolate", async () => {
  await redis.stop();
  const path = `${made}?__body=lone{n}&__delay=100`;
  const before = origin.counters.of(made);
  for (const reply of await crowd([first, second], path, 60)) assert.equal(reply.status, 200);
  const calls = origin.counters.of(made) - before;
  assert.ok(calls <= 2, `${calls} calls`);
});
