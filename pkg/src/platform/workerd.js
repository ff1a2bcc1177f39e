/** What Cloudflare's Workers give to code that is not handed the context of a request. */
import * as workers from "cloudflare:workers";

/**
 * Keeps the request going until some work is done.
 * @param {Promise<unknown>} work
 */
export function waitUntil(work) {
  try {
    /** @type {any} */ (workers).waitUntil?.(work);
  } catch {
    // Outside of requests there is none to keep.
  }
}

/** @returns {Record<string, unknown>} the bindings */
export function environment() {
  return /** @type {any} */ (workers).env ?? {};
}

/** No: none may wait for what belongs to another. */
export const BATCHES = false;

/** How long work may go on after a request, in milliseconds: the platform ends it after 30 s. */
export const PATIENCE = 25_000;

/** The header that the platform sets to the client's address. */
export const addressHeader = () => "cf-connecting-ip";

/** A cheaper `fetch` than the platform's for the client's own requests: none. */
export const ownFetch = () => undefined;
