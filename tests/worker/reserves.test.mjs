/**
 * The part of a limit that one route reserves for itself: cancelling passes when placing is
 * refused.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, limiter, newClient, quotaExceeded, rateLimit, setUp, startGateBefore, until, untilTime } from "./kit.mjs";

const place = "/__origin/status/201";
const cancel = "/__origin/status/202";
const shortPlace = "/__origin/status/203";
const shortCancel = "/__origin/status/206";
const leasedPlace = "/__origin/status/207";
const leasedCancel = "/__origin/status/208";

/** @type {Record<string, any>} */
const limits = {
  orders: { by: "ip", window: "10m", quota: 10 },
  short: { by: "ip", window: "2s", quota: 5 },
  leased: { by: "ip", window: "10m", quota: 100, strategy: "lease" },
};
const reserve = "20%";
const routes = [
  { path: place, limits: ["orders"] },
  { path: cancel, limits: ["orders"], reserve: { orders: reserve } },
  { path: shortPlace, limits: ["short"] },
  { path: shortCancel, limits: ["short"], reserve: { short: reserve } },
  { path: leasedPlace, limits: ["leased"] },
  { path: leasedCancel, limits: ["leased"], reserve: { leased: reserve } },
];
const { gate, origin } = await setUp({ isolates: 2, edge: { limits, routes } });
const [first, second] = gate.isolates;

/** @param {import("./kit.mjs").Reply} reply */
const left = (reply, limit = "orders") => rateLimit(reply)[limit].r ?? assert.fail();

test("cancelling passes where placing is refused, until all is used", async () => {
  const headers = newClient();
  for (let n = 7; n >= 0; n--) {
    const reply = await ask(n % 2 ? first : second, place, { headers });
    assert.equal(reply.status, 201);
    assert.equal(left(reply), n, "of the eight that placing may use");
  }
  for (const isolate of [first, second, first]) {
    const refused = await ask(isolate, place, { headers });
    assert.deepEqual(quotaExceeded(refused)["violated-policies"], ["orders"]);
    assert.equal(left(refused), 0);
  }
  assert.equal(left(await ask(first, cancel, { headers })), 1);
  quotaExceeded(await ask(first, place, { headers }));
  assert.equal(left(await ask(second, cancel, { headers })), 0);
  for (const isolate of gate.isolates) quotaExceeded(await ask(isolate, cancel, { headers }));
});

test("cancelling may use all of it, and placing has what is left of its part", async () => {
  const headers = newClient();
  for (let n = 9; n >= 3; n--) assert.equal(left(await ask(first, cancel, { headers })), n);
  const reply = await ask(second, place, { headers });
  assert.equal(reply.status, 201);
  assert.equal(left(reply), 0);
  quotaExceeded(await ask(second, place, { headers }));
  for (let n = 1; n >= 0; n--) assert.equal(left(await ask(second, cancel, { headers })), n);
  quotaExceeded(await ask(second, cancel, { headers }));
});

test("who is refused because of the reserve passes when it was told", async () => {
  const headers = newClient();
  for (let n = 0; n < 4; n++) assert.equal((await ask(first, shortPlace, { headers })).status, 203);
  // This has to come before the refusal, because later requests may take the permits that it waits
  // for.
  assert.equal((await ask(first, shortCancel, { headers })).status, 206);
  const refused = await ask(first, shortPlace, { headers });
  quotaExceeded(refused);
  await untilTime(refused.receivedAt + Number(refused.headers["retry-after"]) * 1_000);
  assert.equal((await ask(first, shortPlace, { headers })).status, 203);
});

test("permits that are fetched ahead leave the reserve alone", async () => {
  const headers = newClient();
  const placed = await Promise.all(
    gate.isolates.map(async (isolate) => {
      const sources = [];
      for (let refusals = 0; refusals < 3; ) {
        const reply = await ask(isolate, leasedPlace, { headers });
        if (reply.status === 207) sources.push(limiter(reply));
        else refusals++;
      }
      return sources;
    }),
  );
  const sources = placed.flat();
  assert.ok(sources.includes("lease"));
  assert.ok(sources.length <= 80, `${sources.length} placed`);
  let cancelled = 0;
  for (; (await ask(second, leasedCancel, { headers })).status === 208; cancelled++) assert.ok(cancelled < 100);
  assert.ok(cancelled >= 20, `${cancelled} cancelled`);
  assert.ok(sources.length + cancelled <= 100, `${sources.length} placed and ${cancelled} cancelled`);
});

test("in local mode there is a reserve too", async () => {
  const local = await startGateBefore({ origin }, { edge: { limits, routes } });
  const headers = newClient();
  const refused = await until(async () => {
    const reply = await ask(local, place, { headers });
    return reply.status === 201 ? undefined : reply;
  });
  quotaExceeded(refused);
  assert.equal((await ask(local, cancel, { headers })).status, 202);
});
