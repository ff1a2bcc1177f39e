/** The faults of a soak: what fails when, chosen by a seed. */
import { setTimeout as sleep } from "node:timers/promises";

/** @typedef {import("./world.mjs").StoreFault} StoreFault */
/** @typedef {import("./world.mjs").OriginFault} OriginFault */

/** @type {(readonly [number, StoreFault])[]} */
const STORE = [
  [8, null],
  [1, "hang"],
  [1, "stall"],
  [1, "reset"],
  [1, "nonsense"],
  [1, 500],
  [2, "slow"],
  [2, "flapping"],
];

/** @type {(readonly [number, OriginFault])[]} */
const ORIGIN = [
  [8, null],
  [1, "fails"],
  [1, "hangs"],
  [1, "resets"],
  [1, "drips"],
  [1, "slow"],
];

/**
 * A time in which the same things fail, in Unix ms.
 * @typedef {{ from: number, until: number, store: StoreFault, origin: OriginFault }} Phase
 */

/**
 * @template T
 * @param {(readonly [number, T])[]} kinds
 * @param {boolean} may fail
 */
function some(kinds, may) {
  return may ? kinds : kinds.slice(0, 1);
}

/**
 * Switches faults until the time is over. Then nothing fails.
 * @param {import("./world.mjs").World} world
 * @param {{
 *   until: number, what: string[],
 *   choose: import("./traffic.mjs").Choices,
 * }} how `what`: may fail
 * @returns {Promise<Phase[]>}
 */
export async function faults({ store, origin }, { until, what, choose }) {
  /** @type {Phase[]} */
  const phases = [];
  while (Date.now() < until) {
    const from = Date.now();
    store.fault = choose.weighted(some(STORE, what.includes("store")));
    origin.fault = choose.weighted(some(ORIGIN, what.includes("origin")));
    await sleep(Math.min(choose.between(300, 4_000), until - from));
    phases.push({ from, until: Date.now(), store: store.fault, origin: origin.fault });
  }
  store.fault = null;
  origin.fault = null;
  return phases;
}
