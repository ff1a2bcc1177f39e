/** The providers that the API forwards: `/api/proxy/coingecko` and `/api/proxy/binance-testnet`. */

import express from "express";
import { CURRENCIES, coinList, rateOf } from "../coin-list.js";
import { dayRange, dayVolume, format, klines, orderbook, priceAt, trades } from "../market.js";
import { choice, coinOf, integer, providerFailed, requiredText } from "../params.js";
import { DAY_MS } from "../walk.js";
import { coinListQuery, klinesQuery } from "./market-data.js";

const CHART_POINTS = 169;

/** The API keeps these for 15 minutes at least, some for days. */
const GECKO_KEPT_MS = 900_000;

/** @typedef {import("../market.js").Market} Market */

/** @param {Market} market @param {import("../memory.js").Memory} memory */
export function coingecko(market, memory) {
  const router = express.Router();
  /**
   * Answers, and keeps the answer: the provider allows about ten requests a minute.
   * @param {(req: import("express").Request, time: number) => unknown} answer
   * @returns {import("express").Handler}
   */
  const kept = (answer) => (req, res) => {
    const question = [req.baseUrl + req.path, Object.entries(req.query).sort()];
    res.json(memory.keep(question, GECKO_KEPT_MS, (time) => answer(req, time)));
  };

  router.all("/ping", (_req, res) => {
    res.json({ gecko_says: "(V3) To the Moon!" });
  });

  router.all(
    "/coins/markets",
    kept(({ query }, time) => coinList(market, coinListQuery(query), time)),
  );

  router.all(
    "/coins/list",
    kept(() => market.coins.map(({ id, symbol, name }) => ({ id, symbol, name }))),
  );

  router.all(
    "/simple/price",
    kept(({ query }, time) => {
      const ids = requiredText(query, "ids").split(",").slice(0, 250);
      const currencies = requiredText(query, "vs_currencies")
        .split(",")
        .filter((name) => CURRENCIES.includes(name));
      const known = ids.flatMap((id) => market.coin(id) ?? []);
      return Object.fromEntries(
        known.map((coin) => [
          coin.id,
          Object.fromEntries(currencies.map((name) => [name, priceAt(coin, time) * rateOf(market, name, time)])),
        ]),
      );
    }),
  );

  router.all(
    "/global",
    kept((_req, time) => {
      const total = market.coins.reduce((sum, coin) => sum + priceAt(coin, time) * coin.supply, 0);
      return {
        data: {
          active_cryptocurrencies: market.coins.length,
          total_market_cap: { usd: Math.round(total) },
          updated_at: Math.floor(time / 1000),
        },
      };
    }),
  );

  router.all(
    "/coins/:id",
    kept(({ params }, time) => {
      const coin = geckoCoin(market, params.id);
      const { low, high } = dayRange(coin, time);
      return {
        id: coin.id,
        symbol: coin.symbol,
        name: coin.name,
        description: { en: `${coin.name} on the sample market.` },
        market_data: {
          current_price: { usd: priceAt(coin, time) },
          market_cap: { usd: priceAt(coin, time) * coin.supply },
          total_volume: { usd: dayVolume(coin, time) },
          high_24h: { usd: high },
          low_24h: { usd: low },
        },
        last_updated: new Date(time).toISOString(),
      };
    }),
  );

  router.all(
    "/coins/:id/market_chart",
    kept(({ params, query }, time) => {
      const coin = geckoCoin(market, params.id);
      const rate = rateOf(market, choice(query, "vs_currency", CURRENCIES, "usd"), time);
      const days = integer(query, "days", { min: 1, max: 365, fallback: 7 });
      const gap = (days * DAY_MS) / (CHART_POINTS - 1);
      const times = Array.from({ length: CHART_POINTS }, (_, i) => Math.round(time - (CHART_POINTS - 1 - i) * gap));
      return {
        prices: times.map((time) => [time, priceAt(coin, time) * rate]),
        market_caps: times.map((time) => [time, priceAt(coin, time) * rate * coin.supply]),
        total_volumes: times.map((time) => [time, dayVolume(coin, time) * rate]),
      };
    }),
  );

  router.use(unknownEndpoint);
  return router;
}

/** @param {Market} market @param {() => number} now */
export function binanceTestnet(market, now) {
  const router = express.Router();
  /** @param {import("../params.js").Query} query */
  const limitOf = (query) => integer(query, "limit", { min: 1, max: 1000, fallback: 100 });
  /** @param {import("../params.js").Query} query */
  const symbolOf = (query) => coinOf(market, requiredText(query, "symbol"));

  router.all("/v3/ping", (_req, res) => {
    res.json({});
  });

  router.all("/v3/time", (_req, res) => {
    res.json({ serverTime: now() });
  });

  router.all("/v3/exchangeInfo", (_req, res) => {
    const symbols = market.coins.flatMap(({ pair, symbol }) =>
      pair ? [{ symbol: pair, status: "TRADING", baseAsset: symbol.toUpperCase(), quoteAsset: "USDT" }] : [],
    );
    res.json({ timezone: "UTC", serverTime: now(), symbols });
  });

  router.all("/v3/ticker/price", (req, res) => {
    const coin = symbolOf(req.query);
    res.json({ symbol: coin.pair, price: format(coin, priceAt(coin, now())) });
  });

  router.all("/v3/depth", (req, res) => {
    const { bids, asks, timestamp } = orderbook(symbolOf(req.query), limitOf(req.query), now());
    res.json({ lastUpdateId: timestamp, bids, asks });
  });

  router.all("/v3/trades", (req, res) => {
    const latest = trades(symbolOf(req.query), limitOf(req.query), now());
    res.json(
      latest.map(({ id, price, quantity, timestamp, isBuyerMaker }) => ({
        id,
        price,
        qty: quantity,
        time: timestamp,
        isBuyerMaker,
      })),
    );
  });

  router.all("/v3/klines", (req, res) => {
    const candles = klines(symbolOf(req.query), klinesQuery(req.query, 500), now());
    res.json(candles.map((c) => [c.openTime, c.open, c.high, c.low, c.close, c.volume, c.closeTime]));
  });

  router.use(unknownEndpoint);
  return router;
}

/** The provider knows no such path. @type {import("express").Handler} */
const unknownEndpoint = () => {
  throw providerFailed("no such endpoint");
};

/** @param {Market} market @param {string} id */
function geckoCoin(market, id) {
  const coin = market.coin(id);
  if (!coin) throw providerFailed("coin not found");
  return coin;
}
