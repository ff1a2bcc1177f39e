import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { WebSocket } from "ws";
import { bytesOf, START, serveTests } from "./testkit.mjs";

const MARKET = "/api/v1/market-data";
const BEARER = { authorization: "Bearer test-alice" };

const { origin, get, json, post, raw, socketUrl } = serveTests();

describe("Express's habits", () => {
  test("a weak ETag, a 304 for it, no Cache-Control", async () => {
    const path = `${MARKET}/klines?symbol=BTCUSDT&interval=1h&startTime=0&limit=3`;
    const first = await get(path);
    const etag = first.headers.get("etag") ?? "";
    assert.match(etag, /^W\/"/);
    assert.equal(first.headers.get("cache-control"), null);
    assert.equal(first.headers.get("x-powered-by"), "Express");
    const response = await raw(path, { "if-none-match": etag });
    assert.equal(response.statusCode, 304);
    assert.equal((await bytesOf(response)).length, 0);
  });

  test("CORS with credentials for listed origins alone", async () => {
    const listed = await raw(`${MARKET}/symbols`, { origin: "http://localhost:3000" });
    assert.equal(listed.headers["access-control-allow-origin"], "http://localhost:3000");
    assert.equal(listed.headers["access-control-allow-credentials"], "true");
    const stranger = await raw(`${MARKET}/symbols`, { origin: "https://evil.example" });
    assert.equal(stranger.headers["access-control-allow-origin"], undefined);
    for (const response of [listed, stranger, await raw(`${MARKET}/symbols`)]) {
      assert.match(response.headers.vary ?? "", /Origin/);
      response.resume();
    }
  });

  test("a preflight is answered 204, also before private routes", async () => {
    const response = await get("/api/orders", {
      method: "OPTIONS",
      headers: { origin: "http://localhost:3000", "access-control-request-method": "POST" },
    });
    assert.equal(response.status, 204);
    assert.match(response.headers.get("access-control-allow-methods") ?? "", /POST/);
  });

  test("one proxy hop is trusted", async () => {
    const { ip } = await json("/__origin/echo", { headers: { "x-forwarded-for": "203.0.113.9, 198.51.100.7" } });
    assert.equal(ip, "198.51.100.7");
  });
});

describe("private routes", () => {
  test("no token is a 401", async () => {
    for (const path of [
      "/api/orders",
      "/api/portfolio",
      "/api/exchange-api-keys",
      "/api/proxy/coingecko/ping",
      "/api/proxy/binance-testnet/v3/ping",
      "/api/trading-pairs",
    ]) {
      assert.equal((await get(path)).status, 401, path);
      assert.equal((await get(path, { headers: BEARER })).status === 401, false, path);
    }
  });

  test("orders belong to a token: made, seen, cancelled", async () => {
    const wanted = { exchangeId: "binance", symbol: "BTC/USDT", side: "buy", type: "limit", price: 100, quantity: 2 };
    const created = await post("/api/orders", wanted, BEARER);
    assert.equal(created.status, 201);
    const order = /** @type {any} */ (await created.json());
    assert.equal(order.symbol, "BTCUSDT");
    assert.deepEqual(await json("/api/orders?status=new", { headers: BEARER }), [order]);
    assert.deepEqual(await json("/api/orders", { headers: { authorization: "Bearer test-bob" } }), []);
    const cancelled = await json(`/api/orders/${order.id}`, { method: "DELETE", headers: BEARER });
    assert.equal(cancelled.status, "canceled");
    assert.equal((await get(`/api/orders/${order.id}`, { method: "DELETE", headers: BEARER })).status, 400);
  });

  test("a bad order names every wrong field", async () => {
    const { message } = /** @type {any} */ (await (await post("/api/orders", { side: "up" }, BEARER)).json());
    assert.deepEqual(
      message.map((/** @type {string} */ line) => line.split(" ")[0]),
      ["exchangeId", "symbol", "side", "type", "quantity"],
    );
    const broken = await get("/api/orders", {
      method: "POST",
      body: "{",
      headers: { "content-type": "application/json", ...BEARER },
    });
    assert.equal(broken.status, 400);
    assert.equal(/** @type {any} */ (await broken.json()).statusCode, 400);
  });

  test("exchange keys are made, tested and deleted, their secrets never shown", async () => {
    const created = await post(
      "/api/exchange-api-keys",
      { exchange_id: "binance", api_key: "key-1234", api_secret: "s3cret" },
      BEARER,
    );
    assert.equal(created.status, 201);
    const text = await created.text();
    assert.doesNotMatch(text, /s3cret|key-1234/);
    const url = `/api/exchange-api-keys/${JSON.parse(text).api_key_id}`;
    assert.equal((await post(`${url}/test`, {}, BEARER)).status, 201);
    assert.equal((await post(`${url}/test`, {}, { authorization: "Bearer test-bob" })).status, 404);
    assert.deepEqual(await json(url, { method: "DELETE", headers: BEARER }), { message: "API key deleted" });
    assert.deepEqual(await json("/api/exchange-api-keys", { headers: BEARER }), []);
  });

  test("each token has a portfolio of its own", async () => {
    const alice = await json("/api/portfolio", { headers: BEARER });
    const bob = await json("/api/portfolio", { headers: { authorization: "Bearer test-bob" } });
    assert.ok(alice.totalUsdValue > 0);
    assert.notEqual(alice.userId, bob.userId);
    assert.notDeepEqual(alice.assets, bob.assets);
  });

  test("the providers' routes answer behind a token", async () => {
    const gecko = "/api/proxy/coingecko";
    const binance = "/api/proxy/binance-testnet/v3";
    /** @param {string} path */
    const ask = (path) => json(path, { headers: BEARER });
    assert.equal((await ask(`${gecko}/coins/markets?per_page=3`)).length, 3);
    assert.equal((await ask(`${gecko}/coins/bitcoin`)).symbol, "btc");
    assert.equal((await ask(`${gecko}/coins/bitcoin/market_chart?days=7`)).prices.length, 169);
    assert.ok((await ask(`${gecko}/simple/price?ids=bitcoin&vs_currencies=usd,eur`)).bitcoin.eur > 0);
    assert.ok((await ask(`${gecko}/global`)).data.total_market_cap.usd > 0);
    assert.equal((await ask(`${binance}/depth?symbol=BTCUSDT&limit=5`)).bids.length, 5);
    assert.equal((await ask(`${binance}/klines?symbol=BTCUSDT&interval=1h&limit=2`))[0].length, 7);
    assert.equal((await ask(`${binance}/exchangeInfo`)).symbols[0].symbol, "BTCUSDT");
    for (const nothing of [`${gecko}/nothing`, `${gecko}/coins/nocoin`, `${binance}/depth?symbol=NOPE`]) {
      assert.equal((await ask(nothing)).statusCode, 500, "a provider's failure, whatever it was");
    }
  });

  test("a password reset says the same to everybody", async () => {
    assert.equal((await post("/api/auth/password-reset-request", { email: "a@b.example" })).status, 201);
    assert.equal((await post("/api/auth/password-reset-request", {})).status, 400);
  });

  test("trading pairs are behind a token", async () => {
    const all = await json("/api/trading-pairs", { headers: BEARER });
    assert.deepEqual(await json("/api/trading-pairs/binance", { headers: BEARER }), all.binance);
    assert.deepEqual(await json("/api/trading-pairs/binance/BTC%2FUSDT", { headers: BEARER }), all.binance[0]);
  });
});

describe("the WebSocket", () => {
  /**
   * Returns a function that reads one message after the other, as they arrive.
   * @param {WebSocket} client @returns {() => Promise<any>}
   */
  function reader(client) {
    /** @type {any[]} */ const arrived = [];
    /** @type {((message: any) => void)[]} */ const waiting = [];
    client.on("message", (data, isBinary) => {
      const message = isBinary ? data : JSON.parse(String(data));
      const next = waiting.shift();
      if (next) next(message);
      else arrived.push(message);
    });
    return () =>
      arrived.length > 0 ? Promise.resolve(arrived.shift()) : new Promise((resolve) => waiting.push(resolve));
  }

  test("ticks, subscriptions, pings, nonsense", async () => {
    const client = new WebSocket(socketUrl());
    const next = reader(client);
    await once(client, "open");
    client.send(JSON.stringify({ type: "ping", id: 5 }));
    assert.deepEqual(await next(), { type: "pong", id: 5 });
    client.send(JSON.stringify({ type: "subscribe", symbol: "ethusdt" }));
    assert.deepEqual(await next(), { type: "subscribed", symbol: "ETHUSDT" });
    for (const nonsense of ["{", "null", '{"type":"subscribe","symbol":"NOPE"}']) {
      client.send(nonsense);
      assert.equal((await next()).type, "error");
    }
    client.send('{"type":"headers"}');
    assert.equal((await next()).headers.upgrade, "websocket");
    client.send(Buffer.from([1, 2, 3]));
    assert.deepEqual([...(await next())], [1, 2, 3]);
    const [first, second] = [await next(), await next()];
    assert.deepEqual(Object.keys(first), ["type", "symbol", "price", "timestamp"]);
    assert.deepEqual([first.symbol, second.symbol], ["BTCUSDT", "ETHUSDT"]);
    assert.equal(first.timestamp, START);
    client.terminate();
  });

  test("a plain request there is a 426, an upgrade elsewhere a 404", async () => {
    const plain = await get("/ws/v1/market-data");
    assert.equal(plain.status, 426);
    assert.equal(plain.headers.get("upgrade"), "websocket");
    const elsewhere = new WebSocket(`${origin().url.replace("http", "ws")}/elsewhere`);
    const [error] = await once(elsewhere, "error");
    assert.match(error.message, /404/);
  });
});
