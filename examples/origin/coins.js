/**
 * The coins of the sample market: some well-known ones, then invented ones up to {@link COIN_COUNT}
 * so that lists have pages.
 */

import { keyOf, unit } from "./walk.js";

/**
 * @typedef {object} Coin
 * @property {string} id as in `/coins/{id}`
 * @property {string} symbol lower case, as CoinGecko writes it
 * @property {string} name
 * @property {number} base the price around which it moves, in US dollars
 * @property {number} supply
 * @property {number} volatility 1 for an ordinary coin, almost 0 for a stable one
 * @property {number} digits decimals of a price
 * @property {number} key of its random walk
 * @property {string | null} pair its trading symbol against USDT
 */

export const COIN_COUNT = 500;

/** Prices of a plausible size, not today's. @type {[string, string, string, number, number][]} */
const KNOWN = [
  ["bitcoin", "btc", "Bitcoin", 65_000, 19.7e6],
  ["ethereum", "eth", "Ethereum", 3_200, 120e6],
  ["tether", "usdt", "Tether", 1, 110e9],
  ["binancecoin", "bnb", "BNB", 580, 147e6],
  ["solana", "sol", "Solana", 150, 460e6],
  ["usd-coin", "usdc", "USDC", 1, 33e9],
  ["ripple", "xrp", "XRP", 0.55, 55e9],
  ["dogecoin", "doge", "Dogecoin", 0.13, 145e9],
  ["cardano", "ada", "Cardano", 0.45, 35e9],
  ["tron", "trx", "TRON", 0.13, 87e9],
  ["avalanche-2", "avax", "Avalanche", 28, 395e6],
  ["shiba-inu", "shib", "Shiba Inu", 0.0000182, 589e12],
  ["polkadot", "dot", "Polkadot", 6.2, 1.44e9],
  ["chainlink", "link", "Chainlink", 14, 600e6],
  ["bitcoin-cash", "bch", "Bitcoin Cash", 390, 19.7e6],
  ["near", "near", "NEAR Protocol", 5.3, 1.1e9],
  ["litecoin", "ltc", "Litecoin", 72, 74.8e6],
  ["uniswap", "uni", "Uniswap", 8.1, 600e6],
  ["pepe", "pepe", "Pepe", 0.0000105, 420e12],
  ["internet-computer", "icp", "Internet Computer", 9.2, 466e6],
  ["stellar", "xlm", "Stellar", 0.1, 29e9],
  ["cosmos", "atom", "Cosmos Hub", 6.5, 391e6],
  ["monero", "xmr", "Monero", 160, 18.4e6],
  ["filecoin", "fil", "Filecoin", 4.4, 570e6],
  ["aave", "aave", "Aave", 95, 14.9e6],
];

const STABLE = new Set(["usdt", "usdc"]);

// Every combination of a beginning and an ending makes a name and, from their first letters, a
// unique symbol.
const BEGINNINGS = words(
  "Aldo Bren Cael Dori Elun Fara Goro Hale Ivor Jura Kelo Luma" +
    " Mira Nova Orli Pyra Quor Rhea Silv Taro Umbr Vexo Wyld Yara Zeph",
);
const ENDINGS = words(
  "chain coin dex fi gate hub ion lend mint net ora pay quest rise swap token vault wave xen yield",
);

/** @param {number} seed @returns {Coin[]} */
export function createCoins(seed) {
  const invented = Array.from({ length: COIN_COUNT - KNOWN.length }, (_, i) => invent(seed, i));
  return [...KNOWN, ...invented].map(([id, symbol, name, base, supply]) => ({
    id,
    symbol,
    name,
    base,
    supply,
    volatility: STABLE.has(symbol) ? 0.005 : 1,
    digits: Math.min(10, Math.max(2, Math.ceil(5 - Math.log10(base)))),
    key: keyOf(seed, id),
    pair: symbol === "usdt" ? null : `${symbol.toUpperCase()}USDT`,
  }));
}

/** @param {number} seed @param {number} i @returns {[string, string, string, number, number]} */
function invent(seed, i) {
  const beginning = BEGINNINGS[i % BEGINNINGS.length];
  const ending = ENDINGS[Math.floor(i / BEGINNINGS.length)];
  const name = beginning + ending;
  const symbol = (beginning.slice(0, 3) + ending.slice(0, 2)).toLowerCase();
  const base = 10 ** (unit(keyOf(seed, name), 0, i) * 6 - 4);
  const marketCap = 2e9 / (1 + i / 10) ** 1.3;
  return [name.toLowerCase(), symbol, name, Number(base.toPrecision(4)), Math.round(marketCap / base)];
}

/** @param {string} text */
function words(text) {
  return text.split(" ");
}
