/** The limits: how many requests pass, what refused clients are told, and that it is true. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, newClient, quotaExceeded, rateLimit, setUp, until, untilTime } from "./kit.mjs";

const tenAMinute = "/__origin/status/201";
const shortWindow = "/__origin/status/202";
const both = "/__origin/status/203";
const wideOnly = "/__origin/status/206";
const dear = "/__origin/status/207";
const shadowed = "/__origin/status/208";
const nobodys = "/__origin/status/226";

const SHORT = 2_000;
// A window is divided into thirty parts, of which the oldest counts whole.
const SHORT_AT_MOST = SHORT + Math.ceil(SHORT / 30);

const { gate, origin } = await setUp({
  isolates: 2,
  edge: {
    default_limits: ["ten"],
    limits: {
      ten: { by: "ip", window: "60s", quota: 10 },
      short: { by: "ip", window: "2s", quota: 2 },
      wide: { by: "ip", window: "60s", quota: 100 },
      narrow: { by: "client", window: "90s", quota: 2, keyed_quota: 2 },
      shadow: { by: "ip", window: "60s", quota: 1, mode: "shadow" },
    },
    routes: [
      { path: shortWindow, limits: ["short"] },
      { path: both, limits: ["wide", "narrow"] },
      { path: wideOnly, limits: ["wide"] },
      { path: dear, limits: ["ten"], cost: 4 },
      { path: shadowed, limits: ["wide", "shadow"] },
      { path: nobodys },
    ],
  },
});
const [, other] = gate.isolates;

test("every answer says the policy, what is left and when more comes back", async () => {
  const headers = newClient();
  for (let left = 9; left >= 0; left--) {
    const reply = await ask(gate, tenAMinute, { headers });
    assert.equal(reply.status, 201);
    assert.equal(reply.headers["ratelimit-policy"], '"ten";q=10;w=60');
    const { r, t } = rateLimit(reply).ten;
    assert.equal(r, left);
    assert.ok(t !== undefined && t > 0 && t <= 62, `t=${t}`);
    assert.equal(reply.headers["x-edge-limiter"], "redis");
  }
});

test("an anonymous client's eleventh request is refused, as problem details", async () => {
  const headers = newClient();
  for (let n = 0; n < 10; n++) assert.equal((await ask(gate, tenAMinute, { headers })).status, 201);
  const seen = origin.counters.of(tenAMinute);
  const refused = await ask(gate, tenAMinute, { headers });
  const body = quotaExceeded(refused);
  assert.deepEqual(body["violated-policies"], ["ten"]);
  assert.equal(refused.headers["x-edge-limiter"], "redis");
  const { r, t } = rateLimit(refused).ten;
  assert.equal(r, 0);
  const wait = Number(refused.headers["retry-after"]);
  assert.ok(Number.isInteger(wait) && wait > 0 && wait <= 62, `Retry-After: ${wait}`);
  assert.equal(t, wait, "the next permit is the one that is waited for");
  assert.match(String(refused.headers["cache-control"]), /no-store/);
  assert.equal(origin.counters.of(tenAMinute), seen, "the origin is not asked");
  assert.equal((await ask(gate, tenAMinute, { headers: newClient() })).status, 201, "others go on");
});

test("a HEAD request that is refused gets the head of the refusal", async () => {
  const headers = newClient();
  for (let n = 0; n < 10; n++) await ask(gate, tenAMinute, { method: "HEAD", headers });
  const refused = await ask(gate, tenAMinute, { method: "HEAD", headers });
  assert.equal(refused.status, 429);
  assert.equal(refused.body.length, 0);
  assert.ok(Number(refused.headers["retry-after"]) > 0);
});

for (const [name, asked] of /** @type {const} */ ([
  ["by the isolate that was told", gate],
  ["by another isolate", other],
])) {
  test(`a refused client passes once Retry-After is over, ${name}`, async () => {
    const headers = newClient();
    await ask(gate, shortWindow, { headers });
    await ask(gate, shortWindow, { headers });
    const refused = await ask(gate, shortWindow, { headers });
    quotaExceeded(refused);
    const wait = Number(refused.headers["retry-after"]);
    assert.ok(wait >= 1 && wait <= Math.ceil(SHORT_AT_MOST / 1000), `Retry-After: ${wait}`);
    await untilTime(refused.receivedAt + wait * 1000);
    assert.equal((await ask(asked, shortWindow, { headers })).status, 202);
  });
}

