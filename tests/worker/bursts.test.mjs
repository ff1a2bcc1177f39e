/**
 * Requests of one client that come at once: how many store calls they take, and how many pass, with
 * a store that answers, one that fails every second time, and one that is too slow.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, newClient, setUp, until } from "./kit.mjs";

const hundred = "/__origin/status/201";
const twoHundred = "/__origin/status/202";
const tenth = "/__origin/status/203";

const { gate, tap } = await setUp({
  isolates: 3,
  edge: {
    limits: {
      hundred: { by: "client", window: "60s", quota: 100, keyed_quota: 100 },
      "two-hundred": { by: "client", window: "60s", quota: 200 },
      tenth: { by: "client", window: "4s", quota: 100, local_share: "10%" },
    },
    routes: [
      { path: hundred, limits: ["hundred"] },
      { path: twoHundred, limits: ["two-hundred"] },
      { path: tenth, limits: ["tenth"] },
    ],
  },
});

// The script is loaded, and each isolate has compared its clock.
for (const isolate of gate.isolates) await ask(isolate, hundred, { headers: newClient() });

/**
 * @param {{
 *   isolates: typeof gate.isolates, path: string, requests: number,
 *   headers?: Record<string, string>
 * }} burst
 *   `requests`: of each isolate
 */
async function burst({ isolates, path, requests, headers = newClient() }) {
  const before = tap.calls;
  const all = isolates.flatMap((isolate) => Array.from({ length: requests }, () => ask(isolate, path, { headers })));
  const replies = await Promise.all(all);
  const passed = replies.filter(({ status }) => status < 300).length;
  const failed = replies.filter(({ status }) => status >= 500).length;
  return { passed, failed, calls: tap.calls - before };
}

/** @param {number[]} numbers */
const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

test("a hundred requests at once of one client take a handful of calls", async () => {
  const calls = [];
  for (let n = 0; n < 3; n++) {
    const [isolate] = gate.isolates;
    const seen = await burst({ isolates: [isolate], path: hundred, requests: 110 });
    assert.deepEqual([seen.passed, seen.failed], [100, 0]);
    calls.push(seen.calls);
  }
  assert.ok(median(calls) <= 8, `${calls} calls`);
});

test("bursts through three isolates pass the quota and no more", async () => {
  for (let n = 0; n < 3; n++) {
    const { passed, failed } = await burst({ isolates: gate.isolates, path: hundred, requests: 40 });
    assert.deepEqual([passed, failed], [100, 0]);
  }
});

test("a store of which every second call fails gives the quota and no more", async () => {
  const headers = newClient();
  const [isolate] = gate.isolates;
  let passed = 0;
  for (let n = 0; n < 300; n++) {
    tap.fault = n % 2 ? "reset" : null;
    passed += Number((await ask(isolate, twoHundred, { headers })).status < 300);
  }
  tap.fault = null;
  assert.ok(passed <= 200, `${passed} passed`);
  assert.ok(passed > 100, `${passed} passed`);
});

test("a store that is too slow gives the quota and a share of each isolate", async () => {
  const headers = newClient();
  const isolates = gate.isolates;
  await burst({ isolates, path: tenth, requests: 1, headers });
  tap.fault = "hang";
  const { passed } = await burst({ isolates, path: tenth, requests: 60, headers });
  tap.fault = null;
  assert.ok(passed <= 100 * (1 + isolates.length * 0.1), `${passed} passed`);
  // The store answers again, and learns of it.
  await until(async () => (await ask(isolates[0], tenth, { headers })).headers["x-edge-limiter"] !== "local");
});
