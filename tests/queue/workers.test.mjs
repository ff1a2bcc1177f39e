/** Workers of BullMQ 5 and 6 run the jobs. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bullmq, startStore, until, ways } from "./kit.mjs";

/** @type {import("./kit.mjs").TestStore} */
let store;
before(async () => {
  store = await startStore();
});
after(() => store.stop());

let number = 0;

/**
 * A queue with a worker that writes down what it runs.
 * @param {import("node:test").TestContext} t
 * @param {5 | 6} major
 * @param {{ paused?: boolean, run?: (job: any) => unknown, concurrency?: number }} [options]
 */
async function open(t, major, { paused = false, run = () => "done", concurrency = 1 } = {}) {
  const prefix = `w${++number}`;
  const { Queue, Worker } = bullmq[major];
  const queue = new Queue("bots", { connection: store.connection(), prefix });
  await queue.waitUntilReady();
  if (paused) await queue.pause();
  const ran = /** @type {any[]} */ ([]);
  const worker = new Worker(
    "bots",
    async (/** @type {any} */ job) => {
      ran.push({ id: job.id, name: job.name, data: job.data, at: Date.now() });
      return run(job);
    },
    { connection: store.connection(), prefix, concurrency, drainDelay: 0.1, autorun: false },
  );
  worker.on("error", () => {});
  let running = false;
  const start = () => {
    running = true;
    void worker.run();
  };
  t.after(async () => {
    if (running) await worker.close(true);
    await queue.close();
  });
  return { place: { queue: "bots", prefix }, queue, ran, start };
}

const SETTINGS = /** @type {const} */ ([
  [5, "any"],
  [5, 5],
  [6, "any"],
  [6, 6],
]);

for (const way of ways) {
  for (const [major, setting] of SETTINGS) {
    const title = (/** @type {string} */ what) => `${way.name} for ${setting}, worker of ${major}: ${what}`;

    test(title("a paused queue runs its jobs when resumed"), async (t) => {
      const { place, queue, ran, start } = await open(t, major, { paused: true });
      const at = { ...place, bullmq: setting };
      start();
      const first = await way.add(store, at, { name: "run", data: { side: "buy" } });
      const more = await way.addBulk(store, at, [
        { name: "run", data: 2 },
        { name: "run", data: 3, opts: { priority: 1 } },
        { name: "run", data: 4, opts: { delay: 20 } },
      ]);
      await new Promise((resolve) => setTimeout(resolve, 150));
      assert.equal(ran.length, 0);
      await queue.resume();
      // Jobs that were added since go the same way.
      const last = await way.add(store, at, { name: "run", data: 5 });
      await until(
        () => ran.length === 5,
        () => JSON.stringify(ran),
      );
      assert.deepEqual(new Set(ran.map(({ id }) => id)), new Set([first, ...more, last]));
      assert.deepEqual(ran.find(({ id }) => id === first)?.data, { side: "buy" });
      await until(async () => (await queue.getCompletedCount()) === 5);
    });

    test(title("delays, priorities and ids hold"), async (t) => {
      const { place, queue, ran, start } = await open(t, major);
      const at = { ...place, bullmq: setting };
      const now = Date.now();
      const ids = await way.addBulk(store, at, [
        { name: "late", opts: { delay: 400, timestamp: now } },
        { name: "low", opts: { priority: 9 } },
        { name: "high", opts: { priority: 2 } },
        { name: "plain", opts: { jobId: "7-a" } },
        { name: "again", opts: { jobId: "7-a" } },
        { name: "next", opts: { lifo: true } },
      ]);
      assert.deepEqual(ids.slice(3, 5), ["7-a", "7-a"]);
      start();
      await until(
        () => ran.length === 5,
        () => JSON.stringify(ran),
      );
      assert.deepEqual(
        ran.map(({ name }) => name),
        ["next", "plain", "high", "low", "late"],
      );
      assert.ok(ran[4].at >= now + 400);
      const job = await queue.getJob("7-a");
      assert.equal(job.name, "plain");
      await until(async () => (await job.getState()) === "completed");
    });

    test(title("deduplicated jobs run once"), async (t) => {
      const { place, queue, ran, start } = await open(t, major);
      const at = { ...place, bullmq: setting };
      const opts = { deduplication: { id: "bot-7" } };
      const first = await way.add(store, at, { name: "run", data: 1, opts });
      assert.equal(await way.add(store, at, { name: "run", data: 2, opts }), first);
      start();
      await until(async () => (await queue.getCompletedCount()) === 1);
      assert.deepEqual(
        ran.map(({ data }) => data),
        [1],
      );
      // It is finished, so a further one is another job.
      await way.add(store, at, { name: "run", data: 3, opts });
      await until(() => ran.length === 2);
      assert.equal(ran[1].data, 3);
    });

    test(title("a job that fails is tried again, then kept"), async (t) => {
      const run = (/** @type {any} */ job) => {
        if (job.data.fails > job.attemptsMade) throw new Error("no luck");
        return job.attemptsMade;
      };
      const { place, queue, ran, start } = await open(t, major, { run });
      const at = { ...place, bullmq: setting };
      const opts = { attempts: 3, backoff: { type: "fixed", delay: 30 } };
      const [lucky, unlucky] = await way.addBulk(store, at, [
        { name: "run", data: { fails: 2 }, opts },
        { name: "run", data: { fails: 9 }, opts: { ...opts, backoff: 20 } },
      ]);
      start();
      await until(async () => (await queue.getFailedCount()) + (await queue.getCompletedCount()) === 2);
      assert.equal(await (await queue.getJob(lucky)).getState(), "completed");
      assert.equal((await queue.getJob(lucky)).returnvalue, 2);
      const failed = await queue.getJob(unlucky);
      assert.equal(await failed.getState(), "failed");
      assert.equal(failed.failedReason, "no luck");
      assert.equal(ran.filter(({ id }) => id === lucky).length, 3);
      assert.equal(ran.filter(({ id }) => id === unlucky).length, 3);
    });
  }
}
