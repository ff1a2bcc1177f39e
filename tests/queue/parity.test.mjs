/** A job is stored as BullMQ's `Queue.add` stores it: every key in Redis is compared. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fromIoredis, Queue, Redis } from "../support/package.mjs";
import { bullmq, contents, startStore, ways } from "./kit.mjs";

/** @type {import("./kit.mjs").TestStore} */
let store;
/** @type {import("ioredis-5").Redis} */
let connection;
before(async () => {
  store = await startStore();
  connection = store.connection();
});
after(() => store.stop());

const timestamp = 1_790_000_000_123;
const data = { side: "buy", ü: [1, 2.5, null, { a: '"\\\n' }], empty: {}, none: [] };

/** @type {Record<string, import("./kit.mjs").NewJob[]>} */
const cases = {
  "a standard job": [{ name: "run", data }],
  "jobs in order": [
    { name: "run", data: 1 },
    { name: "run", data: "two" },
    { name: "run", data: null },
    { name: "run", data: [] },
  ],
  "a job without data": [{ name: "run" }],
  "a job that runs first": [{ name: "a" }, { name: "b", opts: { lifo: true } }],
  "a delayed job": [
    { name: "run", data, opts: { delay: 60_000 } },
    { name: "run", opts: { delay: 5 } },
  ],
  "prioritised jobs": [
    { name: "run", data, opts: { priority: 7 } },
    { name: "run", opts: { priority: 2_097_151 } },
    { name: "run", opts: { priority: 0 } },
  ],
  "a delayed job with a priority": [{ name: "run", opts: { delay: 1_000, priority: 3 } }],
  "a job that is there already": [
    { name: "run", data: 1, opts: { jobId: "7-a" } },
    { name: "run", data: 2, opts: { jobId: "7-a" } },
  ],
  "all other options": [
    {
      name: "run",
      data,
      opts: {
        attempts: 5,
        backoff: { type: "exponential", delay: 1_000, jitter: 0.5 },
        removeOnComplete: { age: 3_600, count: 1_000 },
        removeOnFail: true,
        keepLogs: 10,
        stackTraceLimit: 3,
        sizeLimit: 1_000,
        telemetry: { metadata: "trace", omitContext: true },
      },
    },
    { name: "run", opts: { attempts: 1, backoff: 250, removeOnComplete: 3, removeOnFail: false } },
    { name: "run", opts: { backoff: { type: "own" }, removeOnFail: { age: 60, limit: 10 } } },
  ],
  "options that are not set": [{ name: "run", opts: { delay: null, backoff: { type: "fixed", delay: null } } }],
  "deduplicated jobs": [
    { name: "run", data: 1, opts: { deduplication: { id: "7" } } },
    { name: "run", data: 2, opts: { deduplication: { id: "7" } } },
    { name: "run", data: 3, opts: { deduplication: { id: "8" } } },
  ],
  "deduplicated jobs for a time": [
    { name: "run", data: 1, opts: { deduplication: { id: "7", ttl: 60_000, extend: true } } },
    { name: "run", data: 2, opts: { deduplication: { id: "7", ttl: 60_000, extend: true } } },
    { name: "run", data: 2, opts: { deduplication: { id: "7", keepLastIfActive: true } } },
  ],
  "a deduplicated job that replaces a delayed one": [
    { name: "run", data: 1, opts: { delay: 9_000, deduplication: { id: "7", ttl: 5_000, replace: true } } },
    { name: "run", data: 2, opts: { delay: 8_000, deduplication: { id: "7", ttl: 5_000, replace: true } } },
  ],
};

/**
 * What the versions of BullMQ write at other times: a `Queue` tells its version when it is made,
 * and 5 tells of a deduplicated job twice, once by its older name.
 * @param {Record<string, any>} all
 * @param {boolean} [withoutDebounced]
 */
