#!/usr/bin/env node
/**
 * The trading bots behind the sample API: a worker of BullMQ that runs the jobs of a queue until it
 * is told to stop. A job's data says what to trade; the price is the sample API's.
 *
 *     node examples/origin/bots.js --redis redis://127.0.0.1:6379 --api http://127.0.0.1:8888
 */

import { parseArgs } from "node:util";
import { UnrecoverableError, Worker } from "bullmq-5";

/**
 * Starts a worker. It logs what becomes of each job.
 * @param {object} options
 * @param {string} options.redis `redis://host:port`
 * @param {string} options.api the address of the sample API
 * @param {string} [options.queue]
 * @param {(line: string) => void} [options.log]
 */
export async function startBots({ redis, api, queue = "trading-bots", log = console.log }) {
  const { hostname: host, port } = new URL(redis);
  const worker = new Worker(queue, ({ data }) => trade(api, data), {
    connection: { host, port: Number(port || 6379) },
    // An idle worker asks Redis all the time, unless it is told otherwise: docs/jobs.md.
    drainDelay: 300,
    stalledInterval: 300_000,
  });
  worker.on("active", (job) =>
    log(`job ${job.id} ${job.name} ${JSON.stringify(job.data)}: attempt ${job.attemptsStarted}`),
  );
  worker.on("completed", (job, result) => log(`job ${job.id} done: ${JSON.stringify(result)}`));
  worker.on("failed", (job, error) => log(`job ${job?.id} failed: ${error.message}`));
  worker.on("error", (error) => log(`the worker: ${error.message}`));
  await worker.waitUntilReady();
  return { close: () => worker.close() };
}

/**
 * Buys or sells at the best price of the order book.
 * @param {string} api
 * @param {any} data
 */
async function trade(api, data) {
  const { side, symbol = "BTCUSDT", quantity = 1 } = data ?? {};
  // Another attempt would find the same data.
  if (side !== "buy" && side !== "sell") throw new UnrecoverableError('expected a side, "buy" or "sell"');
  const query = new URLSearchParams({ symbol: `${symbol}`, limit: "1" });
  const response = await fetch(`${api}/api/v1/market-data/orderbook?${query}`);
  if (!response.ok) throw new Error(`the API answers ${response.status}`);
  const { asks, bids } = /** @type {any} */ (await response.json());
  const [[price]] = side === "buy" ? asks : bids;
  return { side, symbol, quantity, price };
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      redis: { type: "string", default: "redis://127.0.0.1:6379" },
      api: { type: "string", default: "http://127.0.0.1:8888" },
      queue: { type: "string", default: "trading-bots" },
    },
  });
  const bots = await startBots(values);
  console.log(`bots wait for jobs of ${values.queue}`);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => bots.close());
}
