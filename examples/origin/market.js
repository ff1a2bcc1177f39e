/**
 * The moving market: order book, trades, candles and ticks of every coin at a given time.
 * Pure: the time is always a parameter, in Unix milliseconds.
 */

import { createCoins } from "./coins.js";
import { bounds, DAY_MS, STEP_MS, stepOf, unit, walk } from "./walk.js";

/** @typedef {import("./coins.js").Coin} Coin */
/**
 * @typedef {{
 *   id: number, price: string, quantity: string, timestamp: number, isBuyerMaker: boolean
 * }} Trade
 */
/**
 * @typedef {{
 *   openTime: number, open: string, high: string, low: string, close: string,
 *   volume: string, closeTime: number
 * }} Candle
 */
/** @typedef {ReturnType<typeof createMarket>} Market */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/**
 * The lengths of candles that all have the same length, in milliseconds, by their name.
 * @type {Record<string, number>}
 */
const LENGTHS = {
  "1s": 1_000,
  "1m": MINUTE_MS,
  "3m": 3 * MINUTE_MS,
  "5m": 5 * MINUTE_MS,
  "15m": 15 * MINUTE_MS,
  "30m": 30 * MINUTE_MS,
  "1h": HOUR_MS,
  "2h": 2 * HOUR_MS,
  "4h": 4 * HOUR_MS,
  "6h": 6 * HOUR_MS,
  "8h": 8 * HOUR_MS,
  "12h": 12 * HOUR_MS,
  "1d": DAY_MS,
  "3d": 3 * DAY_MS,
  "1w": 7 * DAY_MS,
};

/** The first Monday after the epoch, because weeks begin on Mondays. */
const MONDAY = 4 * DAY_MS;

/**
 * How candles are numbered, by the name of their interval: which candle a time lies in, and when a
 * candle opens.
 * @type {Record<string, { at: (time: number) => number, opens: (candle: number) => number }>}
 */
const CANDLES = Object.fromEntries(
  Object.entries(LENGTHS).map(([name, length]) => {
    const first = name === "1w" ? MONDAY : 0;
    return [name, { at: (time) => Math.floor((time - first) / length), opens: (n) => first + n * length }];
  }),
);
CANDLES["1M"] = {
  at: (time) => (new Date(time).getUTCFullYear() - 1970) * 12 + new Date(time).getUTCMonth(),
  opens: (n) => Date.UTC(1970, n),
};

/** The names of intervals: `1m` is a minute, `1M` a month. */
export const INTERVALS = Object.keys(CANDLES);

// The salts for `unit`: values that differ from each other and from the walk's octaves.
const SALT = { trade: 100, side: 101, delay: 102, volume: 103, bid: 20_000, ask: 40_000, gap: 10_000 };

/** @param {number} seed the same seed gives the same market at the same time */
export function createMarket(seed) {
  const coins = createCoins(seed);
  const byPair = new Map(coins.flatMap((coin) => (coin.pair ? [[coin.pair, coin]] : [])));
  const byId = new Map(coins.map((coin) => [coin.id, coin]));
  /** @param {string} symbol */
  const traded = (symbol) => (byId.get(symbol)?.pair ? byId.get(symbol) : undefined);

  return {
    /** All coins, in descending order of size. */
    coins,
    /** @param {string} id such as `bitcoin` */
    coin: (id) => byId.get(id),
    /**
     * The coin of a symbol: its id, which is lower case (`bitcoin`, and never `BITCOIN`), or the
     * pair it is traded as, `BTCUSDT`, also written `btc/usdt` or `BTC-USDT`.
     * @param {string} symbol
     */
    find: (symbol) => traded(symbol) ?? byPair.get(symbol.slice(0, 40).toUpperCase().replace(/[/_-]/g, "")),
    pairs: () => [...byPair.keys()],
  };
}

/** In US dollars. @param {Coin} coin @param {number} now */
export const priceAt = (coin, now) => priceOf(coin, walk(coin.key, stepOf(now) * STEP_MS));

/** @param {Coin} coin @param {number} price */
export const format = (coin, price) => price.toFixed(coin.digits);

/** Lowest and highest price of the last 24 hours. @param {Coin} coin @param {number} now */
export function dayRange(coin, now) {
  const to = stepOf(now) * STEP_MS;
  return range(coin, to - DAY_MS, to, DAY_MS);
}