function comparable(all, withoutDebounced) {
  const copy = structuredClone(all);
  for (const [name, value] of Object.entries(copy)) {
    if (name.endsWith(":meta")) delete value.hash.version;
    if (name.endsWith(":events") && withoutDebounced) {
      value.stream = value.stream.filter((/** @type {string[]} */ fields) => fields[1] !== "debounced");
    }
  }
  return copy;
}

let number = 0;
for (const way of ways) {
  for (const major of /** @type {const} */ ([5, 6])) {
    for (const setting of /** @type {const} */ (["any", major])) {
      for (const [name, jobs] of Object.entries(cases)) {
        for (const paused of major === 6 && setting === "any" ? [false] : [false, true]) {
          const where = paused ? ", paused" : "";
          test(`${way.name} for ${setting} stores as ${major}: ${name}${where}`, async () => {
            const prefix = `p${++number}`;
            const { Queue } = bullmq[major];
            const [ours, theirs] = [`${prefix}a`, `${prefix}b`];
            // Both queues are made by BullMQ, which writes its version.
            for (const at of [ours, theirs]) {
              const queue = new Queue("bots", { connection, prefix: at });
              await queue.waitUntilReady();
              if (paused) await queue.pause();
              await queue.getVersion();
              await queue.close();
            }
            const queue = new Queue("bots", { connection, prefix: theirs });
            try {
              for (const job of jobs) {
                const given = { timestamp, ...job.opts };
                const place = { queue: "bots", prefix: ours, bullmq: setting };
                const id = await way.add(store, place, { ...job, opts: given });
                // What is `null` in JSON is not set in JavaScript.
                const opts = JSON.parse(JSON.stringify(given), (_, value) => value ?? undefined);
                const [, own] = await addedIds(ours, id);
                const added = await queue.add(job.name, job.data, { ...opts, jobId: own });
                assert.equal(added.id, id);
              }
              const older = setting === "any" && major === 6;
              const [a, b] = [await contents(store.redis, ours), await contents(store.redis, theirs)];
              assert.deepEqual(comparable(a, older), comparable(b, older));
              const stored = Object.keys(a).filter((key) => /** @type {any} */ (a[key]).hash?.name);
              assert.ok(stored.length > 0);
            } finally {
              await queue.close();
            }
          });
        }
      }
    }
  }
}

/**
 * The id that a call gave its job: it may differ from the id that the call returned, if there is a
 * job with the same deduplication id. The stream of events tells.
 * @param {string} prefix
 * @param {string} id
 */
async function addedIds(prefix, id) {
  const [[, fields]] = await store.redis.xrevrange(`${prefix}:bots:events`, "+", "-", "COUNT", 1);
  const event = Object.fromEntries(fields.flatMap((_, at) => (at % 2 ? [] : [[fields[at], fields[at + 1]]])));
  const isOther = event.event === "deduplicated" && event.jobId === id;
  return [id, isOther ? event.deduplicatedJobId : id];
}

