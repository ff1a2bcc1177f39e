/** Time that passes. */
import { EdgeError } from "./errors.js";

/** What a timer takes at most: a longer one ends at once. In milliseconds. */
export const LONGEST_TIMER = 0x7fff_ffff;

/**
 * Calls back later, without keeping a process alive.
 * @param {() => void} callback
 * @param {number} ms
 */
export function later(callback, ms) {
  const timer = /** @type {any} */ (setTimeout(callback, Math.min(ms, LONGEST_TIMER)));
  timer?.unref?.();
  return timer;
}

/**
 * @param {number} ms
 * @param {AbortSignal} [signal] ends the wait: then the promise rejects
 * @returns {Promise<void>}
 */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted(false));
    const end = () => {
      clearTimeout(timer);
      reject(aborted(false));
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener("abort", end);
        resolve();
      },
      Math.min(ms, LONGEST_TIMER),
    );
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** @param {boolean} mayHaveRun */
export function aborted(mayHaveRun) {
  return new EdgeError("aborted", mayHaveRun, "the call was aborted");
}

/**
 * A promise, or a rejection with code `timeout` after some time, or `aborted` by a signal. What it
 * does after that is of no interest.
 * @template T
 * @param {Promise<T>} work
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function within(work, ms, signal) {
  /** @type {any} */
  let timer;
  let stop = () => {};
  try {
    return await new Promise((resolve, reject) => {
      const late = () => reject(new EdgeError("timeout", true, `no result within ${ms} ms`));
      timer = setTimeout(late, Math.min(ms, LONGEST_TIMER));
      stop = () => reject(aborted(true));
      signal?.addEventListener("abort", stop);
      Promise.resolve(work).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}
