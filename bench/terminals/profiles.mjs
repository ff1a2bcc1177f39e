/** What a terminal page of the frontend asks for: when it is opened, and from then on. */

const market = "/api/v1/market-data";
const gecko = "/api/proxy/coingecko";
const binance = "/api/proxy/binance-testnet/v3";

/**
 * @typedef {object} Profile
 * @property {string} about
 * @property {(coin: Coin) => string[]} opening what it asks for once, when it is opened
 * @property {(coin: Coin) => Poll[]} polls what it asks for when it is opened, and then every so
 *   many seconds
 */
/** @typedef {{ every: number, path: string }} Poll */
/** @typedef {{ id: string, pair: string }} Coin */

/** The coins that pages show, with how many pages show them. @type {(readonly [number, Coin])[]} */
export const COINS = [
  [5, { id: "bitcoin", pair: "BTCUSDT" }],
  [3, { id: "ethereum", pair: "ETHUSDT" }],
  [2, { id: "solana", pair: "SOLUSDT" }],
];

const markets = `${market}/markets?vs_currency=usd&page=1&per_page=100&order=market_cap_desc&sparkline=false`;
const orderbook = (/** @type {Coin} */ { id }) => `${market}/orderbook?symbol=${id}&limit=20`;
const trades = (/** @type {Coin} */ { id }) => `${market}/trades?symbol=${id}&limit=50`;
const klines = (/** @type {Coin} */ { id }) => `${market}/klines?symbol=${id}&interval=1m&limit=100`;

/** @type {Record<"A" | "B", Profile>} */
export const PROFILES = {
  A: {
    about: "a signed-in terminal page",
    opening: ({ id }) => [
      "/api/exchange-api-keys",
      "/api/trading-pairs/binance_testnet",
      `${gecko}/coins/markets?vs_currency=usd&per_page=50&page=1`,
      `${gecko}/coins/${id}`,
    ],
    polls: (coin) => [
      { every: 10, path: orderbook(coin) },
      { every: 10, path: `${binance}/ticker/price?symbol=${coin.pair}` },
      { every: 15, path: `${gecko}/simple/price?ids=${coin.id}&vs_currencies=usd` },
      { every: 20, path: trades(coin) },
      { every: 20, path: "/api/orders" },
      { every: 30, path: `${binance}/depth?symbol=${coin.pair}&limit=20` },
      { every: 60, path: "/api/portfolio" },
    ],
  },
  B: {
    about: "a page with all market-data hooks at their stale times",
    opening: () => [],
    polls: (coin) => [
      { every: 2, path: orderbook(coin) },
      { every: 2, path: trades(coin) },
      { every: 10, path: klines(coin) },
      { every: 30, path: markets },
    ],
  },
};

/** How many requests a minute a profile's page polls. @param {Profile} profile */
export const perMinute = ({ polls }) => polls(COINS[0][1]).reduce((sum, { every }) => sum + 60 / every, 0);