for (const way of ways) {
  test(`${way.name} adds many jobs in order, as BullMQ adds them`, async () => {
    const jobs = Array.from({ length: 30 }, (_, at) => ({
      name: `job-${at}`,
      data: { at },
      opts: { timestamp, jobId: `id-${at}`, ...(at % 3 === 1 && { delay: at }), ...(at % 3 === 2 && { priority: at }) },
    }));
    const ids = await way.addBulk(store, { queue: "bots", prefix: `${way.name}-a`, bullmq: 5 }, jobs);
    assert.deepEqual(
      ids,
      jobs.map(({ opts }) => opts.jobId),
    );
    const options = { connection, prefix: `${way.name}-b`, skipMetasUpdate: true };
    const queue = new bullmq[5].Queue("bots", options);
    await queue.addBulk(jobs);
    await queue.close();
    assert.deepEqual(await contents(store.redis, `${way.name}-a`), await contents(store.redis, `${way.name}-b`));
  });

  test(`${way.name} gives each job an id of its own`, async () => {
    const place = { queue: "bots", prefix: `${way.name}-ids` };
    const jobs = Array.from({ length: 20 }, () => ({ name: "run" }));
    const ids = await way.addBulk(store, place, jobs);
    assert.equal(new Set(ids).size, 20);
    for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test(`${way.name} refuses what BullMQ refuses, flows and schedulers`, async () => {
    const place = { queue: "bots", prefix: `${way.name}-refused` };
    for (const [opts, told] of /** @type {[Record<string, unknown>, RegExp][]} */ ([
      [{ jobId: "7" }, /jobId/],
      [{ jobId: "a:b" }, /jobId/],
      [{ jobId: "wait" }, /jobId/],
      [{ priority: 2_097_152 }, /priority/],
      [{ priority: 1.5 }, /priority/],
      [{ deduplication: { id: "" } }, /deduplication\.id/],
      [{ deduplication: { id: "a", reschedule: true } }, /reschedule/],
      [{ backoff: { type: "fixed", jitter: 2 } }, /backoff\.jitter/],
      [{ sizeLimit: 1 }, /sizeLimit/],
      [{ atempts: 3 }, /atempts/],
      [{ attempts: "3" }, /attempts/],
      [{ parent: { id: "1", queue: "bull:x" } }, /parent.*flows/],
      [{ failParentOnFailure: true }, /failParentOnFailure.*flows/],
      [{ repeat: { every: 1 } }, /repeat.*schedulers/],
      [{ debounce: { id: "a" } }, /debounce.*deduplication/],
    ])) {
      await assert.rejects(way.add(store, place, { name: "run", opts }), told, JSON.stringify(opts));
      await assert.rejects(way.addBulk(store, place, [{ name: "run" }, { name: "run", opts }]), told);
    }
    await assert.rejects(way.add(store, { ...place, queue: "a:b" }, { name: "run" }), /colon/);
    assert.deepEqual(await contents(store.redis, place.prefix), {});
  });
}

test("npm over a client of another library stores the same, in order", async () => {
  const [ours, theirs] = ["other-a", "other-b"];
  const jobs = Array.from({ length: 6 }, (_, at) => ({
    name: "run",
    data: { at },
    opts: { timestamp, jobId: `id-${at}`, ...(at % 2 && { priority: at }) },
  }));
  const queue = new Queue("bots", { redis: fromIoredis(connection), prefix: ours });
  const { id } = await queue.add(jobs[0].name, jobs[0].data, jobs[0].opts);
  const added = await queue.addBulk(jobs.slice(1));
  assert.deepEqual(
    [id, ...added.map((job) => job.id)],
    jobs.map(({ opts }) => opts.jobId),
  );
  const bullmqQueue = new bullmq[5].Queue("bots", { connection, prefix: theirs, skipMetasUpdate: true });
  await bullmqQueue.addBulk(jobs);
  await bullmqQueue.close();
  assert.deepEqual(await contents(store.redis, ours), await contents(store.redis, theirs));
});

test("what is set for a queue holds for jobs that do not set it", async () => {
  const redis = new Redis({ url: store.url, token: store.token });
  const defaultJobOptions = { attempts: 3, backoff: 50 };
  const queue = new Queue("bots", { redis, prefix: "defaults", defaultJobOptions });
  const options = async (/** @type {string} */ id) =>
    JSON.parse((await store.redis.hget(`defaults:bots:${id}`, "opts")) ?? "{}");
  const [plain, own] = await queue.addBulk([{ name: "a" }, { name: "b", opts: { attempts: 1 } }]);
  const backoff = { type: "fixed", delay: 50 };
  assert.deepEqual(await options(plain.id), { attempts: 3, backoff, jobId: plain.id });
  assert.deepEqual(await options(own.id), { attempts: 1, backoff, jobId: own.id });
  assert.equal(plain.opts.attempts, 3);
});
