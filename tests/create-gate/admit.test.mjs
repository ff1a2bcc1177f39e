/** `admit`: the limits of a request that the program answers itself, and what the gate counts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rateLimitHeaders } from "../support/package.mjs";
import { edgeError, gateBeforeCounter, request } from "./kit.mjs";

/** @type {Partial<import("./kit.mjs").GateConfig>} */
const CONFIG = {
  redis: { timeout: "10s" },
  limits: {
    ip: { by: "ip", window: "1m", quota: 3 },
    all: { by: "global", window: "10s", quota: 2, mode: "shadow" },
    closed: { by: "ip", window: "1m", quota: 3, on_failure: "closed" },
    hard: { by: "ip", window: "1m", quota: 1, penalty: { after: 2, hold: "5m", max: "10m" } },
  },
  default_limits: ["ip", "all"],
  routes: [
    { path: "/cached", limits: ["ip"], cache: { ttl: "1m" }, origin_quota: { limit: 1, window: "1m" } },
    { path: "/closed", limits: ["closed"] },
    { path: "/hard", limits: ["hard"] },
    { path: "/free", limits: [] },
  ],
};

test("an admitted request is the program's to answer", async () => {
  const { gate, requests } = gateBeforeCounter(CONFIG);
  const before = Date.now();
  const { response, headers, results } = await gate.admit(request("/cached"));
  assert.equal(response, undefined);
  assert.match(headers["ratelimit-policy"], /^"ip";q=3;w=60$/);
  assert.match(headers.ratelimit, /^"ip";r=\d;t=\d+$/);
  assert.equal(headers["x-edge-limiter"], "local");
  const [{ pending, reset, ...told }] = results;
  assert.deepEqual(told, {
    ...{ success: true, limit: 3, remaining: told.remaining, policy: '"ip";q=3;w=60' },
    ...{ retryAfter: 0, source: "local" },
  });
  assert.ok(told.remaining < 3 && reset >= before && reset <= before + 61_000, `${reset}`);
  assert.equal(await pending, undefined);
  assert.equal(requests.length, 0);
  assert.deepEqual(Object.keys(rateLimitHeaders(results)).length > 0, true);
});

test("a refused request gets the answer that the gate would give", async () => {
  const { gate, requests } = gateBeforeCounter(CONFIG);
  let admitted = await gate.admit(request("/other"));
  for (let n = 0; n < 5 && !admitted.response; n++) admitted = await gate.admit(request("/other"));
  const { response, headers, results } = admitted;
  assert.ok(response instanceof Response);
  assert.deepEqual([response.status, response.headers.get("content-type")], [429, "application/problem+json"]);
  const body = /** @type {any} */ (await response.json());
  assert.deepEqual([body.code, body["violated-policies"]], ["quota_exceeded", ["ip"]]);
  for (const [name, value] of Object.entries(headers)) assert.equal(response.headers.get(name), value);
  const [ip, all] = results;
  assert.deepEqual([ip.success, ip.remaining, all.success, all.shadowed], [false, 0, true, true]);
  assert.equal(response.headers.get("retry-after"), String(Math.ceil(ip.retryAfter / 1_000)));
  // It counts as any other request does.
  assert.equal((await gate.fetch(request("/other"))).status, 429);
  assert.equal(requests.length, 0);
});

test("limits that do not apply are no results", async () => {
  const { gate } = gateBeforeCounter(CONFIG);
  const { response, headers, results } = await gate.admit(request("/free"));
  assert.deepEqual([response, headers, results], [undefined, { "x-edge-limiter": "none" }, []]);
  const long = await gate.admit(request(`/${"x".repeat(17_000)}`));
  assert.deepEqual([long.response?.status, long.results], [414, []]);
});

test("the gate's own pages are the program's paths here", async () => {
  const { gate } = gateBeforeCounter(CONFIG, { adminToken: "t0ken" });
  assert.equal((await gate.admit(request("/__edge/health"))).response, undefined);
  const purge = await gate.fetch(request("/__edge/purge", { method: "POST", body: '{"tags":["a"]}' }));
  assert.equal(purge.status, 401);
  const headers = { authorization: "Bearer t0ken" };
  const allowed = await gate.fetch(request("/__edge/purge", { method: "POST", body: '{"tags":["a"]}', headers }));
  assert.equal(allowed.status, 200);
});

test("a client that goes on is held off, and the results say so", async () => {
  const { gate } = gateBeforeCounter(CONFIG);
  const reasons = [];
  for (let n = 0; n < 5; n++) {
    const [result] = (await gate.admit(request("/hard"))).results;
    reasons.push(result.success ? "admitted" : (result.reason ?? "quota"));
  }
  assert.deepEqual(reasons.at(0), "admitted");
  assert.deepEqual(reasons.at(-1), "denyList");
  const { response, results } = await gate.admit(request("/hard"));
  assert.ok(response);
  assert.equal(/** @type {any} */ (await response.json()).code, "abnormal_usage");
  assert.ok(results[0].retryAfter > 200_000, `${results[0].retryAfter}`);
});

test("while the store fails, the results say that it does", async () => {
  const fails = async () => Promise.reject(edgeError("timeout", true, "late"));
  const redis = { command: fails, evaluate: fails };
  const { gate } = gateBeforeCounter(CONFIG, { redis, onError: () => {} });
  const [local] = (await gate.admit(request("/other"))).results;
  assert.deepEqual([local.success, local.source, local.reason], [true, "local", "timeout"]);
  const closed = await gate.admit(request("/closed"));
  assert.equal(closed.response?.status, 503);
  assert.equal(closed.results[0].success, false);
});

test("metrics are what Prometheus reads, and count what has happened", async () => {
  const { gate } = gateBeforeCounter(CONFIG);
  for (const path of ["/cached", "/cached", "/closed", "/free"]) await (await gate.fetch(request(path))).text();
  await gate.admit(request("/free"));
  for (let n = 0; n < 3; n++) await gate.admit(request("/hard"));
  const text = gate.metrics();
  /** @type {Map<string, string>} */
  const types = new Map();
  /** @type {Record<string, number>} */
  const values = {};
  for (const line of text.trimEnd().split("\n")) {
    const [, kind, name, rest] = line.match(/^# (HELP|TYPE) ([a-z_0-9]+) (.+)$/) ?? [];
    if (kind === "TYPE") types.set(name, rest);
    if (kind) continue;
    const [, series, value] =
      line.match(/^([a-z_0-9]+(?:\{[a-z_]+="[^"]*"(?:,[a-z_]+="[^"]*")*\})?) (-?[\d.]+)$/) ?? [];
    assert.ok(series, `not a line of a metric: ${line}`);
    assert.ok(types.has(series.replace(/(_bucket|_sum|_count)?(\{.*|$)/, "")), `no type before ${line}`);
    values[series] = Number(value);
  }
  const expected = {
    'edge_cache_requests_total{route="/cached",result="miss"}': 1,
    'edge_cache_requests_total{route="/cached",result="hit",tier="l1"}': 1,
    edge_breaker_open: 0,
    edge_restarts_total: 0,
  };
  for (const [series, value] of Object.entries(expected)) assert.equal(values[series], value, `${series} in\n${text}`);
  const sum = (/** @type {string} */ outcome) =>
    Object.entries(values).reduce(
      (all, [series, value]) => all + (series.includes(`outcome="${outcome}"`) ? value : 0),
      0,
    );
  assert.deepEqual([sum("served"), sum("refused") + sum("held")], [6, 2], text);
});
