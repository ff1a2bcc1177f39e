/** A store that fails: no job is lost that was told to be added, and none is added twice. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bullmq, losingStore, startStore, until, ways } from "./kit.mjs";

/** @type {import("./kit.mjs").TestStore} */
let store;
before(async () => {
  store = await startStore();
});
after(() => store.stop());

for (const way of ways) {
  test(`${way.name}: a repeat adds nothing, even if the job is gone by then`, async (t) => {
    const prefix = `${way.name}-gone`;
    /** @type {Record<string, number>} */
    const ran = {};
    const worker = new bullmq[5].Worker(
      "bots",
      async (/** @type {any} */ job) => {
        ran[job.data] = (ran[job.data] ?? 0) + 1;
      },
      { connection: store.connection(), prefix, drainDelay: 0.1, concurrency: 10 },
    );
    worker.on("error", () => {});
    t.after(() => worker.close(true));

    // An answer is lost only once the worker has run the job, and has removed it.
    const losing = await losingStore(store, {
      lose: async (number) => {
        if (number % 2 === 0) return false;
        const jobs = async () =>
          (await store.redis.keys(`${prefix}:bots:*`)).map((key) => store.redis.hexists(key, "data").catch(() => 0));
        await until(async () => !(await Promise.all(await jobs())).includes(1));
        return true;
      },
    });
    t.after(losing.stop);
    const place = { queue: "bots", prefix };
    const opts = { removeOnComplete: true };
    // The script itself is known by then, so that each call is one request.
    await way.add(store, place, { name: "run", data: "known", opts });
    await way.add(losing, place, { name: "run", data: "own", opts });
    await way.add(losing, place, { name: "run", data: "given", opts: { ...opts, jobId: "given" } });
    const bulk = Array.from({ length: 20 }, (_, at) => ({ name: "run", data: `bulk-${at}`, opts }));
    const ids = await way.addBulk(losing, place, bulk);
    assert.equal(new Set(ids).size, 20);
    assert.equal(losing.lost(), 3);

    const all = ["known", "own", "given", ...bulk.map(({ data }) => data)];
    await until(() => Object.keys(ran).length === all.length);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(ran, Object.fromEntries(all.map((data) => [data, 1])));
  });

  test(`${way.name}: an id that was used before is added again by a repeat`, async (t) => {
    const prefix = `${way.name}-before`;
    const place = { queue: "bots", prefix };
    const opts = { jobId: "daily" };
    await way.add(store, place, { name: "run", data: 1, opts });
    await store.redis.del(`${prefix}:bots:daily`);
    await store.redis.lrem(`${prefix}:bots:wait`, 0, "daily");
    // The stream of events tells of it, but a minute before this call.
    const events = await store.redis.xrange(`${prefix}:bots:events`, "-", "+");
    await store.redis.del(`${prefix}:bots:events`);
    for (const [at, fields] of events) {
      await store.redis.xadd(`${prefix}:bots:events`, `${Number(at.split("-")[0]) - 60_000}-*`, ...fields);
    }
    const losing = await losingStore(store, { drop: (number) => number === 1 });
    t.after(losing.stop);
    await way.add(losing, place, { name: "run", data: 2, opts });
    assert.equal(losing.lost(), 1);
    assert.equal(await store.redis.hget(`${prefix}:bots:daily`, "data"), "2");
    assert.deepEqual(await store.redis.lrange(`${prefix}:bots:wait`, 0, -1), ["daily"]);
  });

  test(`${way.name}: a store without the scripts gets them once`, async () => {
    await store.redis.script("FLUSH");
    const place = { queue: "bots", prefix: `${way.name}-flushed` };
    const jobs = Array.from({ length: 9 }, (_, at) => ({
      name: "run",
      data: at,
      opts: at % 3 === 0 ? {} : at % 3 === 1 ? { delay: 1 } : { priority: 1 },
    }));
    const ids = await way.addBulk(store, place, jobs);
    assert.equal(new Set(ids).size, 9);
    await store.redis.script("FLUSH");
    await way.add(store, place, { name: "run" });
    const queue = new bullmq[5].Queue("bots", { connection: store.connection(), prefix: place.prefix });
    assert.deepEqual(await queue.getJobCounts("wait", "delayed", "prioritized"), {
      wait: 4,
      delayed: 3,
      prioritized: 3,
    });
    await queue.close();
  });

  test(`${way.name}: a store that is gone is an error, and a job is not told of`, async () => {
    const gone = { url: "http://127.0.0.1:1", token: "secret-token" };
    const place = { queue: "bots", prefix: `${way.name}-none` };
    const add = async () => way.add(gone, place, { name: "run" });
    const addBulk = async () => way.addBulk(gone, place, [{ name: "run" }]);
    for (const call of [add, addBulk]) {
      await assert.rejects(call, (/** @type {Error} */ error) => {
        assert.match(error.message, /cannot be reached/);
        assert.doesNotMatch(error.message, /secret-token|127\.0\.0\.1/);
        return true;
      });
    }
  });
}
