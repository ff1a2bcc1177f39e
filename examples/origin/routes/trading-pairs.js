/** What can be traded on which exchange, for users: `/api/trading-pairs`. */

import express from "express";
import { coinOf, providerFailed } from "../params.js";

const EXCHANGES = ["binance", "binance_testnet", "kraken"];
const PAIRS_PER_EXCHANGE = 40;

/** @param {import("../market.js").Market} market */
export function tradingPairs(market) {
  const router = express.Router();
  const listed = market.coins.filter((coin) => coin.pair).slice(0, PAIRS_PER_EXCHANGE);

  router.get("/", (_req, res) => {
    res.json(Object.fromEntries(EXCHANGES.map((exchange) => [exchange, listed.map((coin) => pair(exchange, coin))])));
  });

  router.get("/:exchangeId", (req, res) => {
    const exchange = exchangeOf(req.params.exchangeId);
    res.json(listed.map((coin) => pair(exchange, coin)));
  });

  router.get("/:exchangeId/:symbol", (req, res) => {
    const exchange = exchangeOf(req.params.exchangeId);
    const coin = coinOf(market, req.params.symbol);
    if (!listed.includes(coin)) throw providerFailed(`${coin.pair} is not traded on ${exchange}`);
    res.json(pair(exchange, coin));
  });

  return router;
}

/** @param {string} id */
function exchangeOf(id) {
  if (EXCHANGES.includes(id)) return id;
  throw providerFailed(`no exchange ${id.slice(0, 40)}`);
}

/** @param {string} exchangeId @param {import("../market.js").Coin} coin */
function pair(exchangeId, coin) {
  const base = coin.symbol.toUpperCase();
  return {
    symbol: `${base}/USDT`,
    baseAsset: base,
    quoteAsset: "USDT",
    exchangeId,
    priceDecimals: coin.digits,
    quantityDecimals: 6,
    minPrice: 10 ** -coin.digits,
    maxPrice: 1_000_000,
    minQuantity: 0.000001,
    maxQuantity: 9_000_000,
    minNotional: 5,
    isActive: true,
  };
}
