/** What a stamped answer begins with. */

/** @typedef {{ asked: number, made: number, call: number }} Stamp Unix milliseconds; which call for its path it was */

/** No stamp is longer. */
const LENGTH = 100;

/**
 * A body of so many bytes, most of them blank.
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
