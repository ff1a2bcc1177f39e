/** What platforms give to code that is not handed the context of a request. */

const { process } = /** @type {any} */ (globalThis);

/**
 * Keeps the request going until some work is done: on Vercel. Elsewhere nothing is needed.
 * @param {Promise<unknown>} work
 */
export function waitUntil(work) {
  /** @type {any} */ (globalThis)[Symbol.for("@vercel/request-context")]?.get?.()?.waitUntil?.(work);
}

/** @returns {Record<string, unknown>} the variables of the process */
export function environment() {
  return process?.env ?? {};
}

/** Whether requests may share an exchange with the store. */
export const BATCHES = true;

/** How long work may go on after a request, in milliseconds. */
export const PATIENCE = 60_000;

/** The header that the platform sets to the client's address. */
export const addressHeader = () => (process?.env?.VERCEL ? "x-real-ip" : "cf-connecting-ip");

/** A cheaper `fetch` than the platform's for the client's own requests: none. */
export const ownFetch = () => undefined;
