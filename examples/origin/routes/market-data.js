/**
 * Public market data: `/api/v1/market-data`. The API keeps what its providers answer for a while,
 * and passes them no `limit` that its client did not give.
 */

import express from "express";
import { CURRENCIES, coinList, ORDER_NAMES } from "../coin-list.js";
import { HttpError } from "../errors.js";
import { dayRange, dayVolume, format, INTERVALS, klines, orderbook, priceAt, trades } from "../market.js";
import { choice, coinOf, declared, integer, requiredText } from "../params.js";

const MAX_TIME = 8_640_000_000_000_000;

/** For how long the API keeps an answer, in milliseconds. */
const KEPT = { orderbook: 2_000, trades: 2_000, klines: 10_000, markets: 300_000 };

/** How much the provider gives to whom names no `limit`. */
const PROVIDER_GIVES = { orderbook: 20, trades: 60, klines: 300 };

/** @typedef {import("../market.js").Market} Market */

/**
 * @param {Market} market
 * @param {{ now: () => number, memory: import("../memory.js").Memory }} parts
 */
export function marketData(market, { now, memory }) {
  const router = express.Router();

  router.get("/markets", (req, res) => {
    declared(req.query, ["vs_currency", "page", "per_page", "order", "sparkline"]);
    const query = coinListQuery(req.query);
    res.json(memory.keep(["markets", query], KEPT.markets, (time) => coinList(market, query, time)));
  });

  router.get("/symbols", (req, res) => {
    declared(req.query, []);
    res.json(market.pairs());
  });

  router.get("/ticker", (req, res) => {
    declared(req.query, ["symbol"]);
    const coin = coinOf(market, requiredText(req.query, "symbol"));
    const time = now();
    const { low, high } = dayRange(coin, time);
    res.json({
      symbol: coin.pair,
      price: format(coin, priceAt(coin, time)),
      high24h: format(coin, high),
      low24h: format(coin, low),
      volume24h: (dayVolume(coin, time) / coin.base).toFixed(6),
      timestamp: time,
    });
  });

  router.get("/orderbook", (req, res) => {
    const { coin, limit } = depthQuery(req.query, PROVIDER_GIVES.orderbook);
    res.json(memory.keep(["orderbook", coin.id, limit], KEPT.orderbook, (time) => orderbook(coin, limit, time)));
  });

  router.get("/trades", (req, res) => {
    const { coin, limit } = depthQuery(req.query, PROVIDER_GIVES.trades);
    res.json(memory.keep(["trades", coin.id, limit], KEPT.trades, (time) => trades(coin, limit, time)));
  });

  router.get("/klines", (req, res) => {
    declared(req.query, ["symbol", "interval", "startTime", "endTime", "limit"]);
    const [symbol, query] = [requiredText(req.query, "symbol"), klinesQuery(req.query, PROVIDER_GIVES.klines)];
    const coin = coinOf(market, symbol);
    res.json(memory.keep(["klines", coin.id, query], KEPT.klines, (time) => klines(coin, query, time)));
  });

  /** @param {import("../params.js").Query} query @param {number} fallback */
  function depthQuery(query, fallback) {
    declared(query, ["symbol", "limit"]);
    // The DTO is checked first: only what passes it reaches a provider.
    const [symbol, limit] = [requiredText(query, "symbol"), limitOf(query, fallback)];
    return { coin: coinOf(market, symbol), limit };
  }

  return router;
}

/** @param {import("../params.js").Query} query @param {number} fallback */
const limitOf = (query, fallback) => integer(query, "limit", { min: 1, max: 1000, fallback });

/**
 * The parameters of a list of coins, here and in the CoinGecko proxy.
 * @param {import("../params.js").Query} query
 */
export function coinListQuery(query) {
  return {
    currency: choice(query, "vs_currency", CURRENCIES, "usd"),
    order: choice(query, "order", ORDER_NAMES, "market_cap_desc"),
    page: integer(query, "page", { min: 1, max: 1000, fallback: 1 }),
    perPage: integer(query, "per_page", { min: 1, max: 250, fallback: 100 }),
    sparkline: choice(query, "sparkline", ["true", "false"], "false") === "true",
  };
}

/**
 * The parameters of candles, here and in the Binance proxy.
 * @param {import("../params.js").Query} query
 * @param {number} fallback how many there are without `limit`
 */
export function klinesQuery(query, fallback) {
  const interval = choice(query, "interval", INTERVALS);
  const from = integer(query, "startTime", { min: 0, max: MAX_TIME, fallback: undefined });
  const to = integer(query, "endTime", { min: 0, max: MAX_TIME, fallback: undefined });
  if (from !== undefined && to !== undefined && from > to) {
    throw new HttpError(400, ["startTime must not be after endTime"]);
  }
  return { interval, from, to, limit: limitOf(query, fallback) };
}
