/** `@upstash/ratelimit` on a virtual clock, over a real Redis. */
import { Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";

/** @typedef {import("./traces.mjs").Trace} Trace */
/** @typedef {import("./traces.mjs").Shape} Shape */
/** @typedef {import("./simulation.mjs").Wait} Wait */

/** How many requests of one instant are in progress together. */
const TOGETHER = 200;

/** With its memory of refusals, which is its default, and without it. */
export const FLAVOURS = /** @type {const} */ (["block", "no-block"]);

/** @typedef {typeof FLAVOURS[number]} Flavour */

let clients = 0;

/** @param {{ url: string, token: string }} rest */
export function upstash(rest) {
  const redis = new Redis(rest);

  /**
   * A client that has not been used before, and the limiter of each isolate.
   * @param {Flavour} flavour
   * @param {Shape} shape
   * @param {number} isolates
   */
  function begin(flavour, { quota, windowMs }, isolates) {
    const limiters = Array.from(
      { length: isolates },
      () =>
        new Ratelimit({
          redis,
          prefix: `sim-${flavour}`,
          limiter: Ratelimit.slidingWindow(quota, `${windowMs} ms`),
          ephemeralCache: flavour === "block" ? new Map() : false,
          // Longer than any noise of the machine: after this timeout it would admit every request.
          timeout: 60_000,
        }),
    );
    return { limiters, client: `${clients++}` };
  }

  return {
    redis,

    /**
     * Which requests of a trace each flavour admits, and what those of its `probes` that it refuses
     * are told. Both flavours run together, because there is one clock.
     *
     * Its keys expire by the real clock, which is slower than the virtual one, so none expires too
     * early. They carry the number of their window, so a key that still exists does no harm.
     * @param {Shape} shape
     * @param {number} isolates
     * @param {Trace} trace
     * @param {Partial<Record<Flavour, number[]>>} [probes]
     */
    async run(shape, isolates, trace, probes = {}) {
      const runs = FLAVOURS.map((flavour) => ({
        ...begin(flavour, shape, isolates),
        probes: new Set(probes[flavour]),
        /** @type {boolean[]} */
        admitted: [],
        /** @type {Wait[]} */
        waits: [],
      }));
      const isProbe = (/** @type {number} */ n) => runs.some((run) => run.probes.has(n));
      const realNow = Date.now;
      try {
        for (let n = 0; n < trace.length; ) {
          const [at] = trace[n];
          let end = n + 1;
          while (!isProbe(n) && end < trace.length && trace[end][0] === at && end - n < TOGETHER && !isProbe(end))
            end++;
          Date.now = () => at;
          const requests = trace.slice(n, end);
          const all = runs.map(({ limiters, client }) =>
            Promise.all(requests.map(([, isolate]) => limiters[isolate].limit(client))),
          );
          for (const [index, results] of (await Promise.all(all)).entries()) {
            const run = runs[index];
            run.admitted.push(...results.map(({ success }) => success));
            const [{ success, reset }] = results;
            if (!run.probes.has(n) || success) continue;
            const truly = await firstAdmitted(run.limiters[0], run.client, at, shape);
            const toldInSeconds = at + 1000 * Math.ceil((reset - at) / 1000);
            run.waits.push({ asked: at, answered: at, admitted: false, told: reset, toldInSeconds, truly });
          }
          n = end;
        }
      } finally {
        Date.now = realNow;
      }
      const [block, noBlock] = runs;
      return { block, "no-block": noBlock };
    },

    /**
     * The largest size of one client's state in Redis, in bytes: its two counters.
     * @param {Shape} shape
     */
    async largestState({ quota, windowMs }) {
      const { limiters, client } = begin("no-block", { quota, windowMs }, 1);
      const realNow = Date.now;
      try {
        const now = Math.floor(Date.now() / windowMs) * windowMs;
        for (const at of [now - 1, now]) {
          Date.now = () => at;
          await limiters[0].limit(client, { rate: quota });
        }
        const keys = await redis.keys(`sim-no-block:${client}:*`);
        const sizes = await Promise.all(keys.map((key) => redis.strlen(key)));
        return sizes.reduce((sum, size) => sum + size, 0);
      } finally {
        Date.now = realNow;
      }
    },
  };
}

/**
 * The first instant at which a request would pass if no other came before: the count only
 * decreases.
 * @param {Ratelimit} limiter
 * @param {string} client
 * @param {number} from
 * @param {Shape} shape
 */
async function firstAdmitted(limiter, client, from, { windowMs }) {
  let [no, yes] = [from, from + 2 * windowMs];
  while (yes - no > 1) {
    const middle = Math.floor((no + yes) / 2);
    Date.now = () => middle;
    const { remaining } = await limiter.getRemaining(client);
    if (remaining > 0) yes = middle;
    else no = middle;
  }
  return yes;
}
