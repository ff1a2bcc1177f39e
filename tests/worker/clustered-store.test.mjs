/** A clustered Redis: without a hash tag the gate says what is wrong, and with one it works. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../support/servers.mjs";
import { ask, cacheStatus, limiter, newClient, rateLimit, startGateBefore, surroundings, until } from "./kit.mjs";

const book = "/api/v1/market-data/orderbook?symbol=BTCUSDT";

const around = await surroundings({
  redisOptions: ["--cluster-enabled", "yes", "--cluster-port", `${await freePort()}`],
});
const { store } = around;
await store.run("CLUSTER", "ADDSLOTSRANGE", 0, 16383);
await until(async () => /cluster_state:ok/.test(await store.run("CLUSTER", "INFO")));

/**
 * @param {import("node:test").TestContext} t
 * @param {string} prefix
 */
function gateWith(t, prefix) {
  const edge = {
    redis: { key_prefix: prefix },
    limits: {
      "per-ip": { by: "ip", window: "60s", quota: 100 },
      all: { by: "global", window: "60s", quota: 1000 },
    },
    routes: [{ path: "/api/{*rest}", limits: ["per-ip", "all"], cache: { ttl: "10m", query: ["symbol"] } }],
  };
  return startGateBefore(around, { edge, isolates: 2 }, t);
}

test("with no hash tag each isolate says once what to do, and goes on alone", async (t) => {
  const gate = await gateWith(t, "ot");
  const headers = newClient();
  const told = () => gate.logs().filter((line) => line.includes("CROSSSLOT"));
  for (let asked = 0; asked < 8; asked += 1) {
    const reply = await ask(gate, `${book}&n=${asked}`, { headers });
    assert.equal(reply.status, 200);
    assert.equal(limiter(reply), "local");
    // This outlasts the pauses after which the breaker tries again: half a second, then one.
    await sleep(250);
  }
  await until(async () => told().length > 0);
  assert.equal(told().length, 1, gate.logs().join("\n"));
  assert.match(JSON.parse(told()[0]).detail, /key_prefix = "\{ot\}"/);
  await ask({ ...gate, url: gate.isolates[1].url }, book, { headers });
  await until(async () => told().length === 2);
  assert.deepEqual(await store.keys(), []);
});

test("with a hash tag limits and entries are shared", async (t) => {
  const gate = await gateWith(t, "{ot}");
  const headers = newClient();
  for (const [n, isolate] of gate.isolates.entries()) {
    const reply = await ask({ ...gate, url: isolate.url }, book, { headers });
    assert.equal(limiter(reply), "redis");
    assert.equal(rateLimit(reply)["per-ip"].r, 99 - n);
    if (n === 0) {
      const isThere = async () => (await store.keys()).some((key) => key.startsWith("{ot}:c:"));
      await until(isThere);
    } else {
      assert.equal(cacheStatus(reply).detail, "redis");
    }
  }
  assert.deepEqual(
    gate.logs().filter((line) => line.includes("store:")),
    [],
  );
});
