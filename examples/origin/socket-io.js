/**
 * socket.io on `/socket.io/`, as the frontend uses it: HTTP polling, WebSocket, and the upgrade
 * from the one to the other.
 */

import { Server as Engine } from "engine.io";
import { Server } from "socket.io";
import { ALLOWED_ORIGINS } from "./cors.js";
import { format, priceAt } from "./market.js";

export const SOCKET_IO_PATH = "/socket.io/";

/** A client that polls asks again after each of these. */
const TICK_MS = 1_000;
const MAX_SYMBOLS = 50;
const FIRST_SYMBOL = "BTCUSDT";

/** @typedef {ReturnType<typeof createSocketIo>} SocketIo */

/** @param {{ market: import("./market.js").Market, now: () => number }} parts */
export function createSocketIo({ market, now }) {
  // The engine is not attached to the server, so that the switches and counters see its requests.
  const engine = new Engine({ cors: { origin: ALLOWED_ORIGINS, credentials: true } });
  const io = new Server();
  io.bind(engine);
  io.on("connection", (socket) => converse(socket, market, now));

  return {
    /** @type {import("express").Handler} */
    poll: (req, res) => {
      engine.handleRequest(/** @type {any} */ (req), res);
    },
    /**
     * @param {import("node:http").IncomingMessage} request
     * @param {import("node:stream").Duplex} socket
     * @param {Buffer} head
     */
    upgrade: (request, socket, head) => engine.handleUpgrade(/** @type {any} */ (request), socket, head),
    /** Ends all sessions. */
    close: () => engine.close(),
  };
}

/**
 * @param {import("socket.io").Socket} socket
 * @param {import("./market.js").Market} market
 * @param {() => number} now
 */
function converse(socket, market, now) {
  const first = market.find(FIRST_SYMBOL);
  const subscribed = new Set(first ? [first] : []);

  const ticking = setInterval(() => {
    const timestamp = now();
    for (const coin of subscribed) {
      socket.emit("tick", { symbol: coin.pair, price: format(coin, priceAt(coin, timestamp)), timestamp });
    }
  }, TICK_MS);
  socket.on("disconnect", () => clearInterval(ticking));

  /**
   * @param {(coin: import("./market.js").Coin) => void} change
   * @returns {(...sent: unknown[]) => void}
   */
  const changing =
    (change) =>
    (...sent) => {
      const [symbol, acknowledge] = [sent[0], sent.at(-1)];
      const coin = typeof symbol === "string" ? market.find(symbol) : undefined;
      const room = coin !== undefined && (subscribed.has(coin) || subscribed.size < MAX_SYMBOLS);
      if (room) change(coin);
      if (typeof acknowledge === "function") acknowledge(room ? { symbol: coin.pair } : { error: "no such symbol" });
    };
  socket.on(
    "subscribe",
    changing((coin) => subscribed.add(coin)),
  );
  socket.on(
    "unsubscribe",
    changing((coin) => subscribed.delete(coin)),
  );
}
