/** Reads query parameters and bodies; a value that does not fit is a 400 that names the field. */

import { HttpError } from "./errors.js";

/** @typedef {Record<string, string | string[] | undefined>} Query */

/** @param {Query} query @param {string} name @returns {string | undefined} */
export function text(query, name) {
  const value = query[name];
  if (Array.isArray(value)) throw new HttpError(400, `${name} must be given once`);
  return value === "" ? undefined : value;
}

/** @param {Query} query @param {string} name */
export function requiredText(query, name) {
  const value = text(query, name);
  if (value === undefined) throw new HttpError(400, `${name} must be a string`);
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
  throw new HttpError(400, `${name} must be a whole number from ${min} to ${max}`);
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
  throw new HttpError(400, `${name} must be one of: ${choices.join(", ")}`);
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
 * The coin of a trading symbol; 404 if there is none.
 * @param {import("./market.js").Market} market
 * @param {string} symbol
 */
export function coinOf(market, symbol) {
  const coin = market.find(symbol);
  if (!coin) throw new HttpError(404, `Symbol ${symbol.slice(0, 40)} not found`);
  return coin;
}
