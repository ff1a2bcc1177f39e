/** What the layer for tower costs per request, beside `tower_governor`, in one run of criterion. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { target } from "../scripts/lib/modules.mjs";
import { run } from "../scripts/lib/process.mjs";
import { startRedis } from "../scripts/lib/servers.mjs";

/** As `bench/tower/benches/layer.rs` names them. */
const CONTESTANTS = {
  leased: "omnitrade-edge, permits fetched ahead",
  "leased-refunds": "the same, with `refund_on`",
  "leased-silent": "the same, without headers",
  local: "omnitrade-edge without a store",
  governor: "tower_governor",
  "governor-silent": "the same, without headers",
};

/** How many clients take turns. */
const CLIENTS = [1, 1_000];

/** @returns {Promise<import("./lib/report.mjs").Table>} */
export async function measure() {
  const redis = await startRedis();
  try {
    await run("cargo", ["bench", "-p", "omnitrade-edge-bench-tower", "--bench", "layer"], {
      ...{ env: { REDIS_URL: redis.url }, output: "quiet" },
    });
  } finally {
    await redis.stop();
  }
  const bare = await times("none");
  /** @type {Record<string, number[]>} */
  const costs = {};
  for (const name of Object.keys(CONTESTANTS)) {
    costs[name] = (await times(name)).map((ns, n) => (ns - bare[n]) / 1_000);
  }
  return {
    title: "What a layer adds to a request that passes",
    columns: CLIENTS.map((clients) => (clients === 1 ? "1 client" : `${clients} clients`)),
    rows: Object.entries(CONTESTANTS).map(([name, title]) => ({
      name: title,
      cells: costs[name].map((us) => `${us.toFixed(2)} µs`),
    })),
    notes: [
      "in the fastest of criterion's samples, less the same of the service without a layer; a task fetches permits",
      "from a Redis on this machine meanwhile",
    ],
    data: { bareUs: bare.map((ns) => ns / 1_000), costsUs: costs },
  };
}

/**
 * What a request takes with so many clients, in nanoseconds: in the fastest of criterion's samples,
 * each of which is the mean of many requests. Whatever else the machine does makes others slower.
 * @param {string} group
 * @returns {Promise<number[]>}
 */
async function times(group) {
  const path = (/** @type {number} */ clients) => join(target, "criterion", group, `${clients}`, "new/sample.json");
  const texts = await Promise.all(CLIENTS.map((clients) => readFile(path(clients), "utf8")));
  return texts.map((text) => {
    /** @type {{ times: number[], iters: number[] }} */
    const { times, iters } = JSON.parse(text);
    return Math.min(...times.map((time, n) => time / iters[n]));
  });
}
