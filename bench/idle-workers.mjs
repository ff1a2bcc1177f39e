/**
 * Counts what a worker of BullMQ that has nothing to do asks of Redis, with its own settings and
 * with those that docs/jobs.md advises.
 *
 *     node bench/idle-workers.mjs [seconds]     60 for each of four workers
 */
import { main } from "../scripts/lib/process.mjs";
import { bullmq, startStore } from "../tests/queue/kit.mjs";

/** Time for what a worker does when it starts. */
const START = 5_000;

const SETTINGS = [{}, { drainDelay: 300, stalledInterval: 300_000 }];

/**
 * How many commands a worker takes while it waits, those inside scripts included.
 * @param {5 | 6} major
 * @param {object} settings
 * @param {number} seconds
 */
async function commandsOf(major, settings, seconds) {
  const store = await startStore();
  const worker = new bullmq[major].Worker("bots", async () => {}, { connection: store.connection(), ...settings });
  worker.on("error", () => {});
  await worker.waitUntilReady();
  await pause(START);
  await store.redis.config("RESETSTAT");
  await pause(seconds * 1_000);
  const lines = await store.redis.info("commandstats");
  const calls = [...lines.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
    .filter(([, name]) => !["info", "config|resetstat"].includes(name))
    .reduce((sum, [, , count]) => sum + Number(count), 0);
  await worker.close(true);
  await store.stop();
  return calls;
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

await main(async () => {
  const seconds = Number(process.argv[2] ?? 60);
  for (const major of /** @type {const} */ ([5, 6])) {
    for (const settings of SETTINGS) {
      const calls = await commandsOf(major, settings, seconds);
      const minute = (calls * 60) / seconds;
      const month = (minute * 60 * 24 * 30) / 1e6;
      console.log(
        `BullMQ ${major} ${JSON.stringify(settings)}: ${minute} a minute, ${month.toFixed(2)} million a month`,
      );
    }
  }
});
