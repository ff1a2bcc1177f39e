/**
 * A sample of the OmniTrade API: its routes, formats and conventions, with a market that moves, and
 * switches that make it slow or failing. `main.js` runs it; tests call {@link startOrigin}.
 */

import { once } from "node:events";
import { createServer } from "node:http";
import express from "express";
import { createAccounts } from "./accounts.js";
import { requireUser } from "./auth.js";
import { cors } from "./cors.js";
import { countRequests, createCounters } from "./counters.js";
import { answerError, nothingHere } from "./errors.js";
import { applyFaults, createControl } from "./faults.js";
import { createIdentity, JWKS_PATH } from "./identity.js";
import { createLimiter } from "./limiter.js";
import { createMarket } from "./market.js";
import { createMemory } from "./memory.js";
import { auth } from "./routes/auth.js";
import { bodies } from "./routes/bodies.js";
import { identityRoutes } from "./routes/identity.js";
import { marketData } from "./routes/market-data.js";
import { exchangeKeys, orders, portfolio } from "./routes/private.js";
import { probes } from "./routes/probes.js";
import { binanceTestnet, coingecko } from "./routes/proxies.js";
import { switchboard } from "./routes/switchboard.js";
import { tradingPairs } from "./routes/trading-pairs.js";
import { SOCKET_PATH, serveSockets, upgradeRequired } from "./socket.js";
import { createSocketIo, SOCKET_IO_PATH } from "./socket-io.js";

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
 * @property {boolean} [limiter] the API's own limit; default: none, as where the gate is exempt
 * @property {boolean} [cache] the API's own cache; default: there is one
 * @property {number} [jwksMaxAge] for how many seconds the identity provider's keys may be cached;
 *   default 3600
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
  const { limiter = false, cache = true, jwksMaxAge } = options;
  const market = createMarket(seed);
  const control = createControl({ latency, fail });
  const counters = createCounters();
  const identity = createIdentity({ now, maxAge: jwksMaxAge });
  const memory = createMemory({ now, on: cache });
  const socketIo = createSocketIo({ market, now });

  const server = createServer(createApp({ market, seed, control, counters, identity, memory, socketIo, limiter, now }));
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  serveSockets(server, { market, now, control, counters, socketIo });

  /** @type {Set<import("node:net").Socket>} */
  const connections = new Set();
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });

  server.listen(port, host);
  await once(server, "listening");
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());

  const url = `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
  return {
    url,
    port: address.port,
    counters,
    control,
    /** The identity provider, and the address of its keys. */
    tokens: { ...identity, jwksUrl: url + JWKS_PATH },
    /** Closes all connections at once, including those of WebSockets. It may be called again. */
    close: async () => {
      const closed = server.listening ? once(server, "close") : undefined;
      server.close();
      socketIo.close();
      for (const socket of connections) socket.destroy();
      await closed;
    },
  };
}

/**
 * @param {{
 *   market: import("./market.js").Market, seed: number, control: import("./faults.js").Control,
 *   counters: import("./counters.js").Counters, identity: import("./identity.js").Identity,
 *   memory: import("./memory.js").Memory, socketIo: import("./socket-io.js").SocketIo,
 *   limiter: boolean, now: () => number
 * }} parts
 */
function createApp({ market, seed, control, counters, identity, memory, socketIo, limiter, now }) {
  const app = express();
  const accounts = createAccounts();
  const user = requireUser(identity);
  app.set("trust proxy", 1);

  app.use(countRequests(counters));
  app.use(applyFaults(control));

  app.use("/__origin", switchboard(control, counters), identityRoutes(identity), probes(), bodies());
  app.all(SOCKET_PATH, upgradeRequired);
  app.all(SOCKET_IO_PATH, socketIo.poll);

  if (limiter) app.use("/api", createLimiter());
  app.use("/api", cors, express.json());
  app.use("/api/v1/market-data", marketData(market, { now, memory }));
  app.use("/api/trading-pairs", user, tradingPairs(market));
  app.use("/api/auth", auth());
  app.use("/api/proxy/coingecko", user, coingecko(market, memory));
  app.use("/api/proxy/binance-testnet", user, binanceTestnet(market, now));
  app.use("/api/orders", user, orders(market, accounts, now));
  app.use("/api/exchange-api-keys", user, exchangeKeys(accounts, now));
  app.use("/api/portfolio", user, portfolio(market, seed, now));

  app.use(nothingHere);
  app.use(answerError);
  return app;
}
