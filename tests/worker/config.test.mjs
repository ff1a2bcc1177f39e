/** A bad configuration: clients learn that there is one, and the log says all that is wrong. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startGate } from "../support/gate.mjs";
import { freePort } from "../support/servers.mjs";
import { ask, limiter, problem, rateLimit, startSampleOrigin, startStore, until } from "./kit.mjs";

const origin = await startSampleOrigin();

const store = { UPSTASH_REDIS_REST_URL: "https://secret-store.example", UPSTASH_REDIS_REST_TOKEN: "secret-token" };
const limits = { ten: { by: "ip", window: "60s", quota: 10 } };
const right = { origin: origin.url, default_limits: ["ten"], limits };

/**
 * Asks a gate with these bindings, and reads its log.
 * @param {import("node:test").TestContext} t
 * @param {Parameters<typeof startGate>[0]} bindings
 */
async function gateWith(t, bindings) {
  const gate = await startGate(bindings);
  t.after(() => gate.stop());
  return gate;
}

/**
 * Checks that a gate with these bindings refuses to work, and returns the lines of its log.
 * @param {import("node:test").TestContext} t
 * @param {Parameters<typeof startGate>[0]} bindings
 */
async function refused(t, bindings) {
  const gate = await gateWith(t, bindings);
  for (const [path, method] of [
    ["/", "GET"],
    ["/__origin/echo", "POST"],
    ["/__edge/health", "GET"],
    ["/%zz", "GET"],
  ]) {
    const reply = await ask(gate, path, { method });
    const body = problem(reply, 500);
    assert.deepEqual(Object.keys(body).sort(), ["code", "status", "title", "type"]);
    assert.ok(!/limits|origin|EDGE|UPSTASH|window|secret/i.test(reply.text), reply.text);
    assert.match(String(reply.headers["cache-control"]), /no-store/);
  }
  const lines = await until(() => {
    const lines = gate.logs().filter((line) => line.includes("configuration: "));
    return lines.length > 0 ? lines.map((line) => line.replace(/^.*configuration: /, "")) : undefined;
  });
  assert.ok(!gate.logs().join("\n").includes("secret-"), "no secret in the log");
  return lines;
}

test("all that is wrong is in the log, with its path and what was expected", async (t) => {
  const lines = await refused(t, {
    edge: {
      default_limits: ["nobody"],
      client: { ipv6_prefix: 129 },
      redis: { timeuot: "1s" },
      limits: { "per-client": { by: "client", window: "60", quota: 0 } },
      routes: [{ path: "no-slash", cache: { ttl: 5 } }],
    },
  });
  const expected = [
    "origin: expected an address ",
    "client.ipv6_prefix: expected a whole number from 1 to 128, found 129",
    "redis.timeuot: ",
    'limits.per-client.window: expected a duration such as "60s", found "60"',
    "limits.per-client.quota: expected ",
    "routes[0].path: expected a path such as ",
    "routes[0].cache.ttl: expected a duration",
    "default_limits[0]: expected the name of a limit",
  ];
  for (const start of expected) {
    assert.ok(
      lines.some((line) => line.startsWith(start)),
      `${start}\n${lines.join("\n")}`,
    );
  }
  assert.equal(lines.length, expected.length, lines.join("\n"));
});

test("it is said once, and not for every request", async (t) => {
  const gate = await gateWith(t, { edge: { origin: "nonsense" } });
  for (let n = 0; n < 5; n++) problem(await ask(gate, "/"), 500);
  await until(() => gate.logs().length > 0);
  assert.equal(gate.logs().filter((line) => line.includes("origin: expected")).length, 1, gate.logs().join("\n"));
});

test("no EDGE", async (t) => {
  assert.match((await refused(t, {})).join(), /^EDGE: expected .* found nothing$/);
});

for (const [name, edge] of /** @type {[string, unknown][]} */ ([
  ["text that is no JSON", "origin = 'x'"],
  ["an empty text", ""],
  ["a list", []],
  ["a number", 7],
  ["true", true],
  ["a text in JSON", '"https://api.example.com"'],
])) {
  test(`EDGE is ${name}`, async (t) => {
    const lines = await refused(t, { edge });
    assert.match(lines.join("\n"), /expected/);
  });
}

test("EDGE may be JSON as text", async (t) => {
  const gate = await gateWith(t, { edge: JSON.stringify(right) });
  const reply = await ask(gate, "/__origin/echo");
  assert.equal(reply.status, 200);
  assert.equal(rateLimit(reply).ten.q, 10);
});

for (const [missing, present] of [
  ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"],
  ["UPSTASH_REDIS_REST_TOKEN", "UPSTASH_REDIS_REST_URL"],
]) {
  test(`${missing} is missing, and ${present} is not`, async (t) => {
    const vars = Object.fromEntries(Object.entries(store).filter(([name]) => name === present));
    for (const given of [vars, { ...vars, [missing]: "" }]) {
      const lines = await refused(t, { edge: right, vars: given });
      assert.deepEqual(lines, [`${missing}: expected beside ${present}, found nothing`]);
    }
  });
}

