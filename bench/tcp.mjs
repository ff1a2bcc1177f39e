/** Exact checks over TCP, beside calls of the same script over the crate `redis` alone. */
import { run } from "../scripts/lib/process.mjs";
import { startRedis } from "../scripts/lib/servers.mjs";
import { buildBench } from "./lib/native.mjs";
import { median, spread } from "./lib/report.mjs";

/** How many checks a second one core must make at least. */
const MUST = 5_000;

/** How many checks are under way at once. */
const UNDER_WAY = [1, 16, 64];

/** The calls of a round. */
const CALLS = 20_000;

/**
 * @typedef {{ underWay: number, ours: number[], bare: number[] }} Figures checks a second, for each
 *   round
 */

/**
 * @param {unknown} _ground
 * @param {import("./main.mjs").Settings} settings
 * @returns {Promise<import("./lib/report.mjs").Table>}
 */
export async function measure(_ground, { rounds = 7 }) {
  const program = await buildBench("tcp", ["redis-tcp"]);
  // Of its own, because it is emptied between the rounds.
  const redis = await startRedis();
  try {
    const args = [redis.url, `${rounds}`, `${CALLS}`, UNDER_WAY.join()];
    const { text } = await run(program, args, { output: "quiet" });
    const { figures } = /** @type {{ figures: Figures[] }} */ (JSON.parse(text));
    return {
      title: "Exact checks over TCP, a second, on one thread",
      columns: ["must", "met", "omnitrade-edge", "EVALSHA by redis", "ratio"],
      rows: figures.map(({ underWay, ours, bare }) => {
        const ratios = ours.map((each, round) => each / bare[round]);
        // One after another, the way there and back counts, and not what a core can do.
        const must = underWay > 1;
        return {
          name: underWay === 1 ? "one after another" : `${underWay} at once`,
          cells: [
            must ? `≥ ${MUST}` : "",
            must ? (median(ours) >= MUST ? "yes" : "NO") : "",
            `${Math.round(median(ours))}`,
            `${Math.round(median(bare))}`,
            spread(ratios),
          ],
        };
      }),
      notes: [
        `Medians of ${rounds} rounds of ${CALLS} checks of 1,000 subjects, ratio with quartiles. The peer sends what the`,
        "limiter has sent, over the crate redis and nothing else. Redis has another core.",
      ],
      data: figures,
    };
  } finally {
    await redis.stop();
  }
}
