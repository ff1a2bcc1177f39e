/** Describes what was measured, and on which machine. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { root } from "../../scripts/lib/process.mjs";

/**
 * @typedef {object} Machine
 * @property {Record<string, string>} versions
 * @property {number} cores
 */

/**
 * @param {import("./redis-info.mjs").RedisInfo} redis
 * @returns {Promise<Machine>}
 */
export async function describeMachine(redis) {
  const installed = (/** @type {string} */ name) => versionIn(join("node_modules", name));
  return {
    versions: {
      "omnitrade-edge": versionIn("."),
      "@upstash/ratelimit": installed("@upstash/ratelimit"),
      "@upstash/redis": installed("@upstash/redis"),
      redis: (await redis.info("server")).get("redis_version") ?? "",
      workerd: installed("workerd"),
      node: process.versions.node,
    },
    cores: availableParallelism(),
  };
}

/** @param {string} folder @returns {string} */
function versionIn(folder) {
  return JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")).version;
}