for (const [name, vars] of /** @type {[string, Record<string, string>][]} */ ([
  ["UPSTASH_REDIS_REST_URL", { ...store, UPSTASH_REDIS_REST_URL: "redis://secret-store.example:6379" }],
  ["UPSTASH_REDIS_REST_URL", { ...store, UPSTASH_REDIS_REST_URL: "secret-store" }],
  ["UPSTASH_REDIS_REST_TOKEN", { ...store, UPSTASH_REDIS_REST_TOKEN: "secret-token with a space" }],
])) {
  test(`${name} cannot be used: ${Object.values(vars).join(", ")}`, async (t) => {
    const lines = await refused(t, { edge: right, vars });
    assert.equal(lines.length, 1);
    assert.match(lines[0], new RegExp(`^${name}: `));
    assert.match(lines[0], /expected/);
  });
}

test("white space around the store's variables is left off, with one line", async (t) => {
  const { rest, store } = await startStore({ scope: t });
  const [url, token] = [`${rest.url}\n`, ` \t${store.token}\r\n`];
  for (const [vars, names] of /** @type {[Record<string, string>, string][]} */ ([
    [{ UPSTASH_REDIS_REST_URL: rest.url, UPSTASH_REDIS_REST_TOKEN: token }, "UPSTASH_REDIS_REST_TOKEN"],
    [
      { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token },
      "UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN",
    ],
  ])) {
    const gate = await gateWith(t, { edge: { ...right, redis: { timeout: "10s" } }, vars });
    for (let n = 0; n < 3; n++) assert.equal(limiter(await ask(gate, "/__origin/echo")), "redis");
    const lines = gate.logs().filter((line) => line !== "");
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.ok(lines[0].endsWith(`configuration: ${names}: the white space around the value is left off`), lines[0]);
    assert.ok(!lines[0].includes(store.token.trim()));
  }
  const blank = { UPSTASH_REDIS_REST_URL: " \n", UPSTASH_REDIS_REST_TOKEN: "secret-token" };
  const lines = await refused(t, { edge: right, vars: blank });
  assert.ok(lines.includes("UPSTASH_REDIS_REST_URL: expected beside UPSTASH_REDIS_REST_TOKEN, found nothing"));
});

test("what is wrong with the store is said beside what is wrong with EDGE", async (t) => {
  const vars = { UPSTASH_REDIS_REST_URL: store.UPSTASH_REDIS_REST_URL };
  const lines = await refused(t, { edge: { ...right, default_limits: ["nobody"] }, vars });
  assert.equal(lines.length, 2, lines.join("\n"));
  assert.match(lines.join("\n"), /default_limits\[0\]: [\s\S]*UPSTASH_REDIS_REST_TOKEN: /);
});

test("EDGE_ORIGIN takes the place of the origin", async (t) => {
  const edge = { ...right, origin: "https://nowhere.invalid" };
  for (const EDGE_ORIGIN of [origin.url, ` ${origin.url}/ `]) {
    for (const given of [edge, { ...edge, origin: undefined }]) {
      const gate = await gateWith(t, { edge: given, vars: { EDGE_ORIGIN } });
      assert.equal((await ask(gate, "/__origin/status/201")).status, 201);
    }
  }
  const empty = await gateWith(t, { edge: right, vars: { EDGE_ORIGIN: "" } });
  assert.equal((await ask(empty, "/__origin/status/201")).status, 201);
});

test("EDGE_ORIGIN is named if it is wrong, and is no configuration alone", async (t) => {
  const wrong = await refused(t, { edge: { ...right, default_limits: ["nobody"] }, vars: { EDGE_ORIGIN: "nowhere" } });
  assert.match(wrong[0], /^EDGE_ORIGIN: expected an address such as/);
  assert.match(wrong[1], /^default_limits\[0\]: /);
  const alone = await refused(t, { vars: { EDGE_ORIGIN: origin.url } });
  assert.match(alone[0], /^EDGE: expected the configuration/);
});

test("a right configuration says nothing", async (t) => {
  const url = `http://127.0.0.1:${await freePort()}`;
  for (const vars of [undefined, { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: "t" }]) {
    const gate = await gateWith(t, { edge: right, vars });
    assert.equal((await ask(gate, "/__edge/health")).status, 200);
    assert.deepEqual(gate.logs(), []);
  }
});

test("the configuration that is shipped is a right one", async (t) => {
  const { readWranglerConfig } = await import("../../scripts/lib/wrangler.mjs");
  const shipped = /** @type {Record<string, unknown>} */ (readWranglerConfig().vars.EDGE);
  const gate = await gateWith(t, { edge: { ...shipped, origin: origin.url } });
  const path = "/api/v1/market-data/orderbook?symbol=BTCUSDT";
  const first = await ask(gate, path);
  assert.equal(first.status, 200);
  assert.deepEqual(Object.keys(rateLimit(first)), ["per-user", "per-ip"]);
  await until(async () => String((await ask(gate, path)).headers["cache-status"]).startsWith("omnitrade-edge; hit"));
  for (const page of ["https://app.omnitrade.example", "http://localhost:3000"]) {
    const reply = await ask(gate, path, { headers: { origin: page } });
    assert.equal(reply.headers["access-control-allow-origin"], page, "an answer is for the page that asked");
  }
  assert.deepEqual(gate.logs(), []);
});
