/** What an isolate counts, and how it tells that: `/__edge/metrics`, `/__edge/stats`, the page. */
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { test } from "node:test";
import { ask, newClient, problem, since, startGateBefore, surroundings, until } from "./kit.mjs";

const TOKEN = "an-admin-token-0123";
const around = await surroundings();
const vars = { EDGE_ADMIN_TOKEN: TOKEN };
const admin = { authorization: `Bearer ${TOKEN}` };

const limited = "/__origin/status/201";
const shadowed = "/__origin/status/202";
const leased = "/__origin/status/203";
const broken = "/__origin/status/503";
const book = "/api/v1/market-data/orderbook";

const edge = {
  limits: {
    few: { by: "ip", window: "60s", quota: 33 },
    shadow: { by: "ip", window: "60s", quota: 5, mode: "shadow" },
    ahead: { by: "ip", window: "60s", quota: 1_000, strategy: "lease" },
  },
  routes: [
    { path: limited, limits: ["few"] },
    { path: shadowed, limits: ["shadow"] },
    { path: leased, limits: ["ahead"] },
    { path: book, cache: { ttl: "10m", query: ["symbol"] } },
  ],
};

/** @param {import("node:test").TestContext} t @param {Record<string, unknown>} [more] */
const gateWith = (t, more) => startGateBefore(around, { edge: { ...edge, ...more }, vars }, t);

/**
 * The samples of a scrape, by their series.
 * @param {{ url: string }} gate
 */
async function scrape(gate) {
  const reply = await ask(gate, "/__edge/metrics", { headers: admin });
  assert.equal(reply.status, 200);
  assert.equal(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  /** @type {Record<string, number>} */
  const samples = {};
  /** @type {Set<string>} */
  const typed = new Set();
  for (const line of reply.text.trimEnd().split("\n")) {
    const [, kind, name] = line.match(/^# (HELP|TYPE) (\S+) \S/) ?? [];
    if (kind === "TYPE") typed.add(name);
    if (kind) continue;
    const [, series, family, value] =
      line.match(/^(([a-z_0-9]+)(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})?) (-?[\d.]+)$/) ?? [];
    assert.ok(series, `not a sample: ${line}`);
    assert.ok(typed.has(family.replace(/_(bucket|sum|count)$/, "")) || typed.has(family), line);
    assert.ok(!(series in samples), `told twice: ${series}`);
    samples[series] = Number(value);
  }
  return samples;
}

/**
 * The sum of the samples that match.
 * @param {Record<string, number>} samples
 * @param {RegExp} series
 */
const sum = (samples, series) =>
  Object.entries(samples).reduce((total, [name, value]) => (series.test(name) ? total + value : total), 0);

/** @param {{ url: string }} gate @param {number} [from] */
async function stats(gate, from) {
  const query = from === undefined ? "" : `?since=${from}`;
  const reply = await ask(gate, `/__edge/stats${query}`, { headers: admin });
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.headers["cache-control"], "no-store");
  return JSON.parse(reply.text);
}

test("without a token there are no such pages, and without the right one 401", async (t) => {
  const closed = await startGateBefore(around, { edge }, t);
  for (const page of ["", "metrics", "stats"]) problem(await ask(closed, `/__edge/${page}`, { headers: admin }), 404);
  const gate = await gateWith(t);
  for (const page of ["metrics", "stats"]) {
    for (const authorization of [undefined, "Bearer wrong", TOKEN]) {
      const headers = /** @type {Record<string, string>} */ (authorization ? { authorization } : {});
      problem(await ask(gate, `/__edge/${page}`, { headers }), 401);
    }
    problem(await ask(gate, `/__edge/${page}`, { method: "POST", headers: admin }), 405);
  }
});

