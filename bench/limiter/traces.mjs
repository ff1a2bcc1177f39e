/**
 * Invented requests of one client: when each comes, and to which isolate. The same seed makes the
 * same trace.
 */

/** @typedef {[at: number, isolate: number][]} Trace `at`: Unix ms, never decreasing */
/** @typedef {{ quota: number, windowMs: number }} Shape */

/** When every trace begins: an instant at which windows of all usual lengths begin. */
export const START = 1_700_006_400_000;

/** Sub-buckets in a window: what adversaries know of the limiter. */
const SUB_BUCKETS = 30;

/**
 * Numbers in [0, 1) (Mulberry32).
 * @param {number} seed
 */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @typedef {ReturnType<typeof randomNumbers>} Random */

/**
 * @typedef {Shape & { width: number, isolates: number, random: Random }} Ground `width`: of a
 *   sub-bucket, ms
 */

/**
 * What adversaries send, in ms since the start.
 * @type {Record<string, (ground: Ground) => number[]>}
 */
const ADVERSARIES = {
  // Against limiters that count windows separately, or that estimate the last window by its share.
  "two bursts, each at the end of a window": ({ quota, windowMs }) => [
    ...burst(windowMs - 1, 2 * quota),
    ...burst(2 * windowMs - 1, 2 * quota),
    ...burst(3 * windowMs - 2, 2 * quota),
  ],
  "a burst at the end of a window, then without pause": ({ quota, windowMs }) => [
    ...burst(windowMs - 1, 2 * quota),
    ...evenly(windowMs, 2 * windowMs, 6 * quota),
  ],
  "without pause": ({ quota, windowMs }) => evenly(0, 3 * windowMs, 12 * quota),
  // Against limiters that stop counting sub-buckets too early.
  "around the end of a sub-bucket, and a window later": ({ quota, windowMs, width, random }) => {
    const end = width * (1 + whole(random, SUB_BUCKETS));
    const around = [-2, -1, 0, 1, 2].map((ms) => end + ms);
    const instants = [0, 1, 2].flatMap((n) => around.map((at) => at + n * windowMs));
    return instants.flatMap((at) => burst(at, Math.ceil(quota / 2)));
  },
  // Against limiters that let lent permits be spent at the last moment but count them at the first.
  "permits are hoarded, and spent as they become void": ({ quota, windowMs, width, random, isolates }) => {
    const times = [];
    for (let bucket = 1; bucket < 3 * SUB_BUCKETS; bucket += 2) {
      const end = (bucket + 2) * width;
      times.push(...burst(bucket * width + whole(random, 3), 3 * isolates));
      if (random() < 0.3) times.push(...burst(end - 2, quota), ...burst(end - 1, quota));
      if (random() < 0.3) times.push(...burst(end + windowMs - width - 1, quota));
    }
    return times.filter((at) => at < 4 * windowMs);
  },
  "bursts of any size at the edges of any sub-buckets": ({ quota, windowMs, width, random }) => {
    const bursts = Array.from({ length: 60 }, () => {
      const edge = whole(random, 4 * SUB_BUCKETS) * width;
      return burst(Math.max(edge + whole(random, 5) - 2, 0), 1 + whole(random, quota));
    });
    return bursts.flat().filter((at) => at < 4 * windowMs);
  },
};

/**
 * One trace of each adversary.
 * @param {Shape} shape
 * @param {number} isolates
 * @param {Random} random
 * @returns {{ name: string, trace: Trace }[]}
 */
export function adversaries(shape, isolates, random) {
  const width = Math.ceil(shape.windowMs / SUB_BUCKETS);
  return Object.entries(ADVERSARIES).map(([name, adversary]) => {
    const times = adversary({ ...shape, width, isolates, random }).toSorted((a, b) => a - b);
    return { name, trace: spread(times, isolates, random) };
  });
}

/**
 * A steady client: `load` times the quota, at independent random times.
 * @param {Shape & { windows: number, load: number }} shape
 * @param {number} isolates
 * @param {Random} random
 */
export function poisson({ quota, windowMs, windows, load }, isolates, random) {
  const times = [];
  for (let at = 0; ; ) {
    at -= (Math.log(1 - random()) * windowMs) / (load * quota);
    if (at >= windows * windowMs) return spread(times, isolates, random);
    times.push(Math.floor(at));
  }
}

/**
 * Sends each request to a random isolate.
 * @param {number[]} times
 * @param {number} isolates
 * @param {Random} random
 * @returns {Trace}
 */
function spread(times, isolates, random) {
  return times.map((at) => [START + at, whole(random, isolates)]);
}

/** @param {number} at @param {number} requests */
function burst(at, requests) {
  return new Array(requests).fill(at);
}

/** @param {number} from @param {number} to @param {number} requests */
function evenly(from, to, requests) {
  return Array.from({ length: requests }, (_, n) => from + Math.floor((n * (to - from)) / requests));
}

/** @param {Random} random @param {number} below */
function whole(random, below) {
  return Math.floor(random() * below);
}
