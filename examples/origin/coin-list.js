/** The list of coins with their market data, in CoinGecko's format. */

import { dayRange, dayVolume, priceAt } from "./market.js";
import { DAY_MS } from "./walk.js";

/** @typedef {import("./market.js").Market} Market */
/** @typedef {import("./coins.js").Coin} Coin */

/** How often the list is renewed, in milliseconds. */
const RENEWED_MS = 1_000;
const SPARK_MS = 4 * 3_600_000;
const SPARK_POINTS = 42;

/**
 * The value of a US dollar in other currencies; those of BTC and ETH come from the market.
 * @type {Record<string, number>}
 */
const RATES = { usd: 1, eur: 0.92, gbp: 0.79, jpy: 149, chf: 0.88 };
export const CURRENCIES = [...Object.keys(RATES), "btc", "eth"];

/** @type {Record<string, (a: Listed, b: Listed) => number>} */
const ORDERS = {
  market_cap_desc: (a, b) => b.market_cap - a.market_cap,
  market_cap_asc: (a, b) => a.market_cap - b.market_cap,
  volume_desc: (a, b) => b.total_volume - a.total_volume,
  volume_asc: (a, b) => a.total_volume - b.total_volume,
  id_asc: (a, b) => (a.id < b.id ? -1 : 1),
  id_desc: (a, b) => (a.id < b.id ? 1 : -1),
};
export const ORDER_NAMES = Object.keys(ORDERS);

/** @typedef {ReturnType<typeof listed> & { sparkline_in_7d?: { price: number[] } }} Listed */

/**
 * @param {Market} market
 * @param {{
 *   currency: string, order: string, page: number, perPage: number, sparkline: boolean
 * }} query
 * @param {number} now Unix milliseconds
 * @returns {Listed[]}
 */
export function coinList(market, { currency, order, page, perPage, sparkline }, now) {
  const time = Math.floor(now / RENEWED_MS) * RENEWED_MS;
  const rate = rateOf(market, currency, time);
  const all = market.coins.map((coin) => listed(coin, rate, time));
  all.sort(ORDERS.market_cap_desc).forEach((entry, i) => {
    entry.market_cap_rank = i + 1;
  });
  const shown = all.sort(ORDERS[order]).slice((page - 1) * perPage, page * perPage);
  if (!sparkline) return shown;
  return shown.map((entry) => {
    const coin = /** @type {Coin} */ (market.coin(entry.id));
    return { ...entry, sparkline_in_7d: { price: sparks(coin, rate, time) } };
  });
}

/**
 * How many units of `currency` a US dollar buys.
 * @param {Market} market @param {string} currency @param {number} now
 */
export function rateOf(market, currency, now) {
  if (currency in RATES) return RATES[currency];
  const coin = market.coin(currency === "btc" ? "bitcoin" : "ethereum");
  return coin ? 1 / priceAt(coin, now) : 1;
}

/** @param {Coin} coin @param {number} rate @param {number} time */
function listed(coin, rate, time) {
  const price = priceAt(coin, time) * rate;
  const before = priceAt(coin, time - DAY_MS) * rate;
  const { low, high } = dayRange(coin, time);
  const change = price - before;
  const percent = (100 * change) / before;
  const best = coin.base * rate * 3.1;
  const worst = coin.base * rate * 0.07;
  return {
    id: coin.id,
    symbol: coin.symbol,
    name: coin.name,
    image: `https://assets.omnitrade.example/coins/images/${coin.id}/large.png`,
    current_price: significant(price),
    market_cap: Math.round(price * coin.supply),
    market_cap_rank: 0,
    fully_diluted_valuation: Math.round(price * coin.supply * 1.05),
    total_volume: Math.round(dayVolume(coin, time) * rate),
    high_24h: significant(high * rate),
    low_24h: significant(low * rate),
    price_change_24h: significant(change),
    price_change_percentage_24h: significant(percent),
    market_cap_change_24h: Math.round(change * coin.supply),
    market_cap_change_percentage_24h: significant(percent),
    circulating_supply: coin.supply,
    total_supply: Math.round(coin.supply * 1.05),
    max_supply: null,
    ath: significant(best),
    ath_change_percentage: significant((100 * (price - best)) / best),
    ath_date: "2021-11-10T14:24:11.849Z",
    atl: significant(worst),
    atl_change_percentage: significant((100 * (price - worst)) / worst),
    atl_date: "2019-03-13T02:20:58.000Z",
    roi: null,
    last_updated: new Date(time).toISOString(),
  };
}

/** @param {Coin} coin @param {number} rate @param {number} time */
function sparks(coin, rate, time) {
  const newest = Math.floor(time / SPARK_MS);
  return Array.from({ length: SPARK_POINTS }, (_, i) =>
    significant(priceAt(coin, (newest - (SPARK_POINTS - 1 - i)) * SPARK_MS) * rate),
  );
}

/** @param {number} value */
const significant = (value) => Number(value.toPrecision(6));
