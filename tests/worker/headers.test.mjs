/** Which headers tell clients their limits, in the version that is configured. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ask,
  cacheStatus,
  limiter,
  newClient,
  quotaExceeded,
  retryAfter,
  secondsBetween,
  startGateBefore,
  surroundings,
  until,
  values,
} from "./kit.mjs";

const one = "/__origin/status/201";
const two = "/__origin/status/202";
const same = "/__origin/status/203";
const shadowed = "/__origin/status/206";
const none = "/__origin/status/207";
const made = "/__origin/headers";

const around = await surroundings();

/** @param {Record<string, any>} settings */
function gateWith(settings) {
  return startGateBefore(around, {
    edge: {
      ...settings,
      limits: {
        short: { by: "ip", window: "10m", quota: 3 },
        wide: { by: "ip", window: "1h", quota: 100 },
        alike: { by: "ip", window: "30m", quota: 3 },
        shadow: { by: "ip", window: "10m", quota: 1, mode: "shadow" },
      },
      routes: [
        { path: one, limits: ["short"] },
        { path: two, limits: ["wide", "short"] },
        { path: same, limits: ["short", "alike"] },
        { path: shadowed, limits: ["shadow", "wide"] },
        { path: none },
        { path: made, limits: ["wide"], cache: { ttl: "10m" } },
      ],
    },
  });
}

/**
 * All headers that tell a limit.
 * @param {import("./kit.mjs").Reply} reply
 */
function told({ headers }) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => /ratelimit/.test(name)));
}

/**
 * These headers without the bucket's name and the time of its reset, which is checked here.
 * @param {import("./kit.mjs").Reply} reply
 */
function withoutReset(reply) {
  // The window is an hour and is counted in thirtieths, of which the oldest counts whole.
  const late = secondsBetween(reply);
  const isTrue = (/** @type {number} */ seconds) => seconds >= 3_600 - late && seconds <= 3_721 + late;
  return JSON.stringify(told(reply))
    .replace(/pk=:[^:]+:/g, "pk")
    .replace(/(?<=;t=|reset=)\d+/g, (seconds) => (isTrue(Number(seconds)) ? "reset" : seconds))
    .replace(/\d{10}/g, (second) => (isTrue(Number(second) - reply.sentAt / 1_000) ? "reset" : second));
}

const [draft10, keyed, draft7, legacy, silent] = await Promise.all([
  gateWith({}),
  gateWith({ partition_key: true }),
  gateWith({ headers: "draft-7" }),
  gateWith({ headers: "legacy" }),
  gateWith({ headers: "none" }),
]);
const all = { draft10, keyed, draft7, legacy, silent };

test("draft-10: each limit by its name, whether or not it is enforced", async () => {
  const headers = newClient();
  const names = Object.keys(told(await ask(draft10, two, { headers }))).sort();
  assert.deepEqual(names, ["ratelimit", "ratelimit-policy"]);
  const reply = await ask(draft10, shadowed, { headers });
  assert.equal(reply.headers["ratelimit-policy"], '"shadow";q=1;w=600, "wide";q=100;w=3600');
  assert.match(String(reply.headers.ratelimit), /^"shadow";r=0;t=\d+, "wide";r=98;t=\d+$/);
});

test("partition_key: both headers name the bucket, one per client and limit", async () => {
  const client = newClient();
  const keysOf = async (/** @type {Record<string, string>} */ headers) => {
    const reply = await ask(keyed, two, { headers });
    const items = [
      ...`${reply.headers["ratelimit-policy"]}, ${reply.headers.ratelimit}`.matchAll(/"(\w+)";[^,]*;pk=:([\w+/]+=*):/g),
    ];
    assert.equal(items.length, 4, JSON.stringify(told(reply)));
    const of = (/** @type {string} */ limit) =>
      new Set(items.filter(([, name]) => name === limit).map(([, , pk]) => pk));
    for (const limit of ["wide", "short"]) assert.equal(of(limit).size, 1);
    return { wide: [...of("wide")][0], short: [...of("short")][0] };
  };
  const keys = await keysOf(client);
  assert.deepEqual(await keysOf(client), keys);
  assert.notEqual(keys.wide, keys.short);
  const another = await keysOf(newClient());
  assert.notEqual(another.wide, keys.wide);
  assert.ok(!JSON.stringify(keys).includes(Buffer.from(client["cf-connecting-ip"]).toString("base64").slice(0, 8)));
});

