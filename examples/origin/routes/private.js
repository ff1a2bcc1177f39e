/** The data of one user: orders, exchange keys, the portfolio. All of it needs a bearer token. */

import express from "express";
import { addKey, addOrder, entry } from "../accounts.js";
import { HttpError } from "../errors.js";
import { format, priceAt } from "../market.js";
import { coinOf, declared, fields, text } from "../params.js";
import { keyOf, unit } from "../walk.js";

const SIDES = ["buy", "sell"];
const TYPES = ["market", "limit", "stop", "stop_limit"];
const ORDER_FILTERS = ["exchangeId", "symbol", "status"];

/** @typedef {import("../market.js").Market} Market */
/** @typedef {ReturnType<typeof import("../accounts.js").createAccounts>} Accounts */

/** @param {Market} market @param {Accounts} accounts @param {() => number} now */
export function orders(market, accounts, now) {
  const router = express.Router();

  router.get("/", (req, res) => {
    declared(req.query, ORDER_FILTERS);
    const [exchangeId, symbol, status] = ORDER_FILTERS.map((name) => text(req.query, name));
    const all = [...accounts.of(res.locals.user).orders.values()];
    res.json(
      all.filter(
        (order) =>
          (exchangeId === undefined || order.exchangeId === exchangeId) &&
          (symbol === undefined || order.symbol === market.find(symbol)?.pair) &&
          (status === undefined || order.status === status),
      ),
    );
  });

  router.get("/:orderId", (req, res) => {
    res.json(entry(accounts.of(res.locals.user).orders, req.params.orderId, "Order"));
  });

  router.post("/", (req, res) => {
    const wanted = orderFields(req.body);
    const coin = coinOf(market, wanted.symbol);
    const time = now();
    const filled = wanted.type === "market";
    const order = addOrder(accounts.of(res.locals.user), {
      userId: res.locals.user,
      ...wanted,
      symbol: /** @type {string} */ (coin.pair),
      status: filled ? "filled" : "new",
      price: filled ? Number(format(coin, priceAt(coin, time))) : wanted.price,
      executed: filled ? wanted.quantity : 0,
      createdAt: new Date(time).toISOString(),
      updatedAt: new Date(time).toISOString(),
    });
    res.status(201).json(order);
  });

  router.delete("/:orderId", (req, res) => {
    const order = entry(accounts.of(res.locals.user).orders, req.params.orderId, "Order");
    if (order.status !== "new") throw new HttpError(400, `Order is ${order.status}`);
    order.status = "canceled";
    order.updatedAt = new Date(now()).toISOString();
    res.json(order);
  });

  return router;
}

/** @param {Accounts} accounts @param {() => number} now */
export function exchangeKeys(accounts, now) {
  const router = express.Router();

  router.get("/", (_req, res) => {
    res.json([...accounts.of(res.locals.user).keys.values()]);
  });

  router.post("/", (req, res) => {
    const { exchange_id, api_key, api_secret, key_nickname } = fields(req.body);
    const wrong = Object.entries({ exchange_id, api_key, api_secret })
      .filter(([, value]) => typeof value !== "string" || value === "")
      .map(([name]) => `${name} should not be empty`);
    if (wrong.length > 0) throw new HttpError(400, wrong);
    const key = addKey(accounts.of(res.locals.user), {
      user_id: res.locals.user,
      exchange_id: String(exchange_id).slice(0, 40),
      key_nickname: typeof key_nickname === "string" ? key_nickname.slice(0, 100) : null,
      // The key itself and its secret are never returned, so they are not stored at all.
      api_key_preview: `****${String(api_key).slice(-4)}`,
      is_valid: true,
      created_at: new Date(now()).toISOString(),
    });
    res.status(201).json(key);
  });

  router.delete("/:id", (req, res) => {
    const { keys } = accounts.of(res.locals.user);
    keys.delete(entry(keys, req.params.id, "API key").api_key_id);
    res.json({ message: "API key deleted" });
  });

  router.post("/:id/test", (req, res) => {
    entry(accounts.of(res.locals.user).keys, req.params.id, "API key");
    res.status(201).json({ success: true, message: "API key credentials are valid (mocked)" });
  });

  return router;
}

/** @param {Market} market @param {number} seed @param {() => number} now */
export function portfolio(market, seed, now) {
  const router = express.Router();

  router.get("/", (_req, res) => {
    const user = res.locals.user;
    const time = now();
    const key = keyOf(seed, user);
    const held = market.coins.slice(0, 25).filter((_coin, i) => unit(key, 0, i) < 0.3);
    const assets = held.map((coin, i) => {
      const total = Number(((100 + 5_000 * unit(key, 1, i)) / coin.base).toFixed(8));
      const usdValue = Number((total * priceAt(coin, time)).toFixed(2));
      return { asset: coin.symbol.toUpperCase(), free: total, locked: 0, total, usdValue, exchangeId: "binance" };
    });
    const totalUsdValue = Number(assets.reduce((sum, asset) => sum + asset.usdValue, 0).toFixed(2));
    res.json({ userId: user, totalUsdValue, assets, lastUpdated: new Date(time).toISOString() });
  });

  return router;
}

/** @param {unknown} body */
function orderFields(body) {
  const { exchangeId, symbol, side, type, price = null, stopPrice = null, quantity } = fields(body);
  const wrong = [];
  const named = typeof exchangeId === "string" && typeof symbol === "string";
  if (typeof exchangeId !== "string") wrong.push("exchangeId must be a string");
  if (typeof symbol !== "string") wrong.push("symbol must be a string");
  if (!SIDES.includes(String(side))) wrong.push(`side must be one of: ${SIDES.join(", ")}`);
  if (!TYPES.includes(String(type))) wrong.push(`type must be one of: ${TYPES.join(", ")}`);
  const priced = isPrice(price) && isPrice(stopPrice);
  if (!isPrice(price)) wrong.push("price must be a number not less than 0");
  if (!isPrice(stopPrice)) wrong.push("stopPrice must be a number not less than 0");
  const counted = typeof quantity === "number" && quantity >= 1e-8;
  if (!counted) wrong.push("quantity must be a number not less than 1e-8");
  if (wrong.length > 0 || !named || !priced || !counted) throw new HttpError(400, wrong);
  return {
    exchangeId: exchangeId.slice(0, 40),
    symbol,
    side: String(side),
    type: String(type),
    price,
    stopPrice,
    quantity,
  };
}

/** @param {unknown} value @returns {value is number | null} */
const isPrice = (value) => value === null || (typeof value === "number" && value >= 0);