test("no window ever holds more than the quota", async () => {
  const headers = newClient();
  /** @type {import("./kit.mjs").Reply[]} */
  const admitted = [];
  await until(
    async () => {
      const reply = await ask(admitted.length % 2 ? gate : other, shortWindow, { headers });
      if (reply.status === 202) admitted.push(reply);
      else quotaExceeded(reply);
      return admitted.length === 6;
    },
    { every: 5 },
  );
  for (let n = 2; n < admitted.length; n++) {
    const apart = admitted[n].receivedAt - admitted[n - 2].sentAt;
    assert.ok(apart >= SHORT, `three within ${apart} ms`);
  }
});

test("a refusal by one limit charges none of the others", async () => {
  const address = newClient();
  const headers = { ...address, "x-api-key": "first" };
  for (const left of [99, 98]) {
    const reply = await ask(gate, both, { headers });
    assert.equal(rateLimit(reply).wide.r, left);
  }
  for (const isolate of [gate, gate, other, other]) {
    const refused = await ask(isolate, both, { headers });
    assert.deepEqual(quotaExceeded(refused)["violated-policies"], ["narrow"]);
    const { wide, narrow } = rateLimit(refused);
    assert.deepEqual(narrow, { q: 2, w: 90, r: 0, t: narrow.t });
    assert.ok(wide.r === undefined || wide.r === 98, `wide: r=${wide.r}`);
  }
  const second = await ask(other, both, { headers: { ...address, "x-api-key": "second" } });
  assert.equal(second.status, 203);
  assert.equal(rateLimit(second).wide.r, 97);
  assert.equal(rateLimit(second).narrow.r, 1);
  assert.equal(rateLimit(await ask(gate, wideOnly, { headers: address })).wide.r, 96);
});

test("a request takes its cost; a cheap one passes where a dear one may not", async () => {
  const headers = newClient();
  assert.equal(rateLimit(await ask(gate, dear, { headers })).ten.r, 6);
  assert.equal(rateLimit(await ask(gate, dear, { headers })).ten.r, 2);
  const refused = await ask(gate, dear, { headers });
  quotaExceeded(refused);
  assert.equal(rateLimit(refused).ten.r, 2);
  for (const left of [1, 0]) {
    const reply = await ask(gate, tenAMinute, { headers });
    assert.equal(reply.status, 201);
    assert.equal(rateLimit(reply).ten.r, left);
  }
  quotaExceeded(await ask(gate, tenAMinute, { headers }));
});

test("a limit in shadow mode reports and lets through", async () => {
  const headers = newClient();
  assert.equal(rateLimit(await ask(gate, shadowed, { headers })).shadow.r, 0);
  for (let n = 2; n <= 4; n++) {
    const reply = await ask(gate, shadowed, { headers });
    assert.equal(reply.status, 208);
    assert.equal(rateLimit(reply).shadow.r, 0);
    assert.equal(rateLimit(reply).wide.r, 100 - n, "the enforced limit beside it counts on");
    assert.equal(reply.headers["retry-after"], undefined);
  }
});

test("a route without limits says so, and nothing else", async () => {
  const reply = await ask(gate, nobodys);
  assert.equal(reply.status, 226);
  assert.equal(reply.headers["x-edge-limiter"], "none");
  assert.equal(reply.headers["ratelimit-policy"], undefined);
  assert.equal(reply.headers.ratelimit, undefined);
});

test("a CORS preflight is not counted, another OPTIONS is", async () => {
  const client = newClient();
  const preflight = { ...client, origin: "https://app.omnitrade.example", "access-control-request-method": "GET" };
  for (let n = 0; n < 20; n++) {
    const reply = await ask(gate, "/api/orders", { method: "OPTIONS", headers: preflight });
    assert.equal(reply.status, 204);
    assert.equal(reply.headers["x-edge-limiter"], "none");
    assert.equal(reply.headers["access-control-allow-origin"], "https://app.omnitrade.example");
  }
  const plain = await ask(gate, "/api/orders", { method: "OPTIONS", headers: client });
  assert.equal(rateLimit(plain).ten.r, 9);
});
