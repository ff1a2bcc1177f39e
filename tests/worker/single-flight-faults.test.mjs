/** Single flight under faults: the store or the origin fails during a fetch. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { ask, cacheStatus, newClient, setUp, until } from "./kit.mjs";

const made = "/__origin/headers";
const limited = "/api/v1/market-data/orderbook";

const { gate, origin, tap } = await setUp({
  isolates: 2,
  edge: {
    origin_timeout: "2s",
    redis: { timeout: "1s" },
    limits: { many: { by: "client", window: "60s", quota: 10_000 } },
    routes: [
      { path: made, cache: { ttl: "10m" } },
      { path: "/__origin/short", cache: { ttl: "10m" } },
      { path: limited, limits: ["many"], cache: { ttl: "10m", query: ["symbol", "limit"] } },
    ],
  },
});
const [first, second] = gate.isolates;
afterEach(async () => {
  origin.control.set({});
  tap.fault = null;
  await storeIsBack();
});

/** More than any deadline above, even on a slow machine. A hang takes longer. */
const BOUND = 8_000;

/** @param {string} path @param {number} size */
function crowd(path, size) {
  const headers = newClient();
  return Promise.all(Array.from({ length: size }, (_, n) => ask(gate.isolates[n % 2], path, { headers })));
}

/** Waits until the breaker is closed for the next test. */
async function storeIsBack() {
  for (const isolate of [first, second]) {
    await until(async () => {
      await ask(isolate, `${limited}?symbol=ETHUSDT&limit=${Math.floor(Math.random() * 900) + 1}`);
      return JSON.parse((await ask(isolate, "/__edge/health")).text).store === "closed";
    });
  }
}

for (const fault of /** @type {const} */ (["hang", "reset", 500])) {
  for (const [what, path, told] of [
    ["without limits", `${made}?__body=${fault}-{n}&__delay=400`, new RegExp(`^${fault}-\\d+$`)],
    ["with limits", `${limited}?symbol=BTCUSDT&limit=${String(fault).length + 10}`, /"symbol":"BTCUSDT"|"bids"/],
  ]) {
    test(`a store that fails by ${fault} in mid-flight leaves nobody without an answer, ${what}`, async () => {
      origin.control.set({ latency: 400, only: limited });
      const pathname = String(path).split("?")[0];
      const before = origin.counters.of(pathname);
      const waiting = crowd(String(path), 20);
      await until(() => origin.counters.of(pathname) > before, { every: 2 });
      tap.fault = fault;
      const replies = await waiting;
      for (const reply of replies) {
        assert.equal(reply.status, 200, reply.text);
        assert.match(reply.text, /** @type {RegExp} */ (told));
        assert.ok(reply.receivedAt - reply.sentAt < BOUND, `${reply.receivedAt - reply.sentAt} ms`);
      }
      const calls = origin.counters.of(pathname) - before;
      assert.ok(calls <= 2, `${calls} calls: one for each isolate at most`);

      tap.fault = null;
      assert.equal((await ask(first, String(path))).status, 200);
      assert.equal((await ask(second, String(path))).status, 200);
    });
  }
}

for (const [fault, statuses] of /** @type {const} */ ([
  ["reset", [502]],
  [503, [503]],
])) {
  test(`a leader fails by ${fault}: followers are told soon, and later ones are clean`, async () => {
    const path = `${made}?__body=followers-${fault}-{n}`;
    origin.control.set({ latency: 300, fail: fault, only: made });
    const before = origin.counters.of(made);
    const leader = ask(first, path);
    await until(() => origin.counters.of(made) > before, { every: 2 });
    const followers = await crowd(path, 20);
    for (const reply of [await leader, ...followers]) {
      assert.ok(statuses.includes(/** @type {never} */ (reply.status)), `${reply.status}`);
      assert.ok(reply.receivedAt - reply.sentAt < BOUND, `${reply.receivedAt - reply.sentAt} ms`);
    }
    const calls = origin.counters.of(made) - before;
    const most = fault === "reset" ? 4 : 2;
    assert.ok(calls <= most, `${calls} calls: one for each isolate, and one more if none was answered`);
    origin.control.set({});
    // The failure is shared for a second.
    const next = await until(async () => {
      const reply = await ask(first, path);
      return reply.status === 200 && reply;
    });
    assert.match(next.text, new RegExp(`^followers-${fault}-\\d+$`));
    await until(async () => cacheStatus(await ask(first, path)).hit);
  });
}

test("followers of a leader whose answer breaks off get a whole one", async () => {
  const path = "/__origin/short";
  const replies = await Promise.allSettled(Array.from({ length: 10 }, () => ask(first, path)));
  // A client that gets the origin's answer itself sees it break off. No client gets a part as if it
  // were the whole.
  for (const reply of replies) {
    if (reply.status === "fulfilled") assert.notEqual(reply.value.status, 200, reply.value.text.slice(0, 40));
  }
  assert.equal((await ask(first, `${made}?__body=after-short`)).status, 200);
});