/** The value of what is traded in a day, in US dollars. @param {Coin} coin @param {number} now */
export function dayVolume(coin, now) {
  const day = unit(coin.key, SALT.volume, Math.floor(now / DAY_MS));
  return coin.base * coin.supply * (0.02 + 0.04 * day);
}

/** @param {Coin} coin @param {number} limit levels on each side @param {number} now */
export function orderbook(coin, limit, now) {
  const step = stepOf(now);
  const tick = 10 ** -coin.digits;
  const middle = Math.round(priceAt(coin, now) / tick);
  // Levels are about 1/20,000 of the price apart, as on a liquid book, but at least one tick.
  const spacing = Math.max(1, middle / 20_000);

  /** @param {1 | -1} direction @param {number} salt */
  const side = (direction, salt) => {
    const levels = [];
    let offset = 1;
    for (let level = 0; level < limit; level++) {
      const price = (middle + direction * offset) * tick;
      if (price < tick / 2) break;
      levels.push([format(coin, price), quantity(coin, unit(coin.key, salt + level, step))]);
      offset += Math.max(1, Math.round(spacing * 2 * unit(coin.key, salt + SALT.gap + level, step)));
    }
    return levels;
  };
  return {
    symbol: coin.pair,
    bids: side(-1, SALT.bid),
    asks: side(1, SALT.ask),
    timestamp: step * STEP_MS,
  };
}

/**
 * The latest trades, oldest first, one per step.
 * @param {Coin} coin
 * @param {number} limit
 * @param {number} now
 * @returns {Trade[]}
 */
export function trades(coin, limit, now) {
  // The current step's trade may lie some milliseconds in the future, so the last complete step is
  // the newest.
  const newest = stepOf(now) - 1;
  return Array.from({ length: limit }, (_, i) => {
    const step = newest - (limit - 1 - i);
    const time = step * STEP_MS;
    return {
      id: step,
      price: format(coin, priceAt(coin, time)),
      quantity: quantity(coin, unit(coin.key, SALT.trade, step)),
      timestamp: time + Math.floor(STEP_MS * unit(coin.key, SALT.delay, step)),
      isBuyerMaker: unit(coin.key, SALT.side, step) < 0.5,
    };
  });
}

/**
 * Candles whose opening time lies in `from..to`, oldest first: the first `limit` of them if `from`
 * is given, otherwise the last.
 * @param {Coin} coin
 * @param {{ interval: string, from?: number, to?: number, limit: number }} query
 * @param {number} now
 * @returns {Candle[]}
 */
export function klines(coin, { interval, from, to, limit }, now) {
  const { at, opens } = CANDLES[interval];
  const last = at(Math.min(to ?? now, now));
  const first = from === undefined ? Math.max(0, last - limit + 1) : at(from - 1) + 1;
  const count = Math.max(0, Math.min(limit, last - first + 1));
  return Array.from({ length: count }, (_, i) => candle(coin, opens(first + i), opens(first + i + 1), now));
}

/**
 * @param {Coin} coin @param {number} openTime @param {number} end @param {number} now
 * @returns {Candle}
 */
function candle(coin, openTime, end, now) {
  const length = end - openTime;
  const lastStep = Math.min(stepOf(now) * STEP_MS, end - STEP_MS);
  const { low, high } = range(coin, openTime, lastStep, length);
  const traded = lastStep + STEP_MS - openTime;
  const lively = 0.5 + unit(coin.key, SALT.volume + length, openTime);
  const volume = (coin.supply * 0.04 * lively * traded) / DAY_MS;
  return {
    openTime,
    open: format(coin, priceAt(coin, openTime)),
    high: format(coin, high),
    low: format(coin, low),
    close: format(coin, priceAt(coin, lastStep)),
    volume: volume.toFixed(6),
    closeTime: end - 1,
  };
}

/** @param {Coin} coin @param {number} from @param {number} to @param {number} span */
function range(coin, from, to, span) {
  const { low, high } = bounds(coin.key, from, to, span);
  return { low: priceOf(coin, low), high: priceOf(coin, high) };
}

/** @param {Coin} coin @param {number} walked */
const priceOf = (coin, walked) => coin.base * Math.exp(coin.volatility * walked);

/**
 * An order of up to some thousand dollars, usually small.
 * @param {Coin} coin @param {number} random
 */
const quantity = (coin, random) => ((20 + 20_000 * random ** 3) / coin.base).toFixed(6);
