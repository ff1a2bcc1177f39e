/**
 * Reproducible random choices: a failure prints its seed, `SEED=…` repeats it, and `TIMES=20` makes
 * twenty times as many cases.
 */

/** How many cases to make, given the default number. @param {number} cases */
export function times(cases) {
  return cases * Number(process.env.TIMES ?? 1);
}

/** The seed to use: from the environment, or a new one each time. */
export function seed() {
  return Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
}

/** @param {number} seed */
export function choices(seed) {
  let state = seed >>> 0;
  /** The next number, at least 0 and below 1. The generator is mulberry32. */
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  /** A whole number, at least `from` and below `to`. @param {number} from @param {number} to */
  const between = (from, to) => from + Math.floor(random() * (to - from));
  const make = {
    random,
    between,
    /** True with this probability. @param {number} share */
    chance: (share) => random() < share,
    /** @template T @param {readonly T[]} items @returns {T} */
    one: (items) => items[between(0, items.length)],
    /**
     * Some of the items, in any order.
     * @template T
     * @param {readonly T[]} items
     * @param {number} share
     * @returns {T[]}
     */
    some: (items, share) => make.shuffled(items.filter(() => random() < share)),
    /** @template T @param {readonly T[]} items @returns {T[]} */
    shuffled: (items) => {
      const left = [...items];
      return items.map(() => left.splice(between(0, left.length), 1)[0]);
    },
    /**
     * One of the items, by weight.
     * @template T
     * @param {readonly (readonly [number, T])[]} items
     * @returns {T}
     */
    weighted: (items) => {
      let left = random() * items.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, item] of items) {
        left -= weight;
        if (left < 0) return item;
      }
      return items[items.length - 1][1];
    },
    /** @template T @param {number} length @param {() => T} item @returns {T[]} */
    list: (length, item) => Array.from({ length }, item),
  };
  return make;
}
