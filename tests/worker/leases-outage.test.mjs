/**
 * Permits that were fetched ahead can be spent without the store, but not beyond their deadline;
 * and unspent ones go back.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, limiter, newClient, rateLimit, setUp, until } from "./kit.mjs";

const long = "/__origin/status/201";
const brief = "/__origin/status/202";

// A window is divided into thirty parts, and permits are lent until the end of the next part.
const BRIEF = 15_000;
const BRIEF_LEASE = (2 * BRIEF) / 30;

const { gate, redis, store, tap } = await setUp({
  isolates: 2,
  edge: {
    limits: {
      long: { by: "ip", strategy: "lease", window: "10m", quota: 100_000 },
      brief: { by: "ip", strategy: "lease", window: `${BRIEF}ms`, quota: 10_000 },
    },
    routes: [
      { path: long, limits: ["long"] },
      { path: brief, limits: ["brief"] },
    ],
  },
});
const [first, second] = gate.isolates;

afterEach(async () => {
  tap.fault = null;
  await until(async () => limiter(await ask(first, long, { headers: newClient() })) === "redis");
});

/**
 * Sends so many requests that many permits are at hand.
 * @param {string} path
 * @param {Record<string, string>} headers
 */
async function warmUp(path, headers) {
  for (let n = 0; n < 100; n++) await ask(first, path, { headers });
  await until(async () => limiter(await ask(first, path, { headers })) === "lease", { every: 1 });
}

/** How much CPU a process has used, in milliseconds. @param {number} pid */
function cpuTime(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  // In hundredths of a second: `utime` and `stime`.
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/**
 * The permits that the store counts for a client of a limit.
 * @param {string} limit
 * @param {Record<string, string>} client
 */
async function counted(limit, client) {
  const state = await store.run("GET", `ot:l:${limit}:${client["cf-connecting-ip"]}`);
  return Number(String(state).split(" ")[6]);
}

test("with the store gone permits at hand are spent, then local limits go on", async () => {
  const headers = newClient();
  await warmUp(long, headers);
  tap.fault = "reset";
  /** @type {string[]} */
  const sources = [];
  await until(
    async () => {
      const reply = await ask(first, long, { headers });
      assert.equal(reply.status, 201);
      sources.push(limiter(reply));
      return sources.at(-1) === "local";
    },
    { every: 0 },
  );
  assert.ok(sources.length > 10, `${sources.length - 1} from the lease`);
  assert.deepEqual([...new Set(sources)], ["lease", "local"]);
  for (let n = 0; n < 10; n++) assert.equal(limiter(await ask(first, long, { headers })), "local");
});

test("Redis dies and comes back: a hot client notices nothing", async () => {
  const headers = newClient();
  await warmUp(long, headers);
  await redis.kill();
  const sources = new Set();
  for (let n = 0; n < 300; n++) {
    const reply = await ask(first, long, { headers });
    assert.equal(reply.status, 201);
    sources.add(limiter(reply));
  }
  assert.deepEqual([...sources], ["lease", "local"]);
  await redis.restart();
  await until(async () => limiter(await ask(first, long, { headers })) === "lease");
});

test("while the store is known to fail, nobody asks it for permits", async () => {
  const headers = newClient();
  await warmUp(long, headers);
  tap.fault = "reset";
  const state = async () => JSON.parse((await ask(first, "/__edge/health")).text).store;
  await until(async () => {
    await ask(first, long, { headers: newClient() });
    return (await state()) === "open";
  });
  const calls = tap.calls;
  let spent = 0;
  for (; limiter(await ask(first, long, { headers })) === "lease"; spent++) assert.equal(tap.calls, calls);
  assert.ok(spent > 10, `${spent}`);
});

test("permits that cannot go back wait for the store at rest", { skip: process.platform !== "linux" }, async () => {
  await warmUp(brief, newClient());
  tap.fault = "reset";
  for (let n = 0; n < 6; n++) await ask(first, long, { headers: newClient() });
  await sleep(BRIEF_LEASE + 500);
  const before = cpuTime(gate.pid);
  await sleep(1_000);
  const spent = cpuTime(gate.pid) - before;
  assert.ok(spent <= 30, `${spent} ms of CPU in an idle second`);
});

test("permits that are void are not spent, store or no store", async () => {
  const headers = newClient();
  await warmUp(brief, headers);
  tap.fault = "reset";
  const failing = Date.now();
  let leased = 0;
  await until(
    async () => {
      const reply = await ask(first, brief, { headers });
      assert.equal(reply.status, 202);
      if (limiter(reply) === "lease") {
        leased++;
        assert.ok(reply.sentAt <= failing + BRIEF_LEASE, `${reply.sentAt - failing} ms after the last call`);
      }
      return reply.sentAt > failing + BRIEF_LEASE;
    },
    { every: 100 },
  );
  assert.ok(leased > 0);
});

test("permits that nobody spends go back, for other isolates to give out", async () => {
  const headers = newClient();
  await warmUp(brief, headers);
  const admitted = 100 + 1;
  assert.ok((await counted("brief", headers)) > admitted, "some are lent");
  await until(async () => (await counted("brief", headers)) <= admitted + 1);
  const reply = await ask(second, brief, { headers });
  assert.equal(limiter(reply), "redis");
  assert.ok((rateLimit(reply).brief.r ?? 0) >= 10_000 - admitted - 2, `r=${rateLimit(reply).brief.r}`);
});
