/**
 * Prices as a pure function of a key and a time: a random walk that needs no memory.
 *
 * The walk is a sum of octaves of noise, each four times slower and twice as wide as the one before
 * (a random walk's spread grows with the square root of time). Nothing is stored, so a request for
 * any past instant gives the same price again. That is why a closed candle never changes, and why
 * candles, trades, order book and ticks agree with each other.
 */

/** The market moves once per step; its length in milliseconds. */
export const STEP_MS = 100;

export const DAY_MS = 86_400_000;

const OCTAVES = 15;
/** The width of the octave that lasts a day. */
const DAILY_MOVE = 0.03;

const PERIODS = Array.from({ length: OCTAVES }, (_, k) => STEP_MS * 4 ** k);
const WIDTHS = PERIODS.map((period) => DAILY_MOVE * Math.sqrt(period / DAY_MS));

/** @param {number} time Unix milliseconds */
export const stepOf = (time) => Math.floor(time / STEP_MS);

/**
 * The logarithm of the price relative to its base.
 * @param {number} key which walk: see {@link keyOf}
 * @param {number} time Unix milliseconds
 * @param {number} [finest] octaves below this one are left out
 */
export function walk(key, time, finest = 0) {
  let sum = 0;
  for (let k = finest; k < OCTAVES; k++) {
    const position = time / PERIODS[k];
    const i = Math.floor(position);
    const from = unit(key, k, i);
    const to = unit(key, k, i + 1);
    sum += WIDTHS[k] * (2 * (from + (to - from) * (position - i)) - 1);
  }
  return sum;
}

/**
 * Bounds of the walk between two instants, both included.
 *
 * They are exact for the octaves that matter at this span: these are straight lines between the
 * points of a lattice, so their extremes lie on it. The finer octaves are counted at their full
 * width. So the bounds hold for every instant, and those of a growing interval never narrow.
 * @param {number} key
 * @param {number} from Unix milliseconds
 * @param {number} to Unix milliseconds
 * @param {number} span the length of the whole interval of which `from..to` is the part so far
 */
export function bounds(key, from, to, span) {
  let finest = 0;
  while (finest + 1 < OCTAVES && PERIODS[finest + 1] <= span / 8) finest++;
  const period = PERIODS[finest];
  const start = walk(key, from, finest);
  const end = walk(key, to, finest);
  let low = Math.min(start, end);
  let high = Math.max(start, end);
  for (let t = (Math.floor(from / period) + 1) * period; t < to; t += period) {
    const value = walk(key, t, finest);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  let slack = 0;
  for (let k = 0; k < finest; k++) slack += WIDTHS[k];
  return { low: low - slack, high: high + slack };
}

/**
 * A key for all random values that belong to `name` under `seed`.
 * @param {number} seed
 * @param {string} name
 */
export function keyOf(seed, name) {
  let h = mix(seed >>> 0);
  for (let i = 0; i < name.length; i++) h = mix(h ^ name.charCodeAt(i));
  return h;
}

/**
 * A number in [0, 1), always the same for the same arguments.
 * @param {number} key
 * @param {number} salt distinguishes the values that are drawn for the same `n`
 * @param {number} n may exceed 32 bits, as step numbers do
 */
export function unit(key, salt, n) {
  const low = mix(key ^ Math.imul(salt + 1, 0x9e3779b1) ^ (n >>> 0));
  return mix(low + Math.floor(n / 2 ** 32)) / 2 ** 32;
}

/** murmur3's finaliser. @param {number} h */
function mix(h) {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
