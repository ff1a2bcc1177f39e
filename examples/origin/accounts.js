/** The data of each user, in memory. */

import { randomUUID } from "node:crypto";
import { HttpError } from "./errors.js";

/**
 * @typedef {{
 *   id: string, userId: string, exchangeId: string, symbol: string, side: string, type: string,
 *   status: string, price: number | null, stopPrice: number | null, quantity: number,
 *   executed: number, createdAt: string, updatedAt: string
 * }} Order
 */
/**
 * @typedef {{
 *   api_key_id: string, user_id: string, exchange_id: string, key_nickname: string | null,
 *   api_key_preview: string, is_valid: boolean, created_at: string
 * }} ExchangeKey
 */
/** @typedef {{ orders: Map<string, Order>, keys: Map<string, ExchangeKey> }} Account */

// Any made-up token opens an account, so without bounds clients could fill the memory.
const MAX_ACCOUNTS = 1_000;
const MAX_ENTRIES = 200;

export function createAccounts() {
  /** @type {Map<string, Account>} */
  const accounts = new Map();

  return {
    /** @param {string} user @returns {Account} */
    of: (user) => {
      const account = accounts.get(user) ?? { orders: new Map(), keys: new Map() };
      put(accounts, user, account, MAX_ACCOUNTS);
      return account;
    },
  };
}

/** @param {Account} account @param {Omit<Order, "id">} order @returns {Order} */
export function addOrder(account, order) {
  const added = { id: randomUUID(), ...order };
  put(account.orders, added.id, added, MAX_ENTRIES);
  return added;
}

/** @param {Account} account @param {Omit<ExchangeKey, "api_key_id">} key @returns {ExchangeKey} */
export function addKey(account, key) {
  const added = { api_key_id: randomUUID(), ...key };
  put(account.keys, added.api_key_id, added, MAX_ENTRIES);
  return added;
}

/** @template T @param {Map<string, T>} entries @param {string} id @param {string} what */
export function entry(entries, id, what) {
  const found = entries.get(id);
  if (!found) throw new HttpError(404, `${what} ${id.slice(0, 40)} not found`);
  return found;
}

/**
 * Puts the entry last, and removes the first one if there are too many.
 * @template T
 * @param {Map<string, T>} map
 * @param {string} key
 * @param {T} value
 * @param {number} max
 */
function put(map, key, value, max) {
  map.delete(key);
  map.set(key, value);
  if (map.size <= max) return;
  const [oldest] = map.keys();
  map.delete(oldest);
}
