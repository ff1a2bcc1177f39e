/** What is counted of random requests at once: it adds up, and tells of nobody. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, HOST, since, startGateBefore, surroundings, until } from "./kit.mjs";

const TOKEN = "an-admin-token-0123";
const around = await surroundings();
const book = "/api/v1/market-data/orderbook";
const status = (/** @type {number} */ code) => `/__origin/status/${code}`;

const edge = {
  redis: { timeout: "2s" },
  limits: {
    few: { by: "ip", window: "10s", quota: 15 },
    shadow: { by: "ip", window: "60s", quota: 5, mode: "shadow" },
    ahead: { by: "ip", window: "60s", quota: 1_000, strategy: "lease" },
    held: { by: "ip", window: "10s", quota: 5, penalty: { after: 3, hold: "10s" } },
  },
  routes: [
    { path: status(201), limits: ["few", "shadow"] },
    { path: status(203), limits: ["ahead"] },
    { path: status(404), limits: ["few", "ahead"], refund_on: [404], cost: 2 },
    { path: status(202), limits: ["held"] },
    { path: status(200), limits: ["ahead"], origin_quota: { limit: 5, window: "10s", strategy: "lease" }, cache: {} },
    {
      path: book,
      limits: ["ahead"],
      cache: { ttl: "1s", stale_while_revalidate: "2s", query: ["symbol"], unknown_query: "refuse" },
    },
  ],
};

const paths = [
  ...[201, 203, 404, 202, 200, 500].map(status),
  ...["symbol=A", "symbol=B", "symbol=B", "what=1"].map((query) => `${book}?${query}`),
  ...["/__origin/delay/50", "/nowhere", "/%zz"],
];

/** @type {Record<string, string>[]} */
const fields = [
  {},
  {},
  {},
  { range: "bytes=0-3" },
  { "if-none-match": "*" },
  { "cache-control": "no-cache" },
  { "cache-control": "only-if-cached" },
  { "x-api-key": "s3cret-key-0123456" },
];

/** A request that is given up after some milliseconds. */
async function giveUp(/** @type {string} */ url, /** @type {string} */ path, /** @type {number} */ after) {
  const { hostname, port } = new URL(url);
  const sent = request({ hostname, port, path, headers: { host: HOST } });
  sent.on("error", () => {});
  sent.end();
  await Promise.race([once(sent, "response").catch(() => {}), sleep(after)]);
  sent.destroy();
}

for (const fails of [false, true]) {
  const store = fails ? "a store that fails now and then" : "a store";
  test(`random requests are counted, with ${store}`, { timeout: 90_000 }, async (t) => {
    let state = 20_261_127 + Number(fails);
    const random = (/** @type {number} */ below) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return (state >> 8) % below;
    };
    const gate = await startGateBefore(around, { edge, vars: { EDGE_ADMIN_TOKEN: TOKEN } }, t);
    const admin = { authorization: `Bearer ${TOKEN}` };
    const scrape = async () => (await ask(gate, "/__edge/metrics", { headers: admin })).text;
    const total = (/** @type {string} */ text, /** @type {string} */ begin, with_ = "") =>
      text
        .split("\n")
        .filter((line) => line.startsWith(begin) && line.includes(with_))
        .reduce((all, line) => all + Number(line.slice(line.lastIndexOf(" "))), 0);
    const commands = async () => Object.values(since(before, await around.store.counts())).reduce((a, b) => a + b, 0);
    // The store does not know the script before its first call.
    await ask(gate, status(203), { headers: { "cf-connecting-ip": "203.0.113.99" } });
    const warm = await until(async () => (await around.store.counts()).evalsha > 0 && scrape());
    const counted = (/** @type {string} */ text) =>
      total(text, "edge_store_commands_total") - total(warm, "edge_store_commands_total");
    const before = await around.store.counts();
    let [sent, cached, abandoned] = [1, 0, 0];
    for (let round = 0; round < 30; round++) {
      const faults = /** @type {const} */ ([500, "nonsense", 401, "reset"]);
      around.tap.fault = fails && random(3) === 0 ? faults[random(faults.length)] : null;
      const all = Array.from({ length: 1 + random(20) }, async () => {
        const path = paths[random(paths.length)];
        if (fails && random(15) === 0) {
          abandoned++;
          return giveUp(gate.url, path, random(40));
        }
        const headers = { "cf-connecting-ip": `203.0.113.${random(3)}`, ...fields[random(fields.length)] };
        const reply = await ask(gate, path, { method: ["GET", "GET", "GET", "HEAD", "POST"][random(5)], headers });
        sent++;
        const said = reply.headers["cache-status"];
        if (said && !/detail=(refused|unknown-query|origin-quota)$/.test(String(said))) cached++;
      });
      await Promise.all(all);
      if (random(6) === 0) await sleep(random(1_500));
    }
    around.tap.fault = null;
    const between = (/** @type {number} */ number, /** @type {number} */ least) =>
      assert.ok(number >= least && number <= least + abandoned, `${number}: ${least}, ${abandoned} were given up`);
    const told = await until(async () => {
      const text = await scrape();
      return (fails || counted(text) === (await commands())) && text;
    });
    between(total(told, "edge_requests_total"), sent);
    between(total(told, "edge_cache_requests_total"), cached);
    // Of a call that failed nobody knows what it did: it counts as if it had begun. With a request
    // that is given up its call may be, too.
    assert.ok(counted(told) + 8 * abandoned >= (await commands()));
    const lent = (/** @type {string} */ state) => total(told, "edge_lease_permits_total", `state="${state}"`);
    assert.ok(lent("granted") > 0 && lent("granted") >= lent("spent") + lent("returned"), told);
    const stats = await ask(gate, "/__edge/stats", { headers: admin });
    const outcomes = JSON.parse(stats.text).hours.flatMap((/** @type {any} */ { outcomes }) => outcomes);
    assert.equal(
      outcomes.reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b),
      total(told, "edge_requests_total"),
    );
    const all = [told, stats.text, ...gate.logs()].join("\n");
    for (const secret of ["203.0.113", "s3cret", TOKEN, around.store.token, new URL(around.store.url).host]) {
      assert.ok(!all.includes(secret), secret);
    }
    // Some lines for each change, none for a request.
    assert.ok(gate.logs().length < (fails ? 40 : 1), gate.logs().join("\n"));
  });
}
