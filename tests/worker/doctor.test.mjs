/** `GET /__edge/doctor`: how the store is seen from the edge, for `omnitrade-edge doctor`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, test } from "node:test";
import { ask, costOf, problem, startGateBefore, surroundings } from "./kit.mjs";

const token = "t0ken-of-the-admin";
const around = await surroundings();
const { origin, tap } = around;
const edge = {
  origin: origin.url,
  redis: { timeout: "2s" },
  limits: { ip: { by: "ip", window: "60s", quota: 5 } },
  default_limits: ["ip"],
};
const gate = await startGateBefore(around, { edge, vars: { EDGE_ADMIN_TOKEN: token } });
afterEach(() => {
  tap.fault = null;
});

/**
 * @param {{ url: string }} isolate
 * @param {{ method?: string, authorization?: string }} [options]
 */
function look(isolate, { method, authorization = `Bearer ${token}` } = {}) {
  return ask(isolate, "/__edge/doctor", { method, headers: authorization ? { authorization } : {} });
}

/** What the page says. @param {{ url: string }} isolate */
async function seen(isolate) {
  const reply = await look(isolate);
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.headers["content-type"], "application/json");
  assert.equal(reply.headers["cache-control"], "no-store");
  assert.equal(reply.headers["ratelimit-policy"], undefined);
  return JSON.parse(reply.text);
}

/**
 * JSON without white space, with the fields of each table sorted by name.
 * @param {any} value
 * @returns {string}
 */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const fields = Object.keys(value).toSorted();
  return `{${fields.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

test("only the token opens the page, which is not there without one", async () => {
  for (const authorization of ["", "Bearer", "Bearer wrong", `Basic ${token}`]) {
    problem(await look(gate, { authorization }), 401);
  }
  const reply = await look(gate, { method: "POST" });
  problem(reply, 405);
  assert.equal(reply.headers.allow, "GET");
  const open = await startGateBefore(around, { edge });
  problem(await look(open), 404);
});

test("it tells of a few calls, the clock, the breaker and what runs", async () => {
  const { version, config, breaker, pings, clock_offset_ms, ...more } = await seen(gate);
  assert.deepEqual(more, {});
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.match(config, /^[0-9a-f]{64}$/);
  assert.equal(breaker, "closed");
  assert.equal(pings.length, 6);
  for (const ping of pings) {
    assert.deepEqual(Object.keys(ping), ["ms"]);
    assert.ok(Number.isInteger(ping.ms) && ping.ms >= 0, JSON.stringify(ping));
  }
  assert.ok(Math.abs(clock_offset_ms) < 1_000, `${clock_offset_ms}`);
  assert.deepEqual(await costOf(around, () => seen(gate)), { time: 1, calls: 7 }, "and six PINGs");
});

test("a store that fails is told of, and does not count as failed", async () => {
  tap.fault = 500;
  const { pings, clock_offset_ms, breaker } = await seen(gate);
  // A store that hangs takes its time for each call.
  assert.deepEqual(pings, Array(2).fill({ error: "server" }));
  assert.equal(clock_offset_ms, null);
  assert.equal(breaker, "closed");
  tap.fault = null;
  assert.equal((await ask(gate, "/any")).headers["x-edge-limiter"], "redis");
});

test("a gate without a store says so", async () => {
  const alone = await startGateBefore({ origin }, { edge, vars: { EDGE_ADMIN_TOKEN: token } });
  const { pings, breaker, clock_offset_ms } = await seen(alone);
  assert.deepEqual([pings, breaker, clock_offset_ms], [[], "none", null]);
});

test("the digest is that of the configuration as it was given", async () => {
  const digest = (/** @type {unknown} */ value) => createHash("sha256").update(canonical(value)).digest("hex");
  assert.equal((await seen(gate)).config, digest(edge));
  const other = { ...edge, limits: { ip: { ...edge.limits.ip, quota: 6 } } };
  const vars = { EDGE_ADMIN_TOKEN: token, EDGE_ORIGIN: "https://another.example" };
  const { config } = await seen(await startGateBefore(around, { edge: other, vars }));
  assert.equal(config, digest({ ...other, origin: "https://another.example" }));
});
