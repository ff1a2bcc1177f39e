/** Routes whose requests become jobs, which real workers of BullMQ run. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Redis as Ioredis } from "ioredis-5";
import { bullmq, losingStore } from "../queue/kit.mjs";
import { ask, commandsOf, newClient, setUp, startGateBefore, until } from "./kit.mjs";

const edge = {
  limits: {
    many: { by: "client", window: "60s", quota: 100_000 },
    one: { by: "client", window: "60s", quota: 1 },
  },
  queues: {
    bots: { name: "trading-bots" },
    six: { name: "six", prefix: "{b}", bullmq: 6 },
  },
  routes: [
    {
      path: "/api/bots/{id}/jobs",
      limits: ["many"],
      enqueue: { queue: "bots", job: "run", id: "{client}-{path.id}-{header.idempotency-key}", attempts: 3 },
    },
    { path: "/limited", limits: ["one"], enqueue: { queue: "bots", job: "run" } },
    { path: "/six", limits: ["many"], enqueue: { queue: "six", job: "run", priority: 3, delay: "20ms" } },
    { path: "/short", limits: ["many"], enqueue: { queue: "bots", job: "short", max_body: "32B" } },
  ],
};

const { gate, store, redis, origin } = await setUp({ edge });
const connection = new Ioredis(redis.url, { maxRetriesPerRequest: null });
after(() => connection.disconnect());

/**
 * A worker that writes down what it runs.
 * @param {5 | 6} major
 * @param {string} queue
 * @param {Record<string, unknown>} [options]
 */
function startWorker(major, queue, options) {
  const ran = /** @type {any[]} */ ([]);
  const run = async (/** @type {any} */ job) => void ran.push({ id: job.id, name: job.name, data: job.data });
  const worker = new bullmq[major].Worker(queue, run, { connection, drainDelay: 0.1, concurrency: 20, ...options });
  worker.on("error", () => {});
  return { ran, worker };
}

/**
 * Sends a job to a gate.
 * @param {{ url: string }} to
 * @param {string} path
 * @param {unknown} data
 * @param {Record<string, string>} [headers]
 */
async function post(to, path, data, headers = {}) {
  const body = typeof data === "string" ? data : JSON.stringify(data);
  const all = { "content-type": "application/json", ...headers };
  const response = await fetch(`${to.url}${path}`, { method: "POST", headers: all, body });
  return { status: response.status, headers: response.headers, told: /** @type {any} */ (await response.json()) };
}

test("a request becomes a job that a worker runs, and the API hears nothing", async (t) => {
  const { ran, worker } = startWorker(5, "trading-bots");
  t.after(() => worker.close(true));
  const headers = { ...newClient(), "content-type": "application/x-www-form-urlencoded" };
  const before = origin.counters.get().total;
  const { status, told, headers: got } = await post(gate, "/api/bots/7/jobs", '{"side":"buy"}', headers);
  assert.equal(status, 202);
  assert.deepEqual(Object.keys(told), ["id", "queue"]);
  assert.equal(told.queue, "trading-bots");
  assert.equal(got.get("x-edge-limiter"), "redis");
  assert.equal(got.get("cache-control"), "no-store");
  await until(() => ran.length === 1);
  assert.deepEqual(ran, [{ id: told.id, name: "run", data: { side: "buy" } }]);
  assert.equal(origin.counters.get().total, before);
});

test("a queue of BullMQ 6 is served by its workers", async (t) => {
  const { ran, worker } = startWorker(6, "six", { prefix: "{b}" });
  t.after(() => worker.close(true));
  const { status, told } = await post(gate, "/six", { n: 1 }, newClient());
  assert.deepEqual([status, told.queue], [202, "six"]);
  await until(() => ran.length === 1);
  assert.deepEqual(ran, [{ id: told.id, name: "run", data: { n: 1 } }]);
});

test("the same Idempotency-Key runs once for a client, and once for another", async (t) => {
  const { ran, worker } = startWorker(5, "trading-bots");
  t.after(() => worker.close(true));
  const [one, other] = [newClient(), newClient()].map((client) => ({ ...client, "idempotency-key": "k-1" }));
  const first = await post(gate, "/api/bots/8/jobs", { n: 1 }, one);
  const again = await Promise.all([1, 2, 3].map(() => post(gate, "/api/bots/8/jobs", { n: 1 }, one)));
  const foreign = await post(gate, "/api/bots/8/jobs", { n: 2 }, other);
  for (const { status, told } of again) assert.deepEqual([status, told.id], [202, first.told.id]);
  assert.notEqual(foreign.told.id, first.told.id);
  await until(() => ran.length >= 2);
  await post(gate, "/api/bots/8/jobs", { n: 1 }, one);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(ran.map(({ data }) => data.n).sort(), [1, 2]);
});

