/** What the value cache holds: values as text or octets. */
import { misuse } from "./errors.js";

/**
 * A value as text or octets, of which each caller makes a copy of its own. Neither: `undefined`.
 * @typedef {{ json?: string, bytes?: Uint8Array }} Content
 */

/**
 * A copy of a value for one caller.
 * @param {Content} content
 * @returns {any}
 */
export function copy({ json, bytes }) {
  if (json !== undefined) return JSON.parse(json);
  return bytes && new Uint8Array(bytes);
}

/**
 * A value as the cache holds it; `undefined` if it is none.
 * @param {unknown} value
 * @returns {Content | undefined}
 */
export function contentOf(value) {
  if (value instanceof Uint8Array) return { bytes: new Uint8Array(value) };
  if (value === undefined) return undefined;
  let json;
  try {
    json = JSON.stringify(value);
  } catch {
    // A circle, or a BigInt.
  }
  if (json === undefined) throw misuse("value", "JSON or a Uint8Array");
  return { json };
}

/**
 * What a schema makes of a value that was read. What does not parse is none either, nor is one by
 * which the schema is thrown.
 * @param {Content | undefined} content
 * @param {any} schema
 * @returns {Promise<{ valid: boolean, value?: unknown }>}
 */
export async function validated(content, schema) {
  try {
    const value = copy(/** @type {Content} */ (content));
    if (schema === undefined) return { valid: true, value };
    const result = await schema["~standard"].validate(value);
    return { valid: !result.issues, value: result.value };
  } catch {
    return { valid: false };
  }
}
