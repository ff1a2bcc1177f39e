/**
 * Reads query parameters and bodies, as the API's DTOs do: a value that does not fit, or a
 * parameter that is not declared, is a 400 whose `message` is a list.
 */

import { HttpError } from "./errors.js";

/** @typedef {Record<string, string | string[] | undefined>} Query */

/**
 * Refuses parameters other than those named.
 * @param {Query} query
 * @param {string[]} names
 */
export function declared(query, names) {
  const others = Object.keys(query).filter((name) => !names.includes(name));
  if (others.length === 0) return;
  throw new HttpError(
    400,
    others.slice(0, 10).map((name) => `property ${name.slice(0, 40)} should not exist`),
  );
}

/** @param {Query} query @param {string} name @returns {string | undefined} */
export function text(query, name) {
  const value = query[name];
  if (Array.isArray(value)) throw new HttpError(400, [`${name} must be given once`]);
  return value === "" ? undefined : value;
}

/** @param {Query} query @param {string} name */
export function requiredText(query, name) {
  const value = text(query, name);
  if (value === undefined) throw new HttpError(400, [`${name} must be a string`]);
  return value;
}

/**
 * @template {number | undefined} D
 * @param {Query} query
 * @param {string} name
 * @param {{ min: number, max: number, fallback: D }} bounds
 * @returns {number | D}
 */
export function integer(query, name, { min, max, fallback }) {
  const value = text(query, name);
  if (value === undefined) return fallback;
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw new HttpError(400, [`${name} must be a whole number from ${min} to ${max}`]);
}

/**
 * @param {Query} query
 * @param {string} name
 * @param {string[]} choices
 * @param {string} [fallback]
 */
export function choice(query, name, choices, fallback) {
  const value = text(query, name) ?? fallback;
  if (value !== undefined && choices.includes(value)) return value;
  throw new HttpError(400, [`${name} must be one of: ${choices.join(", ")}`]);
}

/**
 * The fields of a JSON body, whatever was sent.
 * @param {unknown} body
 * @returns {Record<string, unknown>}
 */
export function fields(body) {
  return typeof body === "object" && body !== null && !Array.isArray(body)
    ? /** @type {Record<string, unknown>} */ (body)
    : {};
}

/**
 * The coin of a symbol. What the API does not know fails like its providers: with 500.
 * @param {import("./market.js").Market} market
 * @param {string} symbol
 */
export function coinOf(market, symbol) {
  const coin = market.find(symbol);
  if (!coin) throw providerFailed(`no data for ${symbol.slice(0, 40)}`);
  return coin;
}

/**
 * A provider has no answer, or has failed: the API does not tell these apart.
 * @param {string} why
 */
export const providerFailed = (why) => new HttpError(500, `Failed to fetch: ${why}`);