test("what is wrong with a request is told with its field", async () => {
  for (const [path, data, headers, status, field] of /** @type {const} */ ([
    ["/short", "{", {}, 400, "body"],
    ["/short", { long: "x".repeat(32) }, {}, 413, "body"],
    ["/short", "{}", { "content-type": "text/html" }, 415, "content-type"],
    ["/api/bots/a%20b/jobs", "{}", { "idempotency-key": "k" }, 422, "path.id"],
    ["/api/bots/7/jobs", "{}", { "idempotency-key": "a b" }, 422, "header.idempotency-key"],
  ])) {
    const { status: found, told, headers: got } = await post(gate, path, data, { ...newClient(), ...headers });
    assert.deepEqual([found, told.field], [status, field], JSON.stringify(told));
    assert.equal(got.get("content-type"), "application/problem+json");
  }
  // A body of unknown length.
  let chunks = 0;
  const stream = new ReadableStream({
    pull: (controller) => (chunks++ < 20 ? controller.enqueue(new TextEncoder().encode("[1,")) : controller.close()),
  });
  const init = /** @type {RequestInit} */ ({
    method: "POST",
    body: stream,
    duplex: "half",
    headers: { ...newClient(), "content-type": "application/json" },
  });
  assert.equal((await fetch(`${gate.url}/short`, init)).status, 413);
});

test("limits come first, and other methods go to the API", async () => {
  const headers = newClient();
  assert.equal((await post(gate, "/limited", "nonsense", headers)).status, 400);
  assert.equal((await post(gate, "/limited", "{}", headers)).status, 429);
  const reply = await ask(gate, "/api/bots/7/jobs", { headers: newClient() });
  assert.notEqual(reply.status, 202);
});

test("a thousand jobs at 50 at once: none lost and none twice", async (t) => {
  const { ran, worker } = startWorker(5, "trading-bots", { concurrency: 50 });
  t.after(() => worker.close(true));
  // Every tenth call of the store fails: its answer is lost, or it never gets there.
  const losing = await losingStore(store, {
    drop: (number) => number % 20 === 0,
    lose: (number) => number % 20 === 10,
  });
  t.after(losing.stop);
  const lossy = await startGateBefore({ origin, store: { ...store, url: losing.url } }, { edge });
  const client = newClient();
  let [next, refused] = [0, 0];
  /** @type {Map<number, string>} */
  const told = new Map();
  const send = async () => {
    while (next < 1_000) {
      const n = next++;
      const headers = { ...client, "idempotency-key": `job-${n}` };
      for (;;) {
        const answer = await post(lossy, "/api/bots/9/jobs", { n }, headers);
        if (answer.status === 202) {
          told.set(n, answer.told.id);
          break;
        }
        assert.equal(answer.status, 503, JSON.stringify(answer.told));
        assert.ok(Number(answer.headers.get("retry-after")) >= 1);
        refused++;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  await Promise.all(Array.from({ length: 50 }, send));
  assert.ok(losing.lost() >= 100, `${losing.lost()} calls failed`);
  await until(() => ran.length >= 1_000);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(new Set(told.values()).size, 1_000);
  assert.deepEqual(
    ran.map(({ data }) => data.n).sort((a, b) => a - b),
    Array.from({ length: 1_000 }, (_, n) => n),
  );
  t.diagnostic(`${losing.lost()} of the store's calls failed, ${refused} requests were answered 503`);
});

test("a store that is gone is a 503 that says when to come back", async () => {
  const { run } = commandsOf(store);
  const before = await run("ZCARD", "bull:trading-bots:completed");
  const without = await startGateBefore({ origin, store: { ...store, url: "http://127.0.0.1:1" } }, { edge });
  const local = await startGateBefore({ origin }, { edge });
  for (const to of [without, without, without, without, local]) {
    const { status, told, headers } = await post(to, "/api/bots/7/jobs", {}, newClient());
    assert.deepEqual([status, told.code], [503, "job_unconfirmed"]);
    assert.ok(Number(headers.get("retry-after")) >= 1);
  }
  assert.equal(await run("ZCARD", "bull:trading-bots:completed"), before);
});

test("a job is counted: its request, its call and its commands", async (t) => {
  const vars = { EDGE_ADMIN_TOKEN: "a-token-0123" };
  const counting = await startGateBefore({ origin, store }, { edge, vars }, t);
  const before = await store.counts();
  assert.equal((await post(counting, "/api/bots/1/jobs", { n: 1 }, newClient())).status, 202);
  const after = await store.counts();
  const { text } = await ask(counting, "/__edge/metrics", { headers: { authorization: "Bearer a-token-0123" } });
  assert.match(text, /^edge_requests_total\{route="\/api\/bots\/\{id\}\/jobs",outcome="served"\} 1$/m);
  assert.match(text, /^edge_store_calls_total\{op="job",outcome="ok"\} 1$/m);
  const spent = [...text.matchAll(/^edge_store_commands_total\{purpose="(limit|queue)"\} (\d+)$/gm)];
  assert.equal(spent.find(([, purpose]) => purpose === "queue")?.[2], "10");
  const counted = spent.reduce((sum, [, , number]) => sum + Number(number), 0);
  const all = (/** @type {Record<string, number>} */ counts) => Object.values(counts).reduce((a, b) => a + b, 0);
  // The first call of a script sends it once more.
  const more = all(after) - all(before) - counted;
  assert.ok(more >= 0 && more <= 2, `${more} more than ${counted}`);
});
