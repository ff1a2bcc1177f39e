/**
 * A sample of the OmniTrade API: its routes, formats and conventions, with a market that moves, and
 * switches that make it slow or failing. `main.js` runs it; tests call {@link startOrigin}.
 */

import { once } from "node:events";
import { createServer } from "node:http";
import express from "express";
import { createAccounts } from "./accounts.js";
import { requireBearer } from "./auth.js";
import { cors } from "./cors.js";
import { countRequests, createCounters } from "./counters.js";
import { answerError, nothingHere } from "./errors.js";
import { applyFaults, createControl } from "./faults.js";
import { createMarket } from "./market.js";
import { auth } from "./routes/auth.js";
import { bodies } from "./routes/bodies.js";
import { marketData } from "./routes/market-data.js";
import { exchangeKeys, orders, portfolio } from "./routes/private.js";
import { probes } from "./routes/probes.js";
import { binanceTestnet, coingecko } from "./routes/proxies.js";
import { switchboard } from "./routes/switchboard.js";
import { tradingPairs } from "./routes/trading-pairs.js";
import { SOCKET_PATH, serveSockets, upgradeRequired } from "./socket.js";

// Longer than a gate keeps its idle connections; otherwise a request may meet a connection that is
// being closed.
const KEEP_ALIVE_MS = 65_000;

/**
 * @typedef {object} Options
 * @property {number} [port] 0, the default, takes a free one
 * @property {string} [host] default 127.0.0.1
 * @property {number} [seed] of the market; the same seed gives the same prices at the same time
 * @property {number} [latency] milliseconds, as `/__origin/control` has it
 * @property {import("./faults.js").Switches["fail"]} [fail] as `/__origin/control` has it
 * @property {() => number} [now] Unix milliseconds; default: the system's clock
 */

/** @typedef {Awaited<ReturnType<typeof startOrigin>>} Origin */

/**
 * Resolves once the server listens.
 * @param {Options} [options]
 * @throws if it cannot listen there, or an option does not fit
 */
export async function startOrigin(options = {}) {
  const { port = 0, host = "127.0.0.1", seed = 1, latency, fail, now = Date.now } = options;
  const market = createMarket(seed);
  const control = createControl({ latency, fail });
  const counters = createCounters();

  const server = createServer(createApp({ market, seed, control, counters, now }));
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  serveSockets(server, { market, now, control, counters });

  /** @type {Set<import("node:net").Socket>} */
  const connections = new Set();
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });

  server.listen(port, host);
  await once(server, "listening");
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());

  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`,
    port: address.port,
    counters,
    control,
    /** Closes all connections at once, including those of WebSockets. It may be called again. */
    close: async () => {
      const closed = server.listening ? once(server, "close") : undefined;
      server.close();
      for (const socket of connections) socket.destroy();
      await closed;
    },
  };
}

/**
 * @param {{
 *   market: import("./market.js").Market, seed: number, control: import("./faults.js").Control,
 *   counters: import("./counters.js").Counters, now: () => number
 * }} parts
 */
function createApp({ market, seed, control, counters, now }) {
  const app = express();
  const accounts = createAccounts();
  app.set("trust proxy", 1);

  app.use(countRequests(counters));
  app.use(applyFaults(control));

  app.use("/__origin", switchboard(control, counters), probes(), bodies());
  app.all(SOCKET_PATH, upgradeRequired);

  app.use("/api", cors, express.json());
  app.use("/api/v1/market-data", marketData(market, now));
  app.use("/api/trading-pairs", tradingPairs(market));
  app.use("/api/auth", auth());
  app.use("/api/proxy/coingecko", requireBearer, coingecko(market, now));
  app.use("/api/proxy/binance-testnet", requireBearer, binanceTestnet(market, now));
  app.use("/api/orders", requireBearer, orders(market, accounts, now));
  app.use("/api/exchange-api-keys", requireBearer, exchangeKeys(accounts, now));
  app.use("/api/portfolio", requireBearer, portfolio(market, seed, now));

  app.use(nothingHere);
  app.use(answerError);
  return app;
}
