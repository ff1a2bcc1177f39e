/** Reads what callers of the value cache say about a value. */
import { misuse } from "./errors.js";
import { duration, wellFormed } from "./settings.js";

/** @import { EntryOptions } from "@omnitrade/edge" */

const MOST_TAGS = 8;

/**
 * @typedef {{ ttl: number, swr: number, sie: number, tags: string[] }} Rules in milliseconds;
 *   `sie` -1: none
 */

/** @param {unknown} key */
export function keyOf(key) {
  if (typeof key !== "string" || !wellFormed(key)) throw misuse("key", "a well-formed text");
}

/**
 * @param {EntryOptions} options
 * @returns {Rules}
 */
export function rulesOf(options) {
  if (options === null || typeof options !== "object") throw misuse("options", "an object with ttl");
  const { staleWhileRevalidate: swr = 0, staleIfError: sie, tags = [] } = options;
  return {
    ttl: duration(options.ttl, "ttl", 0),
    swr: duration(swr, "staleWhileRevalidate", 0),
    sie: sie === undefined ? -1 : duration(sie, "staleIfError", 0),
    tags: tagsOf(tags, MOST_TAGS),
  };
}

/**
 * @param {readonly string[]} tags
 * @param {number} [most]
 */
export function tagsOf(tags, most = 1e9) {
  const fits = Array.isArray(tags) && tags.length <= most && tags.every((tag) => typeof tag === "string" && tag);
  if (!fits) throw misuse("tags", "texts that are not empty, at most 8 for a value");
  return [...tags];
}
