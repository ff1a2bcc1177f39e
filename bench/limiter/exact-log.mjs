/** The reference: a log of every admitted request. */

/** @typedef {import("./traces.mjs").Shape} Shape */

/**
 * Which requests a limiter admits that forgets nothing: one by one, as many as any correct limiter
 * can.
 * @param {number[]} times
 * @param {Shape} shape
 */
export function exactLog(times, { quota, windowMs }) {
  /** @type {number[]} */
  const admitted = [];
  return times.map((at) => {
    // Both ends count: a request exactly one window ago is still inside.
    const oldest = admitted[admitted.length - quota];
    const isAdmitted = oldest === undefined || at - oldest > windowMs;
    if (isAdmitted) admitted.push(at);
    return isAdmitted;
  });
}

/**
 * The largest number of requests that were admitted in any window, both ends included.
 * @param {number[]} times of the admitted requests, never decreasing
 * @param {number} windowMs
 */
export function mostInAWindow(times, windowMs) {
  let most = 0;
  let first = 0;
  for (const [n, at] of times.entries()) {
    while (at - times[first] > windowMs) first++;
    most = Math.max(most, n - first + 1);
  }
  return most;
}
