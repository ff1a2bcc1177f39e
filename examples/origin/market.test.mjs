import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { startOrigin } from "./index.js";
import { clock, START, serveTests } from "./testkit.mjs";

const MARKET = "/api/v1/market-data";

const { get, json } = serveTests({ cache: false });

describe("market data", () => {
  test("the list of coins has pages of up to 250 and about 250 KB", async () => {
    const text = await (await get(`${MARKET}/markets?per_page=250&sparkline=true`)).text();
    assert.ok(text.length > 200_000 && text.length < 320_000, `${text.length} bytes`);
    const coins = JSON.parse(text);
    assert.equal(coins.length, 250);
    assert.equal(coins[0].market_cap_rank, 1);
    assert.equal(coins[0].sparkline_in_7d.price.length, 42);
    assert.ok(
      coins.every(
        (/** @type {any} */ coin) => coin.low_24h <= coin.current_price && coin.current_price <= coin.high_24h,
      ),
    );
    const second = await json(`${MARKET}/markets?per_page=250&page=2`);
    assert.equal(second[0].market_cap_rank, 251);
    assert.equal(second[0].sparkline_in_7d, undefined);
    assert.deepEqual(await json(`${MARKET}/markets?page=999`), []);
  });

  test("the list can be ordered and priced in other currencies", async () => {
    const byVolume = await json(`${MARKET}/markets?order=volume_asc&per_page=2`);
    assert.ok(byVolume[0].total_volume <= byVolume[1].total_volume);
    const [inBitcoin] = await json(`${MARKET}/markets?vs_currency=btc&per_page=1`);
    assert.equal(inBitcoin.id, "bitcoin");
    assert.equal(inBitcoin.current_price, 1);
  });

  test("the order book moves with every step and stands still within one", async () => {
    const url = `${MARKET}/orderbook?symbol=BTCUSDT&limit=20`;
    const book = await json(url);
    assert.equal(book.symbol, "BTCUSDT");
    assert.equal(book.bids.length, 20);
    assert.equal(book.asks.length, 20);
    /** @type {number[]} */
    const bids = book.bids.map((/** @type {string[]} */ level) => Number(level[0]));
    /** @type {number[]} */
    const asks = book.asks.map((/** @type {string[]} */ level) => Number(level[0]));
    assert.ok(
      bids.every((price, i) => i === 0 || price < bids[i - 1]),
      "bids descend",
    );
    assert.ok(
      asks.every((price, i) => i === 0 || price > asks[i - 1]),
      "asks ascend",
    );
    assert.ok(bids[0] < asks[0], "the sides do not cross");
    assert.equal(typeof book.bids[0][1], "string");
    clock.time += 99;
    assert.deepEqual(await json(url), book);
    clock.time += 1;
    const next = await json(url);
    assert.notDeepEqual(next.bids, book.bids);
    assert.equal(next.timestamp, book.timestamp + 100);
  });

  test("every coin has a full order book", async () => {
    for (const symbol of ["SHIBUSDT", "PEPEUSDT", "USDCUSDT", "btc-usdt"]) {
      const { bids, asks } = await json(`${MARKET}/orderbook?symbol=${symbol}&limit=100`);
      assert.equal(asks.length, 100, symbol);
      assert.equal(bids.length, 100, symbol);
      assert.ok(Number(bids[99][0]) > 0, symbol);
    }
  });

  test("a trade once made stays as it is, and new ones follow", async () => {
    const earlier = await json(`${MARKET}/trades?symbol=ETHUSDT&limit=50`);
    assert.equal(earlier.length, 50);
    assert.deepEqual(Object.keys(earlier[0]), ["id", "price", "quantity", "timestamp", "isBuyerMaker"]);
    assert.ok(earlier.every((/** @type {any} */ trade) => trade.timestamp <= clock.time));
    clock.time += 1_000;
    const later = await json(`${MARKET}/trades?symbol=ETHUSDT&limit=50`);
    assert.deepEqual(later.slice(0, 40), earlier.slice(10));
    assert.ok(later[49].id > earlier[49].id);
  });

  test("a closed candle never changes, the open one lives", async () => {
    const url = `${MARKET}/klines?symbol=BTCUSDT&interval=1m&limit=5`;
    const earlier = await json(url);
    assert.deepEqual(Object.keys(earlier[0]), ["openTime", "open", "high", "low", "close", "volume", "closeTime"]);
    assert.equal(earlier[4].openTime, START - 30_000);
    clock.time += 10_000;
    const later = await json(url);
    assert.deepEqual(later.slice(0, 4), earlier.slice(0, 4));
    assert.notEqual(later[4].close, earlier[4].close);
    assert.ok(Number(later[4].volume) > Number(earlier[4].volume));
    clock.time += 3_600_000;
    const closed = await json(`${url}&startTime=${earlier[0].openTime}&endTime=${earlier[3].openTime}`);
    assert.deepEqual(closed, earlier.slice(0, 4));
  });

  test("weeks begin on Mondays, and months on their first day", async () => {
    for (const [interval, begins] of /** @type {const} */ ([
      ["1w", (/** @type {Date} */ open) => open.getUTCDay() === 1],
      ["1M", (/** @type {Date} */ open) => open.getUTCDate() === 1],
    ])) {
      const candles = await json(`${MARKET}/klines?symbol=BTCUSDT&interval=${interval}&limit=5`);
      assert.equal(candles.length, 5);
      for (const [n, { openTime, closeTime }] of candles.entries()) {
        assert.ok(begins(new Date(openTime)) && openTime % 86_400_000 === 0, `${interval} ${openTime}`);
        assert.equal(closeTime + 1, candles[n + 1]?.openTime ?? closeTime + 1);
      }
    }
  });

  test("no price lies outside its candle, and an open one never narrows", async () => {
    for (const interval of ["1s", "1m", "1h"]) {
      let earlier = { openTime: 0, low: "0", high: "0" };
      for (let i = 0; i < 20; i++) {
        clock.time = START + i * 100;
        const [candle] = await json(`${MARKET}/klines?symbol=SOLUSDT&interval=${interval}&limit=1`);
        assert.ok(Number(candle.low) <= Number(candle.close) && Number(candle.close) <= Number(candle.high));
        if (candle.openTime === earlier.openTime) {
          assert.ok(Number(candle.low) <= Number(earlier.low), `${interval}, step ${i}`);
          assert.ok(Number(candle.high) >= Number(earlier.high), `${interval}, step ${i}`);
        }
        earlier = candle;
      }
    }
  });

  test("the same seed gives the same market, another seed another one", async () => {
    const url = `${MARKET}/orderbook?symbol=BTCUSDT`;
    const here = await json(url);
    for (const [seed, same] of /** @type {const} */ ([
      [7, true],
      [8, false],
    ])) {
      const other = await startOrigin({ seed, now: () => clock.time });
      const there = await (await fetch(other.url + url)).json();
      await other.close();
      assert.equal(JSON.stringify(there) === JSON.stringify(here), same);
    }
  });

  test("bad requests get JSON errors", async () => {
    const cases = {
      [`${MARKET}/orderbook?symbol=NOPE`]: 500,
      [`${MARKET}/orderbook?symbol=BTCUSDT&limit=0`]: 400,
      [`${MARKET}/orderbook?symbol=BTCUSDT&limit=abc`]: 400,
      [`${MARKET}/orderbook?symbol=BTCUSDT&limit=5001`]: 400,
      [`${MARKET}/orderbook?symbol=BTCUSDT&symbol=ETHUSDT`]: 400,
      [`${MARKET}/orderbook`]: 400,
      [`${MARKET}/trades?symbol=%00`]: 500,
      [`${MARKET}/trades?symbol=${"x".repeat(8000)}`]: 500,
      [`${MARKET}/klines?symbol=BTCUSDT&interval=7m`]: 400,
      [`${MARKET}/klines?symbol=BTCUSDT&interval=1m&startTime=9&endTime=8`]: 400,
      [`${MARKET}/markets?per_page=251`]: 400,
      [`${MARKET}/markets?order=__proto__`]: 400,
      [`${MARKET}/orderbook?symbol=BITCOIN`]: 500,
      [`${MARKET}/orderbook?symbol=tether`]: 500,
      [`${MARKET}/orderbook?symbol=BTCUSDT&depth=5`]: 400,
      [`${MARKET}/markets?utm_source=x`]: 400,
      [`${MARKET}/symbols?a`]: 400,
      "/api/trading-pairs/%ZZ": 401,
      "/nowhere": 404,
    };
    for (const [path, status] of Object.entries(cases)) {
      const response = await get(path);
      assert.equal(response.status, status, path);
      const body = /** @type {any} */ (await response.json());
      assert.equal(body.statusCode, status);
      assert.equal(typeof body.error, "string");
      assert.ok(body.message, path);
    }
  });
});
