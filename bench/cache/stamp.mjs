/** The stamp at the beginning of an answer. */

/**
 * @typedef {{ asked: number, made: number, call: number }} Stamp Unix milliseconds; `call`: the
 *   number of the call for its path
 */

/** The longest stamp, in bytes. */
const LENGTH = 100;

/**
 * A body of this length that begins with the stamp; the rest is blank.
 * @param {Stamp} stamp
 * @param {number} length
 */
export function stamped(stamp, length) {
  return JSON.stringify(stamp).padEnd(length);
}

/** @param {Buffer} body @returns {Stamp} */
export function stampOf(body) {
  return JSON.parse(body.toString("latin1", 0, LENGTH));
}
