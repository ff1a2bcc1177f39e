/** Reads settings and arguments. What is wrong throws an `EdgeError` that names the field. */
import { misuse } from "./errors.js";

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A duration in milliseconds.
 * @param {unknown} value
 * @param {string} field
 * @param {number} [least] in milliseconds
 * @returns {number}
 */
export function duration(value, field, least = 1) {
  let ms = value;
  if (typeof value === "string") {
    const [, number, unit] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)$/.exec(value) ?? [];
    ms = Number(number) * UNITS[/** @type {keyof typeof UNITS} */ (unit)];
  }
  if (typeof ms === "number" && ms >= least && ms <= 1e14) return Math.ceil(ms);
  const bound = least > 0 ? `at least ${least} ms, such as "60s"` : 'a duration such as "60s"';
  throw misuse(field, typeof value === "number" ? `${bound} or a number of milliseconds` : bound);
}

/**
 * A whole number.
 * @param {unknown} value
 * @param {string} field
 * @param {number} least
 * @param {number} [most]
 * @returns {number}
 */
export function integer(value, field, least, most = 1_000_000_000) {
  if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most) return Number(value);
  throw misuse(field, `a whole number from ${least} to ${most}`);
}

/**
 * One of these words.
 * @template {string} T
 * @param {unknown} value
 * @param {string} field
 * @param {readonly T[]} words the first one is the default
 * @returns {T}
 */
export function oneOf(value, field, words) {
  if (value === undefined) return words[0];
  const word = words.find((each) => each === value);
  if (word !== undefined) return word;
  throw misuse(field, words.map((each) => `"${each}"`).join(" or "));
}

/**
 * A function, if it is there.
 * @template {Function | undefined} T
 * @param {T} value
 * @param {string} field
 * @returns {T}
 */
export function optional(value, field) {
  if (value === undefined || typeof value === "function") return value;
  throw misuse(field, "a function");
}

/**
 * The prefix of all keys.
 * @param {unknown} value
 */
export function keyPrefix(value = "ot") {
  // A prefix in braces puts all keys in one slot of a clustered Redis.
  if (typeof value === "string" && /^(?:[\w.-]{1,32}|\{[\w.-]{1,30}\})$/.test(value)) return value;
  throw misuse("keyPrefix", "up to 32 letters, digits, `-`, `_` or `.`, or such a name in braces");
}

/**
 * A store, if it is there.
 * @param {import("@omnitrade/edge").Store | undefined} value
 */
export function store(value) {
  if (value === undefined || (typeof value?.command === "function" && typeof value?.evaluate === "function")) {
    return value;
  }
  throw misuse("redis", 'a `Redis`, or another client through "@omnitrade/edge/clients"');
}

/**
 * What a caller's own function throws is none of our failures.
 * @param {() => void} call
 */
export function quietly(call) {
  try {
    call();
  } catch (error) {
    console.error(error);
  }
}

/** Whether a text has octets: half a character has none. @param {any} text */
export const wellFormed = (text) => text.isWellFormed?.() !== false;
