/** Registered API keys: only these count as keys, and their plan sets their quota. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { commandLine } from "../../scripts/lib/servers.mjs";
import { ask, cacheStatus, costOf, limiter, newClient, quotaExceeded, rateLimit, setUp, until } from "./kit.mjs";

const perClient = "/__origin/status/201";
const perKey = "/__origin/status/202";
const leased = "/__origin/status/203";
const both = "/__origin/status/206";
const perIp = "/__origin/status/207";
const book = "/api/v1/market-data/orderbook";

const plans = { pro: 1_000, basic: 200 };
const setup = await setUp({
  isolates: 2,
  edge: {
    client: { keys: "registered" },
    limits: {
      client: { by: "client", window: "10m", quota: 5, keyed_quota: 50, plans },
      key: { by: "api-key", window: "10m", quota: 20, plans },
      leased: { by: "client", window: "10m", quota: 5, plans: { pro: 100_000 }, strategy: "lease" },
      ip: { by: "ip", window: "10m", quota: 1_000 },
    },
    routes: [
      { path: perClient, limits: ["client"] },
      { path: perKey, limits: ["key"] },
      { path: leased, limits: ["leased"] },
      { path: both, limits: ["client", "leased", "ip"] },
      { path: perIp, limits: ["ip"] },
      { path: book, limits: ["client"], cache: { ttl: "10m", query: ["symbol"] } },
    ],
  },
});
const { gate, rest, store } = setup;
const [first, second] = gate.isolates;

for (const isolate of gate.isolates) await ask(isolate, perIp, { headers: newClient() });

/**
 * Runs `omnitrade-edge keys …` on the gate's store.
 * @param {string[]} args
 * @param {string} [stdin]
 */
async function keys(args, stdin) {
  const env = { ...process.env, UPSTASH_REDIS_REST_URL: rest.url, UPSTASH_REDIS_REST_TOKEN: rest.token };
  const run = promisify(execFile)(commandLine, ["keys", ...args, "--prefix", "ot"], { env });
  run.child.stdin?.end(stdin);
  const { stdout, stderr } = await run;
  return { key: stdout.trim(), id: stderr.match(/ ([0-9a-f]{8,}):/)?.[1] ?? "" };
}

/** @param {string[]} args */
const newKey = (...args) => keys(["add", ...args]);

/** @param {string} [key] */
const from = (key) => ({ ...newClient(), ...(key === undefined ? {} : { "x-api-key": key }) });

for (const [args, quota] of /** @type {const} */ ([
  [["--plan", "pro"], 1_000],
  [["--plan", "basic"], 200],
  [["--plan", "unknown-plan"], 50],
  [[], 50],
])) {
  test(`a registered key has the quota of its plan: ${args.join(" ") || "none"}`, async () => {
    const { key } = await newKey(...args);
    const reply = await ask(first, perClient, { headers: from(key) });
    assert.equal(reply.status, 201);
    assert.deepEqual({ ...rateLimit(reply).client, t: 0 }, { q: quota, w: 600, r: quota - 1, t: 0 });
    assert.equal(limiter(reply), "redis");
    // The key alone identifies the client, whatever its address.
    assert.equal(rateLimit(await ask(second, perClient, { headers: from(key) })).client.r, quota - 2);
  });
}

test("a key that nobody registered counts as none: its address counts", async () => {
  const client = newClient();
  for (let n = 4; n >= 0; n--) {
    const headers = n % 2 ? client : { ...client, "x-api-key": `made-up-${n}` };
    const reply = await ask(n % 2 ? first : second, perClient, { headers });
    assert.deepEqual({ q: rateLimit(reply).client.q, r: rateLimit(reply).client.r }, { q: 5, r: n });
  }
  for (const isolate of gate.isolates) {
    for (const key of ["another", "yet-another"]) {
      quotaExceeded(await ask(isolate, perClient, { headers: { ...client, "x-api-key": key } }));
    }
  }
  const { key } = await newKey("--plan", "pro");
  const reply = await ask(first, perClient, { headers: { ...client, "x-api-key": key } });
  assert.equal(reply.status, 201, "a registered one from there goes on");
});

test("a limit by key does not apply to keys that nobody registered", async () => {
  const reply = await ask(first, perKey, { headers: from("made-up") });
  assert.equal(reply.status, 202);
  assert.equal(limiter(reply), "none");
  assert.equal(reply.headers["ratelimit-policy"], undefined);
  const { key } = await newKey("--plan", "basic");
  assert.equal(rateLimit(await ask(first, perKey, { headers: from(key) })).key.r, 199);
});

