/**
 * How well the gate caches, beside nginx and Varnish if they are installed: how often the origin is
 * asked, which requests wait for it, how old served answers get, and what happens to waiting
 * requests when something fails.
 */
import { deadAndBack, oldestFresh, oldestWhileDown } from "./cache/ages.mjs";
import { CROWD, coldCosts, coldCrowd, LATENCY_MS, troubledCrowd } from "./cache/crowds.mjs";
import { startFronts } from "./cache/fronts.mjs";
import { ORIGIN_TIMEOUT_MS, TIMES } from "./cache/job.mjs";
import { copiedPerHit, largeAnswers } from "./cache/large.mjs";
import { CLOCKS_MS, linesOf } from "./cache/lines.mjs";
import { CLIENTS, liveLoads, ROUNDS, SECONDS, storeCosts } from "./cache/live.mjs";
import { PEERS } from "./cache/peers.mjs";
import { purgeOfGate, purgeOfVarnish } from "./cache/purging.mjs";

/**
 * @typedef {Awaited<ReturnType<typeof measureAll>>} Figures of each front, in the order of the
 *   columns: the gate, nginx, Varnish
 */

/** @param {import("./lib/ground.mjs").Ground} ground */
export async function measure(ground) {
  const fronts = await startFronts(ground);
  try {
    const figures = await measureAll(fronts, ground);
    return {
      title: "How well it caches",
      columns: ["must", "met", "omnitrade-edge", ...PEERS.map(({ title }) => title)],
      rows: linesOf(figures).map(({ name, must, met, ours, peers }) => ({
        name,
        cells: [
          must ?? "",
          met === undefined ? "" : met ? "yes" : "NO",
          ours,
          ...PEERS.map(({ program }, n) => (program === undefined ? "not installed" : (peers[n] ?? null))),
        ],
      })),
      notes: notes(),
      data: figures,
    };
  } finally {
    await fronts.stop();
  }
}

/**
 * @param {import("./cache/fronts.mjs").Fronts} fronts
 * @param {import("./lib/ground.mjs").Ground} ground
 */
async function measureAll({ origin, proxy, one, two, metered, counting, plain, peers }, { redis }) {
  const all = [two, ...peers];
  /**
   * Runs `of` for one front after the other, because they share the origin and its faults.
   * @template T
   * @param {(front: import("./cache/crowds.mjs").Front, index: number) => Promise<T>} of
   * @param {(import("./cache/crowds.mjs").Front | undefined)[]} fronts
   * @returns {Promise<(T | null)[]>}
   */
  const each = async (of, fronts = all) => {
    const found = [];
    for (const [index, front] of fronts.entries()) found.push(front ? await of(front, index) : null);
    return found;
  };
  const alone = [one, ...peers];
  const cold = await each((front, index) => coldCrowd(front, origin, `one-${index}`), alone);
  const coldOverTwo = await coldCrowd(two, origin, "two");

  const present = all.filter((front) => front !== undefined);
  const loads = await liveLoads(present, origin);
  const counts = async () => [total(await redis.calls()), proxy.calls()];
  const coldStore = await coldCosts(metered, origin, counts);
  const store = await storeCosts(metered, origin, counts);

  return {
    cold,
    coldOverTwo,
    live: all.map((front) => (front ? loads[present.indexOf(front)] : null)),
    coldStore,
    store,
    leaves: await each((front, name) => troubledCrowd(front, origin, "leaves", name), alone),
    reset: await each((front, name) => troubledCrowd(front, origin, "reset", name), alone),
    hang: await each((front, name) => troubledCrowd(front, origin, "hang", name), alone),
    fine: await each((front) => oldestFresh(front), alone),
    fineOverTwo: await oldestFresh(two),
    ceiling: await each((front) => oldestWhileDown(front, origin)),
    deadByReset: await each((front) => deadAndBack(front, origin, "reset")),
    deadByHang: await each((front) => deadAndBack(front, origin, "hang")),
    purge: [await purgeOfGate(two), null, peers[1] ? await purgeOfVarnish(peers[1]) : null],
    large: await largeAnswers(
      one,
      plain,
      peers.filter((peer) => peer !== undefined),
    ),
    copied: await copiedPerHit(counting),
  };
}

/** @param {Map<string, number>} calls */
function total(calls) {
  return [...calls.values()].reduce((sum, count) => sum + count, 0);
}

function notes() {
  const missing = PEERS.filter(({ program }) => program === undefined);
  const { ttl, ifError = 0 } = TIMES["/ceiling"];
  return [
    ...missing.map(({ title, install }) => `${title} is not installed: ${install}`),
    "The same origin and load for all, on loopback; nginx with one worker process, Varnish with one pool of threads,",
    "the gate in one workerd process; by default two isolates with one Redis, of which the peers have no equal.",
    `Cold: ${CROWD} connections that are open, the origin takes ${LATENCY_MS} ms; the most calls and errors, the median p50, of five rounds.`,
    `Live: ${CLIENTS} connections, ${SECONDS} s, ttl 1 s, stale for ${(TIMES["/live"].whileRefreshed ?? 0) / 1000} s; ${ROUNDS} rounds in turns, the worst of them, speeds as medians.`,
    "Waited: the answer was made by a call of the origin that began after the client had asked.",
    `Followers: ten that wait for what another one asked for; the origin may take ${ORIGIN_TIMEOUT_MS / 1000} s.`,
    `Fresh by two isolates: ${CLOCKS_MS} ms more, since each sets its clock by Redis' and two such settings differ a little.`,
    `Ages: from when the origin made an answer to when a client asked that was given it. Ceiling: ttl ${ttl / 1000} s and`,
    `stale_if_error ${ifError / 1000} s; "all the time" says that it was still served when nobody looked any more, 3 s after that.`,
    "nginx counts freshness in whole seconds (1 s in place of 250 ms), has no end of what is stale but the entry's removal,",
    "and no purge. Varnish has one grace for refreshing and failing, and purges by URL.",
    "Plain JS: a Worker that answers the same bytes from its memory and does nothing else.",
  ];
}