test("draft-7: one limit, the tightest, and all quotas without names", async () => {
  const headers = newClient();
  for (let left = 2; left >= 0; left--) {
    const reply = await ask(draft7, two, { headers });
    assert.equal(reply.headers["ratelimit-policy"], "100;w=3600, 3;w=600");
    assert.match(String(reply.headers.ratelimit), new RegExp(`^limit=3, remaining=${left}, reset=\\d+$`));
    assert.deepEqual(Object.keys(told(reply)).sort(), ["ratelimit", "ratelimit-policy"]);
  }
  const refused = await ask(draft7, two, { headers });
  assert.deepEqual(quotaExceeded(refused)["violated-policies"], ["short"]);
  const reset = String(refused.headers.ratelimit).match(/^limit=3, remaining=0, reset=(\d+)$/)?.[1];
  assert.equal(Number(reset), retryAfter(refused));
});

test("draft-7: no two policies with one quota, as its section 3.5 wants", async () => {
  const reply = await ask(draft7, same, { headers: newClient() });
  assert.match(String(reply.headers["ratelimit-policy"]), /^3;w=(600|1800)$/);
});

test("draft-7 and legacy do not tell of what is not enforced", async () => {
  const headers = newClient();
  const reply = await ask(draft7, shadowed, { headers });
  assert.equal(reply.headers["ratelimit-policy"], "100;w=3600");
  assert.match(String(reply.headers.ratelimit), /^limit=100, remaining=99, reset=\d+$/);
  assert.equal((await ask(legacy, shadowed, { headers })).headers["x-ratelimit-limit"], "100");
});

test("legacy: the tightest limit, with the reset in Unix seconds", async () => {
  const headers = newClient();
  for (let left = 2; left >= 0; left--) {
    const reply = await ask(legacy, two, { headers });
    assert.deepEqual(Object.keys(told(reply)).sort(), [
      "x-ratelimit-limit",
      "x-ratelimit-remaining",
      "x-ratelimit-reset",
    ]);
    assert.equal(reply.headers["x-ratelimit-limit"], "3");
    assert.equal(reply.headers["x-ratelimit-remaining"], `${left}`);
    const reset = Number(reply.headers["x-ratelimit-reset"]);
    assert.ok(reset > reply.sentAt / 1_000 && reset <= reply.receivedAt / 1_000 + 621, `${reset}`);
  }
  const refused = await ask(legacy, two, { headers });
  quotaExceeded(refused);
  assert.equal(refused.headers["x-ratelimit-remaining"], "0");
  const reset = Number(refused.headers["x-ratelimit-reset"]) * 1_000;
  const wait = retryAfter(refused) * 1_000;
  assert.ok(reset >= refused.sentAt + wait - 1_000 && reset <= refused.receivedAt + wait + 1_000);
});

test("none: nothing tells of limits, but refusals say when to come back", async () => {
  const headers = newClient();
  for (let n = 0; n < 3; n++) {
    const reply = await ask(silent, one, { headers });
    assert.equal(reply.status, 201);
    assert.deepEqual(told(reply), {});
    assert.equal(limiter(reply), "redis");
  }
  for (let n = 0; n < 2; n++) {
    const refused = await ask(silent, one, { headers });
    assert.deepEqual(quotaExceeded(refused)["violated-policies"], ["short"]);
    assert.ok(retryAfter(refused) > 0);
    assert.deepEqual(told(refused), {});
  }
});

for (const [name, gate] of Object.entries(all)) {
  test(`${name}: a route without limits says nothing of any`, async () => {
    const reply = await ask(gate, none, { headers: newClient() });
    assert.deepEqual(told(reply), {});
    assert.equal(limiter(reply), "none");
  });

  test(`${name}: what the cache keeps tells nobody of another's limits`, async () => {
    const [kept, other] = ["kept", "other"].map((body) => `${made}?__body=${name}-${body}`);
    const client = newClient();
    await ask(gate, two, { headers: client });
    const stored = await ask(gate, kept, { headers: client });
    const hit = await until(async () => {
      const reply = await ask(gate, kept, { headers: newClient() });
      return cacheStatus(reply).hit ? reply : undefined;
    });
    const miss = await ask(gate, other, { headers: newClient() });
    assert.equal(withoutReset(hit), withoutReset(miss), "both clients have as much");
    if (gate !== silent) assert.notEqual(withoutReset(hit), withoutReset(stored), "the first one has less");
  });
}

test("what the origin says of its limits does not stand beside the gate's", async () => {
  const path = `${made}?RateLimit=%22theirs%22%3Br%3D1%3Bt%3D1&RateLimit-Policy=%22theirs%22%3Bq%3D1%3Bw%3D1&__body=own`;
  for (let n = 0; n < 2; n++) {
    const reply = await ask(draft10, path, { headers: newClient() });
    assert.deepEqual(values(reply, "ratelimit-policy"), ['"wide";q=100;w=3600']);
    assert.match(values(reply, "ratelimit").join(), /^"wide";r=99;t=\d+$/);
  }
});