test("what anybody wrote as a record and is none registers nothing", async () => {
  const { key, id } = await newKey("--plan", "pro");
  const record = (await store.keys()).find((name) => name.startsWith(`ot:k:${id}`)) ?? assert.fail();
  for (const text of ["", "2 pro", "1 pro extra", "pro", "1 ", "\u0000"]) {
    await store.run("SET", record, text);
    const reply = await ask(first, perClient, { headers: from(key) });
    assert.equal(rateLimit(reply).client.q, 5, JSON.stringify(text));
  }
});

test("the record comes with the limits: one call, and no command more", async () => {
  const { key } = await newKey("--plan", "pro");
  const check = { evalsha: 1, mget: 1, calls: 1 };
  for (const headers of [from(key), from("made-up"), from()]) {
    for (const isolate of gate.isolates) {
      const cost = await costOf(setup, () => ask(isolate, perClient, { headers }));
      assert.deepEqual(cost, { ...check, set: 1 });
    }
  }
  const three = await costOf(setup, () => ask(second, both, { headers: from(key) }));
  assert.deepEqual(three, { ...check, set: 3 });
  await ask(first, `${book}?symbol=BTCUSDT`, { headers: from(key) });
  await until(async () => (await store.keys()).some((name) => name.startsWith("ot:c:")));
  const cached = await costOf(setup, async () => {
    const reply = await ask(second, `${book}?symbol=BTCUSDT`, { headers: from(key) });
    assert.equal(cacheStatus(reply).detail, "redis");
    assert.equal(rateLimit(reply).client.q, 1_000);
  });
  assert.deepEqual(cached, { ...check, set: 1 });
});

test("a key that is revoked counts as none at once where the store is asked", async () => {
  const { key, id } = await newKey("--plan", "pro");
  const headers = from(key);
  for (const isolate of gate.isolates)
    assert.equal(rateLimit(await ask(isolate, perClient, { headers })).client.q, 1_000);
  await keys(["revoke", id]);
  for (const [n, isolate] of gate.isolates.entries()) {
    const reply = await ask(isolate, perClient, { headers });
    assert.deepEqual({ q: rateLimit(reply).client.q, r: rateLimit(reply).client.r }, { q: 5, r: 4 - n });
  }
});

test("a key that is registered, or gets another plan, has it at once", async () => {
  const key = "a-key-of-my-own-making";
  const headers = from(key);
  assert.equal(rateLimit(await ask(first, perClient, { headers })).client.q, 5);
  for (const [plan, quota] of Object.entries(plans)) {
    await keys(["add", "--plan", plan, "--key-stdin"], `${key}\n`);
    for (const isolate of gate.isolates) {
      assert.equal(rateLimit(await ask(isolate, perClient, { headers })).client.q, quota);
    }
  }
});

test("a revoked key's leased permits end within ten seconds", async () => {
  const { key, id } = await newKey("--plan", "pro");
  const headers = from(key);
  for (let n = 0; n < 50; n++) await ask(first, leased, { headers });
  await until(async () => limiter(await ask(first, leased, { headers })) === "lease", { every: 1 });
  await keys(["revoke", id]);
  const revoked = Date.now();
  const last = await until(
    async () => {
      const reply = await ask(first, leased, { headers });
      if (rateLimit(reply).leased.q === 5) return reply;
      assert.ok(reply.sentAt <= revoked + 10_000, `${reply.sentAt - revoked} ms after`);
    },
    { every: 50 },
  );
  assert.equal(limiter(last), "redis");
});

test("while the store fails keys stand as last known, unknown ones as none", async () => {
  const { key } = await newKey("--plan", "pro");
  const [known, unknown] = [from(key), from("never-seen")];
  await ask(first, perClient, { headers: known });
  setup.tap.fault = "reset";
  try {
    for (let n = 0; n < 100; n++) {
      const reply = await ask(first, perClient, { headers: known });
      assert.equal(reply.status, 201);
      assert.equal(rateLimit(reply).client.q, 1_000);
    }
    assert.equal(rateLimit(await ask(first, perClient, { headers: unknown })).client.q, 5);
  } finally {
    setup.tap.fault = null;
  }
});

test("no key stands in the store", async () => {
  const { key } = await newKey("--plan", "pro", "--name", "Acme");
  await ask(first, perClient, { headers: from(key) });
  for (const name of await store.keys()) {
    const type = await store.run("TYPE", name);
    const value = type === "hash" ? await store.run("HGETALL", name) : await store.run("GET", name);
    assert.ok(!`${name} ${value}`.includes(key), name);
  }
});
