/**
 * WebSockets pass through the gate in both directions, with their headers, and are counted when
 * they are opened.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket } from "ws";
import { ask, newClient, quotaExceeded, rateLimit, setUp } from "./kit.mjs";

const path = "/ws/v1/market-data";

const { gate, origin } = await setUp({
  edge: {
    default_limits: ["three"],
    origin_timeout: "1s",
    limits: { three: { by: "ip", window: "10m", quota: 3 } },
  },
});

/**
 * @param {Record<string, string>} [headers]
 * @param {{ path?: string, protocols?: string[] }} [options]
 */
function connect(headers = newClient(), options = {}) {
  return new WebSocket(gate.url.replace("http", "ws") + (options.path ?? path), options.protocols ?? [], { headers });
}

/**
 * The first message of this type.
 * @param {WebSocket} socket
 * @param {string} type
 */
async function message(socket, type) {
  for (;;) {
    const [data] = await once(socket, "message");
    const message = JSON.parse(String(data));
    if (message.type === type) return message;
  }
}

/** The gate's answer to a handshake that fails. @param {WebSocket} socket */
async function refusal(socket) {
  const [, response] = await once(socket, "unexpected-response");
  const pieces = [];
  for await (const piece of response) pieces.push(piece);
  const body = Buffer.concat(pieces);
  const { statusCode: status, headers, rawHeaders } = response;
  return { status, headers, rawHeaders, body, text: body.toString(), sentAt: 0, receivedAt: 0 };
}

test("messages pass both ways: ticks, answers, and bytes", async () => {
  const socket = connect();
  await once(socket, "open");
  assert.equal((await message(socket, "tick")).symbol, "BTCUSDT");
  socket.send(JSON.stringify({ type: "subscribe", symbol: "ETHUSDT" }));
  assert.equal((await message(socket, "subscribed")).symbol, "ETHUSDT");
  socket.send(JSON.stringify({ type: "ping", id: 7 }));
  assert.equal((await message(socket, "pong")).id, 7);

  const bytes = Buffer.from(Array.from({ length: 60_000 }, (_, i) => i % 256));
  socket.send(bytes, { binary: true });
  const echoed = await new Promise((resolve) => {
    socket.on("message", (data, isBinary) => isBinary && resolve(data));
  });
  assert.deepEqual(echoed, bytes);
  socket.close();
  await once(socket, "close");
});

test("pings of the protocol are answered", async () => {
  const socket = connect();
  await once(socket, "open");
  socket.ping("are you there");
  const [data] = await once(socket, "pong");
  assert.equal(String(data), "are you there");
  socket.close();
});

test("the origin sees the handshake with the forwarding headers", async () => {
  const spoofed = {
    "x-forwarded-for": "10.6.6.6",
    forwarded: "for=10.6.6.6",
    "x-forwarded-user": "root",
    x_forwarded_for: "10.6.6.6",
    origin: "https://app.omnitrade.example",
  };
  const socket = connect({ "cf-connecting-ip": "192.0.2.60", ...spoofed }, { path: `${path}?token=a%20b` });
  await once(socket, "open");
  socket.send('{"type":"headers"}');
  const { url, headers } = await message(socket, "headers");
  assert.equal(url, `${path}?token=a%20b`);
  assert.equal(headers["x-forwarded-for"], "192.0.2.60");
  assert.equal(headers["x-forwarded-host"], new URL(gate.url).host);
  assert.equal(headers["x-forwarded-proto"], "http");
  for (const name of ["forwarded", "x-forwarded-user", "x_forwarded_for"]) assert.equal(headers[name], undefined);
  assert.equal(headers.origin, "https://app.omnitrade.example");
  assert.match(headers.upgrade, /^websocket$/i);
  socket.close();
});

test("it stays open when the origin's time to answer is long over", async () => {
  const socket = connect();
  await once(socket, "open");
  const { timestamp } = await message(socket, "tick");
  for (;;) if ((await message(socket, "tick")).timestamp > timestamp + 1_500) break;
  socket.close();
});

test("the close of one side reaches the other", async () => {
  const socket = connect();
  await once(socket, "open");
  socket.close(4_001);
  const [code] = await once(socket, "close");
  assert.equal(code, 4_001);
  const other = connect();
  await once(other, "open");
  const closed = once(other, "close");
  // The message is larger than the origin accepts, so it closes.
  other.send("x".repeat(100_000));
  assert.equal((await closed)[0], 1_009);
});

test("a handshake is counted, a message is not, and one too many gets a 429", async () => {
  const client = newClient();
  const sockets = Array.from({ length: 3 }, () => connect(client));
  await Promise.all(sockets.map((socket) => once(socket, "open")));
  for (const socket of sockets) {
    for (let n = 0; n < 5; n++) {
      socket.send('{"type":"ping"}');
      await message(socket, "pong");
    }
  }
  const handshakes = origin.counters.of(path);
  const refused = await refusal(connect(client));
  assert.deepEqual(quotaExceeded(refused)["violated-policies"], ["three"]);
  assert.ok(Number(refused.headers["retry-after"]) > 0);
  assert.equal(rateLimit(refused).three.r, 0);
  assert.equal(origin.counters.of(path), handshakes);
  for (const socket of sockets) socket.close();
});

test("an origin that refuses the handshake is heard", async () => {
  assert.equal((await refusal(connect(newClient(), { path: "/no/socket/here" }))).status, 404);
  origin.control.set({ fail: 503, only: path });
  assert.equal((await refusal(connect())).status, 503);
  origin.control.set({ fail: "reset", only: path });
  assert.equal((await refusal(connect())).status, 502);
  origin.control.set({ fail: "hang", only: path });
  assert.equal((await refusal(connect())).status, 504);
  origin.control.set({});
});

test("a plain request there gets the origin's answer", async () => {
  const reply = await ask(gate, path, { headers: newClient() });
  assert.equal(reply.status, 426);
  assert.equal(reply.headers["x-edge-limiter"], "redis");
});
