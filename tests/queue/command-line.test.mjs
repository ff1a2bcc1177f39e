/** `omnitrade-edge queue`: counts, add and tail, as an operator calls them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bullmq, command, startStore, until } from "./kit.mjs";

/** @type {import("./kit.mjs").TestStore} */
let store;
before(async () => {
  store = await startStore();
});
after(() => store.stop());

test("counts tells each state, whether it is paused, and who opened it", async () => {
  const place = { queue: "bots", prefix: "counts" };
  const none = JSON.parse(await command(store, place, ["counts", "bots", "--json"]));
  assert.deepEqual(none, {
    active: 0,
    completed: 0,
    delayed: 0,
    failed: 0,
    isPaused: false,
    paused: 0,
    prioritized: 0,
    version: null,
    waiting: 0,
    "waiting-children": 0,
  });
  await command(store, place, ["add", "bots", "run"]);
  await command(store, place, ["add", "bots", "run", "{}", "--options", '{"delay":60000}']);
  await command(store, place, ["add", "bots", "run", "{}", "--options", '{"priority":3}']);
  const queue = new bullmq[5].Queue("bots", { connection: store.connection(), prefix: place.prefix });
  await queue.pause();
  await command(store, place, ["add", "bots", "run"]);
  const text = await command(store, place, ["counts", "bots"]);
  assert.match(text, /^waiting +0\npaused +2\nprioritized +1\nactive +0\ndelayed +1\n/);
  assert.match(text, /the queue is paused\nlast opened by bullmq:5\.81\.3\n$/);
  await queue.close();
});

test("tail follows a job through a failure to its result", async (t) => {
  const place = { queue: "bots", prefix: "tail" };
  const opts = { attempts: 2, backoff: 300 };
  const id = (await command(store, place, ["add", "bots", "run", "{}", "--options", JSON.stringify(opts)])).trim();
  /** @type {() => void} */
  let go = () => {};
  const started = new Promise((resolve) => {
    go = () => resolve(undefined);
  });
  const worker = new bullmq[6].Worker(
    "bots",
    async (/** @type {any} */ job) => {
      await started;
      await job.log(`attempt ${job.attemptsMade}`);
      await job.updateProgress({ done: job.attemptsMade });
      if (job.attemptsMade === 0) throw new Error("no luck");
      return { sold: 3 };
    },
    { connection: store.connection(), prefix: place.prefix, drainDelay: 0.1 },
  );
  worker.on("error", () => {});
  t.after(() => worker.close(true));
  const tail = command(store, place, ["tail", "bots", id, "--every", "50"]);
  await until(async () => (await store.redis.lpos("tail:bots:active", id)) !== null);
  await new Promise((resolve) => setTimeout(resolve, 200));
  go();
  assert.deepEqual((await tail).replaceAll(/ +/g, " ").trimEnd().split("\n"), [
    "active",
    "log attempt 0",
    'progress {"done":0}',
    "error no luck",
    "delayed attempts: 1",
    "log attempt 1",
    'progress {"done":1}',
    "completed attempts: 2",
    'result {"sold":3}',
  ]);
});

test("tail ends with 1 if the job has failed or is not there", async (t) => {
  const place = { queue: "bots", prefix: "failed" };
  await assert.rejects(command(store, place, ["tail", "bots", "none"]), { code: 1, err: /there is no such job/ });
  const id = (await command(store, place, ["add", "bots", "run"])).trim();
  const fails = async () => {
    throw new Error("no luck");
  };
  const options = { connection: store.connection(), prefix: place.prefix, drainDelay: 0.1 };
  const worker = new bullmq[5].Worker("bots", fails, options);
  worker.on("error", () => {});
  t.after(() => worker.close(true));
  const failed = { code: 1, out: /error +no luck\nfailed/, err: /the job has failed/ };
  await assert.rejects(command(store, place, ["tail", "bots", id, "--every", "50"]), failed);
});

test("wrong calls end with 2 and name what is wrong", async () => {
  const place = { queue: "bots", prefix: "wrong" };
  for (const [args, told, input] of /** @type {[string[], RegExp, string?][]} */ ([
    [["add", "bots", "run", "{"], /the data is not JSON/],
    [["add", "bots", "run", "{}", "--options", "[]"], /the options are no JSON object/],
    [["add", "bots"], /required/],
    [["add", "bots", "--jobs", "-"], /line 2: expected/, '{"name":"run"}\n{"data":1}\n'],
    [["add", "bots", "--jobs", "-"], /line 1: `delay`: expected an integer/, '{"name":"run","opts":{"delay":"1s"}}'],
    [["add", "", "run"], /must not be empty/],
    [["counts", "bots", "--store-url", "ftp://x"], /UPSTASH_REDIS_REST_URL|http/],
  ])) {
    await assert.rejects(command(store, place, args, input), { code: 2, err: told }, args.join(" "));
  }
  assert.deepEqual(await store.redis.keys("wrong:*"), []);
});
