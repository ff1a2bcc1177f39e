/** Public market data: `/api/v1/market-data`. */

import express from "express";
import { CURRENCIES, coinList, ORDER_NAMES } from "../coin-list.js";
import { HttpError } from "../errors.js";
import { dayRange, dayVolume, format, INTERVALS, klines, orderbook, priceAt, trades } from "../market.js";
import { choice, coinOf, integer, requiredText } from "../params.js";

const MAX_TIME = 8_640_000_000_000_000;

/** @param {import("../market.js").Market} market @param {() => number} now */
export function marketData(market, now) {
  const router = express.Router();

  router.get("/markets", (req, res) => {
    res.json(coinList(market, coinListQuery(req.query), now()));
  });

  router.get("/symbols", (_req, res) => {
    res.json(market.pairs());
  });

  router.get("/ticker", (req, res) => {
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
    const limit = integer(req.query, "limit", { min: 1, max: 1000, fallback: 100 });
    res.json(orderbook(coinOf(market, requiredText(req.query, "symbol")), limit, now()));
  });

  router.get("/trades", (req, res) => {
    const limit = integer(req.query, "limit", { min: 1, max: 1000, fallback: 100 });
    res.json(trades(coinOf(market, requiredText(req.query, "symbol")), limit, now()));
  });

  router.get("/klines", (req, res) => {
    const query = klinesQuery(req.query);
    res.json(klines(coinOf(market, requiredText(req.query, "symbol")), query, now()));
  });

  return router;
}

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
 */
export function klinesQuery(query) {
  const interval = choice(query, "interval", INTERVALS);
  const from = integer(query, "startTime", { min: 0, max: MAX_TIME, fallback: undefined });
  const to = integer(query, "endTime", { min: 0, max: MAX_TIME, fallback: undefined });
  if (from !== undefined && to !== undefined && from > to) {
    throw new HttpError(400, "startTime must not be after endTime");
  }
  return { interval, from, to, limit: integer(query, "limit", { min: 1, max: 1000, fallback: 500 }) };
}
