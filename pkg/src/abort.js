/** Calls of functions that need not heed a signal. */

/**
 * @template T
 * @param {Promise<T>} work
 * @param {AbortSignal | null | undefined} signal
 * @param {() => unknown} [why] what the promise rejects with after an abort
 * @returns {Promise<T>} rejects as soon as there is an abort, even if the work goes on
 */
export function unlessAborted(work, signal, why = () => signal?.reason) {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const end = () => reject(why());
    if (signal.aborted) end();
    signal.addEventListener("abort", end, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}
