/** `@upstash/ratelimit` on a virtual clock, over a real Redis. */
import { Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";

/** @typedef {import("./traces.mjs").Trace} Trace */
/** @typedef {import("./traces.mjs").Shape} Shape */
/** @typedef {import("./simulation.mjs").Wait} Wait */

/** How many requests of one instant are under way together. */
const TOGETHER = 200;

/** As `@upstash/ratelimit` names what stands in the way of its memory of refusals. */
export const FLAVOURS = { block: () => new Map(), "no-block": () => /** @type {const} */ (false) };

/** @typedef {keyof typeof FLAVOURS} Flavour */

let clients = 0;

/** @param {{ url: string, token: string }} rest */
export function upstash(rest) {
  const redis = new Redis({ ...rest, automaticDeserialization: true });

  /**
   * A client that nobody has seen, and each isolate's limiter.
   * @param {Flavour} flavour
   * @param {Shape} shape
   * @param {number} isolates
   */
  function begin(flavour, { quota, windowMs }, isolates) {
    const limiters = Array.from({ length: isolates }, () => {
      const limiter = Ratelimit.slidingWindow(quota, `${windowMs} ms`);
      // Longer than any noise on the machine: after it, everybody is let through.
      const timeout = 60_000;
      return new Ratelimit({ redis, prefix: `sim-${flavour}`, limiter, ephemeralCache: FLAVOURS[flavour](), timeout });
    });
    return { limiters, client: `${clients++}` };
  }

  return {
    redis,

    /**
     * Which requests are admitted, and of the `probes` among them that are refused, what they are told.
     *
     * Its keys expire by the real clock, which is slower than the virtual one: none too early. They
     * carry the number of their window, so one that is still there does no harm.
     * @param {Flavour} flavour
     * @param {Shape} shape
     * @param {number} isolates
     * @param {Trace} trace
     * @param {number[]} [probes]
     */
    async run(flavour, shape, isolates, trace, probes = []) {
      const { limiters, client } = begin(flavour, shape, isolates);
      /** @type {boolean[]} */
      const admitted = [];
      /** @type {Wait[]} */
      const waits = [];
      const realNow = Date.now;
      try {
        for (let n = 0; n < trace.length; ) {
          const [at] = trace[n];
          const isProbe = probes.includes(n);
          let end = n + 1;
          while (!isProbe && end < trace.length && trace[end][0] === at && end - n < TOGETHER) end++;
          Date.now = () => at;
          const all = trace.slice(n, end).map(([, isolate]) => limiters[isolate].limit(client));
          const results = await Promise.all(all);
          admitted.push(...results.map(({ success }) => success));
          const [{ success, reset }] = results;
          if (isProbe && !success) {
            const truly = await firstAdmitted(limiters[0], client, at, shape);
            const toldInSeconds = at + 1000 * Math.ceil((reset - at) / 1000);
            waits.push({ asked: at, answered: at, admitted: false, told: reset, toldInSeconds, truly });
          }
          n = end;
        }
      } finally {
        Date.now = realNow;
      }
      return { admitted, waits };
    },

    /**
     * What one client's state takes in Redis at most, in bytes: its two counters.
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
 * The first instant at which a request would pass, if none came before: less and less is counted.
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
