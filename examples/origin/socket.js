/**
 * Upgrades, and the plain WebSocket of the market data: regular ticks, and replies to messages.
 */

import { STATUS_CODES } from "node:http";
import { WebSocketServer } from "ws";
import { errorBody } from "./errors.js";
import { format, priceAt } from "./market.js";
import { fields } from "./params.js";
import { SOCKET_IO_PATH } from "./socket-io.js";

export const SOCKET_PATH = "/ws/v1/market-data";

const TICK_MS = 250;
const MAX_SYMBOLS = 50;
const MAX_MESSAGE_BYTES = 64 * 1024;
const FIRST_SYMBOL = "BTCUSDT";

/** @typedef {import("./market.js").Coin} Coin */

/**
 * Handles the upgrades of `server`.
 * @param {import("node:http").Server} server
 * @param {{ market: import("./market.js").Market, now: () => number,
 *   control: import("./faults.js").Control, counters: import("./counters.js").Counters,
 *   socketIo: import("./socket-io.js").SocketIo }} parts
 */
export function serveSockets(server, { market, now, control, counters, socketIo }) {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  sockets.on("connection", (client, request) => converse(client, request, market, now));

  server.on("upgrade", (request, socket, head) => {
    // Without a listener, a reset by the client would end the process.
    socket.on("error", () => socket.destroy());
    const path = (request.url ?? "").split("?", 1)[0];
    counters.arrived(request.method ?? "GET", path);
    const { latency, fail } = control.draw(path);
    const timer = setTimeout(() => {
      if (fail === "reset") socket.destroy();
      else if (typeof fail === "number") refuse(socket, fail);
      else if (path === SOCKET_IO_PATH && fail === null) socketIo.upgrade(request, socket, head);
      else if (path !== SOCKET_PATH) refuse(socket, 404);
      else if (fail === null)
        sockets.handleUpgrade(request, socket, head, (client) => sockets.emit("connection", client, request));
    }, latency);
    socket.once("close", () => clearTimeout(timer));
  });
}

/** The answer to a request without an upgrade. @type {import("express").Handler} */
export const upgradeRequired = (_req, res) => {
  res.set({ Upgrade: "websocket", Connection: "Upgrade" });
  res.status(426).json(errorBody(426));
};

/**
 * @param {import("ws").WebSocket} client
 * @param {import("node:http").IncomingMessage} request the one that was upgraded
 * @param {import("./market.js").Market} market
 * @param {() => number} now
 */
function converse(client, { url, headers }, market, now) {
  const first = market.find(FIRST_SYMBOL);
  const subscribed = new Set(first ? [first] : []);
  /** @param {object} message */
  const send = (message) => client.send(JSON.stringify(message));

  const ticking = setInterval(() => {
    const timestamp = now();
    for (const coin of subscribed) {
      send({ type: "tick", symbol: coin.pair, price: format(coin, priceAt(coin, timestamp)), timestamp });
    }
  }, TICK_MS);
  client.on("close", () => clearInterval(ticking));
  // A frame that violates the protocol closes the connection, which is all that is needed.
  client.on("error", () => {});

  client.on("message", (data, isBinary) => {
    if (isBinary) {
      client.send(data, { binary: true });
      return;
    }
    const message = parse(String(data));
    send(message.type === "headers" ? { type: "headers", url, headers } : answer(message, subscribed, market));
  });
}

/**
 * @param {Record<string, unknown>} message
 * @param {Set<Coin>} subscribed
 * @param {import("./market.js").Market} market
 */
function answer(message, subscribed, market) {
  const { type, symbol } = message;
  if (type === "ping") return { ...message, type: "pong" };
  if (type !== "subscribe" && type !== "unsubscribe") {
    return { type: "error", message: "type must be one of: subscribe, unsubscribe, ping, headers" };
  }
  const coin = typeof symbol === "string" ? market.find(symbol) : undefined;
  if (!coin) return { type: "error", message: "symbol not found" };
  if (type === "unsubscribe") {
    subscribed.delete(coin);
    return { type: "unsubscribed", symbol: coin.pair };
  }
  if (subscribed.size >= MAX_SYMBOLS && !subscribed.has(coin)) {
    return { type: "error", message: `at most ${MAX_SYMBOLS} symbols on one connection` };
  }
  subscribed.add(coin);
  return { type: "subscribed", symbol: coin.pair };
}

/** @param {string} received */
function parse(received) {
  try {
    return fields(JSON.parse(received));
  } catch {
    return {};
  }
}

/** @param {import("node:stream").Duplex} socket @param {number} status */
function refuse(socket, status) {
  const body = JSON.stringify(errorBody(status));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\nConnection: close\r\n` +
      `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
