/** The trading bots run the jobs of their queue. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Queue, QueueEvents } from "bullmq-5";
import { startRedis } from "../../scripts/lib/servers.mjs";
import { startBots } from "./bots.js";
import { serveTests } from "./testkit.mjs";

const api = serveTests();
/** @type {string[]} */
const lines = [];
/** @type {(() => Promise<unknown>)[]} */
const ends = [];
/** @type {Queue} */
let queue;
/** @type {QueueEvents} */
let events;

before(async () => {
  const redis = await startRedis();
  const connection = { host: "127.0.0.1", port: redis.port };
  const bots = await startBots({ redis: redis.url, api: api.origin().url, log: (line) => lines.push(line) });
  queue = new Queue("trading-bots", { connection });
  events = new QueueEvents("trading-bots", { connection });
  await events.waitUntilReady();
  ends.push(
    () => queue.close(),
    () => events.close(),
    () => bots.close(),
    () => redis.stop(),
  );
});
after(async () => {
  for (const end of ends) await end();
});

test("a job is done at the price of the order book, and the log says so", async () => {
  const book = await api.json("/api/v1/market-data/orderbook?symbol=BTCUSDT&limit=1");
  const job = await queue.add("run", { side: "buy", quantity: 2 });
  const result = await job.waitUntilFinished(events, 10_000);
  assert.deepEqual(result, { side: "buy", symbol: "BTCUSDT", quantity: 2, price: book.asks[0][0] });
  // The worker tells of it once Redis has confirmed it.
  while (lines.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(lines.splice(0), [
    `job ${job.id} run {"side":"buy","quantity":2}: attempt 1`,
    `job ${job.id} done: ${JSON.stringify(result)}`,
  ]);
});

test("a job that cannot be done is tried once, one that fails again", async () => {
  const wrong = await queue.add("run", { side: "hold" }, { attempts: 3 });
  await assert.rejects(wrong.waitUntilFinished(events, 10_000), /expected a side/);
  const unknown = await queue.add("run", { side: "sell", symbol: "NONE" }, { attempts: 2 });
  await assert.rejects(unknown.waitUntilFinished(events, 10_000), /the API answers 500/);
  const attempts = (/** @type {string | undefined} */ id) =>
    lines.filter((line) => line.startsWith(`job ${id} `) && line.includes(": attempt")).length;
  assert.deepEqual([attempts(wrong.id), attempts(unknown.id)], [1, 2]);
});