test("of forty requests seven are refused, and every page says so", async (t) => {
  const gate = await gateWith(t);
  const headers = newClient();
  const statuses = [];
  for (let n = 0; n < 40; n++) statuses.push((await ask(gate, limited, { headers })).status);
  assert.equal(statuses.filter((status) => status === 429).length, 7);
  const samples = await scrape(gate);
  assert.equal(samples[`edge_requests_total{route="${limited}",outcome="refused"}`], 7);
  assert.equal(samples[`edge_requests_total{route="${limited}",outcome="served"}`], 33);
  assert.equal(sum(samples, /^edge_limit_decisions_total\{limit="few",decision="refused"/), 7);
  assert.equal(samples['edge_limit_decisions_total{limit="few",decision="admitted",source="redis"}'], 33);
  assert.equal(samples['edge_limit_decisions_total{limit="few",decision="refused",source="redis"}'], 1);
  assert.equal(samples['edge_limit_decisions_total{limit="few",decision="refused",source="blocked"}'], 6);
  // More than 80 of 100: from the 27th of 33 on.
  assert.ok(samples['edge_limit_near_total{limit="few"}'] >= 7);
  assert.equal(samples[`edge_origin_responses_total{route="${limited}",class="2xx"}`], 33);
  assert.equal(samples[`edge_origin_duration_seconds_count{route="${limited}"}`], 33);
  assert.equal(samples['edge_store_calls_total{op="admit",outcome="ok"}'], 34);
  assert.equal(samples['edge_store_call_duration_seconds_count{op="admit"}'], 34);
  assert.ok("edge_build_info" in samples === false && sum(samples, /^edge_build_info\{version="/) === 1);
  const told = await stats(gate);
  assert.equal(told.limits.find((/** @type {any} */ limit) => limit.name === "few").refused, 7);
  for (const spans of [told.seconds, told.minutes, told.hours]) {
    const outcomes = spans.map((/** @type {any} */ span) => span.outcomes[told.words.outcomes.indexOf("refused")]);
    assert.equal(
      outcomes.reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b),
      7,
    );
  }
  const address = headers["cf-connecting-ip"];
  const digest = createHmac("sha256", TOKEN).update(address).digest().subarray(0, 12).toString("base64url");
  assert.deepEqual(told.refused, [{ limit: "few", digest, refused: 7 }]);
  assert.ok(!JSON.stringify(told).includes(address));
  assert.equal(told.store.state, "closed");
});

test("a limit in the shadow, and permits fetched ahead", async (t) => {
  const gate = await gateWith(t);
  const headers = newClient();
  for (let n = 0; n < 8; n++) await ask(gate, shadowed, { headers });
  const before = await scrape(gate);
  assert.equal(sum(before, /^edge_limit_decisions_total\{limit="shadow",decision="shadow_refused"/), 3);
  assert.equal(sum(before, /^edge_limit_decisions_total\{limit="shadow",decision="admitted"/), 5);
  const spent = async () => {
    for (let n = 0; n < 10; n++) await ask(gate, leased, { headers });
    const samples = await scrape(gate);
    return samples['edge_lease_permits_total{limit="ahead",state="spent"}'] > 0 && samples;
  };
  const samples = await until(spent);
  const state = (/** @type {string} */ name) => samples[`edge_lease_permits_total{limit="ahead",state="${name}"}`] ?? 0;
  assert.ok(state("granted") >= state("spent") + state("returned"), JSON.stringify(samples));
  const byLease = samples['edge_limit_decisions_total{limit="ahead",decision="admitted",source="lease"}'];
  assert.equal(state("spent"), byLease);
});

test("the commands that are counted are those that Redis has carried out", async (t) => {
  const gate = await gateWith(t, { cache: {} });
  await ask(gate, limited, { headers: newClient() });
  const counted = async () => sum(await scrape(gate), /^edge_store_commands_total/);
  const settle = () => new Promise((resolve) => setTimeout(resolve, 300));
  await settle();
  const [redis, own] = [await around.store.counts(), await counted()];
  const headers = newClient();
  for (let n = 0; n < 40; n++) await ask(gate, limited, { headers });
  for (let n = 0; n < 30; n++) await ask(gate, leased, { headers });
  for (const symbol of ["A", "B", "A", "C"]) await ask(gate, `${book}?symbol=${symbol}`);
  const body = JSON.stringify({ tags: ["one", "two"] });
  const purged = await ask(gate, "/__edge/purge", { method: "POST", headers: admin, body });
  assert.equal(purged.status, 200, purged.text);
  await settle();
  const spent = since(redis, await around.store.counts());
  const commands = Object.values(spent).reduce((total, number) => total + number, 0);
  assert.equal((await counted()) - own, commands, JSON.stringify(spent));
});

test("what the cache does is counted by result and tier", async (t) => {
  const gate = await gateWith(t);
  const at = `${book}?symbol=BTCUSDT`;
  for (let n = 0; n < 3; n++) await ask(gate, at);
  const other = await gateWith(t);
  await until(async () => (await around.store.keys()).some((key) => key.includes(":c:")));
  await ask(other, at);
  const samples = await scrape(gate);
  const series = (/** @type {string} */ rest) => `edge_cache_requests_total{route="${book}",${rest}}`;
  assert.equal(samples[series('result="miss"')], 1);
  assert.equal(samples[series('result="hit",tier="l1"')], 2);
  assert.ok(samples.edge_l1_bytes > 0);
  const seen = await scrape(other);
  assert.equal(seen[series('result="hit",tier="redis"')], 1);
});

test("an origin that fails, and a path that no route claims", async (t) => {
  const gate = await gateWith(t);
  await ask(gate, broken);
  const gone = await startGateBefore({ origin: { url: "http://127.0.0.1:9" }, store: around.store }, { edge, vars }, t);
  problem(await ask(gone, "/nowhere"), 502);
  assert.equal((await scrape(gate))['edge_origin_responses_total{route="default",class="5xx"}'], 1);
  const samples = await scrape(gone);
  assert.equal(samples['edge_origin_responses_total{route="default",class="failed"}'], 1);
  assert.equal(samples['edge_requests_total{route="default",outcome="error"}'], 1);
});

test("looking costs no command", async (t) => {
  const gate = await gateWith(t);
  await ask(gate, limited, { headers: newClient() });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const calls = around.tap.calls;
  for (let n = 0; n < 20; n++) {
    await scrape(gate);
    await stats(gate, n);
    assert.equal((await ask(gate, "/__edge/")).status, 200);
  }
  assert.equal(around.tap.calls, calls);
});

test("only what happened since then is told", async (t) => {
  const gate = await gateWith(t);
  await ask(gate, limited, { headers: newClient() });
  const { now } = await stats(gate);
  const later = await stats(gate, now + 60_000);
  assert.deepEqual([later.seconds, later.events], [[], []]);
  const odd = await ask(gate, "/__edge/stats?since=yesterday&x=%zz", { headers: admin });
  assert.ok([200, 400].includes(odd.status));
});

test("the page runs under its own policy, which names its script and style", async (t) => {
  const gate = await gateWith(t);
  const page = await ask(gate, "/__edge/");
  assert.equal(page.headers["content-type"], "text/html; charset=utf-8");
  const policy = String(page.headers["content-security-policy"]);
  for (const tag of ["script", "style"]) {
    const contents = [...page.text.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, "gs"))];
    assert.equal(contents.length, 1);
    const hash = createHash("sha256").update(contents[0][1]).digest("base64");
    assert.ok(policy.includes(`${tag}-src 'sha256-${hash}'`), policy);
  }
  assert.match(policy, /default-src 'none'/);
  problem(await ask(gate, "/__edge/", { method: "POST" }), 405);
});

test("Server-Timing is there if it is asked for, and not otherwise", async (t) => {
  const gate = await gateWith(t, { server_timing: true });
  const reply = await ask(gate, limited, { headers: newClient() });
  assert.match(String(reply.headers["server-timing"]), /^edge-store;dur=\d+, edge-origin;dur=\d+$/);
  const slow = await ask(gate, "/__origin/delay/200");
  const [, origin] = String(slow.headers["server-timing"]).match(/edge-origin;dur=(\d+)/) ?? [];
  assert.ok(slow.status !== 200 || Number(origin) >= 190, String(slow.headers["server-timing"]));
  const quiet = await gateWith(t);
  assert.equal((await ask(quiet, limited, { headers: newClient() })).headers["server-timing"], undefined);
});
