import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import { startOrigin } from "./index.js";
import { clock, serveTests } from "./testkit.mjs";

const MARKET = "/api/v1/market-data";

const { origin, get, json, post } = serveTests();

/** @param {string} token */
const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });
/** @param {string} token */
const statusFor = async (token) => (await get("/api/portfolio", bearer(token))).status;

describe("tokens", () => {
  test("a token of the provider is its user, whichever algorithm signed it", async () => {
    for (const alg of /** @type {const} */ (["RS256", "ES256", "EdDSA"])) {
      const token = origin().tokens.issue({ user: "dora", alg });
      assert.equal((await json("/api/portfolio", bearer(token))).userId, "dora", alg);
    }
  });

  test("the key set verifies the tokens, and says for how long it holds", async () => {
    const response = await get("/__origin/jwks.json");
    assert.equal(response.headers.get("cache-control"), "public, max-age=3600");
    const { keys } = /** @type {any} */ (await response.json());
    assert.deepEqual(
      keys.map((/** @type {any} */ key) => [key.alg, key.kty, key.d]),
      [
        ["RS256", "RSA", undefined],
        ["ES256", "EC", undefined],
        ["EdDSA", "OKP", undefined],
      ],
    );
    const [header, payload, signature] = origin().tokens.issue({ alg: "ES256", plan: "pro" }).split(".");
    const { kid } = JSON.parse(Buffer.from(header, "base64url").toString());
    const key = createPublicKey({ key: keys.find((/** @type {any} */ key) => key.kid === kid), format: "jwk" });
    const signed = Buffer.from(signature, "base64url");
    assert.ok(
      verify("sha256", Buffer.from(`${header}.${payload}`), { key, dsaEncoding: "ieee-p1363" }, signed),
      "with the published key",
    );
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
    assert.equal(claims.iss, origin().tokens.issuer);
    assert.equal(claims.aud, origin().tokens.audience);
    assert.equal(claims.plan, "pro");
    assert.equal(claims.exp - claims.iat, 3_600);
  });

  test("what does not verify is 401: made up, forged, past, for others", async () => {
    const { issue } = origin().tokens;
    const [header, payload, signature] = issue().split(".");
    const none = Buffer.from('{"alg":"none","kid":"rs256-1"}').toString("base64url");
    const cases = {
      "made up": "made-up",
      unsigned: `${none}.${payload}.`,
      "without a signature": `${none}.${payload}.AA`,
      "another payload": `${header}.${issue({ user: "eve" }).split(".")[1]}.${signature}`,
      "a key that is not published": issue({ stranger: true }),
      "a key that only claims to be published": issue({ stranger: true, kid: "rs256-1" }),
      past: issue({ expires_in: -1 }),
      "of another issuer": issue({ claims: { iss: "https://evil.example" } }),
      "for another audience": issue({ claims: { aud: "other" } }),
      "without a user": issue({ claims: { sub: undefined } }),
      "without an end": issue({ claims: { exp: undefined } }),
    };
    for (const [what, token] of Object.entries(cases)) assert.equal(await statusFor(token), 401, what);
    const body = await json("/api/portfolio", bearer("made-up"));
    assert.deepEqual(Object.keys(body), ["statusCode", "message", "error"]);
  });

  test("a token lives until its time is over", async () => {
    const token = origin().tokens.issue({ expires_in: 60 });
    clock.time += 59_000;
    assert.equal(await statusFor(token), 200);
    clock.time += 1_000;
    assert.equal(await statusFor(token), 401);
  });

  test("keys are rotated: with keep both verify, with replace the new ones", async () => {
    const other = await startOrigin();
    const asks = async (/** @type {string} */ token) => (await fetch(`${other.url}/api/orders`, bearer(token))).status;
    const rotate = async (/** @type {object} */ wanted) => {
      const init = { method: "POST", body: JSON.stringify(wanted) };
      return /** @type {any} */ (await (await fetch(`${other.url}/__origin/identity`, init)).json());
    };
    const first = other.tokens.issue();
    assert.equal((await rotate({ rotate: "keep", max_age: 5 })).kids.length, 6);
    assert.equal((await fetch(other.tokens.jwksUrl)).headers.get("cache-control"), "public, max-age=5");
    const second = other.tokens.issue();
    assert.deepEqual([await asks(first), await asks(second)], [200, 200]);
    assert.equal(await asks(other.tokens.issue({ kid: "rs256-1" })), 200, "the earlier key can still sign");
    assert.equal((await rotate({ rotate: "replace" })).kids.length, 3);
    assert.deepEqual([await asks(first), await asks(second), await asks(other.tokens.issue())], [401, 401, 200]);
    assert.equal((await rotate({ rotate: "sometimes" })).statusCode, 400);
    await other.close();
  });

  test("tokens can be asked for over HTTP", async () => {
    const { token } = await json("/__origin/token?user=finn&plan=pro&alg=EdDSA&expires_in=60");
    assert.equal((await json("/api/portfolio", bearer(token))).userId, "finn");
    const stranger = await json("/__origin/token?stranger=true", { method: "POST" });
    assert.equal(await statusFor(stranger.token), 401);
    for (const bad of ["alg=HS256", "expires_in=soon", "kid=nothing", "kid=es256-1&alg=RS256", "usr=x"]) {
      assert.equal((await get(`/__origin/token?${bad}`)).status, 400, bad);
    }
  });

  test("the key set can be made to fail", async () => {
    await post("/__origin/control", { fail: 500, only: "/__origin/jwks.json" });
    assert.equal((await get("/__origin/jwks.json")).status, 500);
    assert.equal((await get(`${MARKET}/symbols`)).status, 200);
  });
});

describe("the API's own habits", () => {
  test("it keeps books and trades 2 s, candles 10 s, markets 5 min", async () => {
    for (const [path, kept] of /** @type {const} */ ([
      [`${MARKET}/orderbook?symbol=bitcoin&limit=5`, 2_000],
      [`${MARKET}/trades?symbol=bitcoin&limit=5`, 2_000],
      [`${MARKET}/klines?symbol=bitcoin&interval=1m&limit=2`, 10_000],
      [`${MARKET}/markets?per_page=2`, 300_000],
      ["/api/proxy/coingecko/simple/price?ids=bitcoin&vs_currencies=usd", 900_000],
    ])) {
      const text = async () => (await get(path, bearer("test-a"))).text();
      const first = await text();
      clock.time += kept - 1;
      assert.equal(await text(), first, path);
      clock.time += 1;
      assert.notEqual(await text(), first, path);
    }
  });

  test("a coin's id is a symbol as it is, in lower case only", async () => {
    const book = await json(`${MARKET}/orderbook?symbol=bitcoin&limit=5`);
    assert.deepEqual(await json(`${MARKET}/orderbook?symbol=BTCUSDT&limit=5`), book);
    assert.equal((await get(`${MARKET}/orderbook?symbol=Bitcoin&limit=5`)).status, 500);
  });

  test("without limit the provider decides how much there is", async () => {
    for (const [path, ...limits] of /** @type {const} */ ([
      [`${MARKET}/orderbook?symbol=bitcoin`, 100, 500],
      [`${MARKET}/trades?symbol=bitcoin`, 100, 500],
      [`${MARKET}/klines?symbol=bitcoin&interval=1m`, 100, 500],
    ])) {
      const body = await json(path);
      for (const limit of limits) assert.notDeepEqual(await json(`${path}&limit=${limit}`), body, `${path} ${limit}`);
    }
    const markets = await json(`${MARKET}/markets`);
    const spelt = "vs_currency=usd&page=1&per_page=100&order=market_cap_desc&sparkline=false";
    assert.deepEqual(await json(`${MARKET}/markets?${spelt}`), markets);
  });

  test("an undeclared parameter is refused by its name, in a list", async () => {
    const body = await json(`${MARKET}/trades?symbol=bitcoin&depth=5&utm_source=x`);
    assert.deepEqual(body, {
      statusCode: 400,
      message: ["property depth should not exist", "property utm_source should not exist"],
      error: "Bad Request",
    });
    assert.equal((await get("/api/orders?page=2", bearer("test-a"))).status, 400);
    assert.equal((await get(`${MARKET}/orderbook?symbol=NOPE&limit=0`)).status, 400, "before the provider is asked");
  });

  test("its own limit is off, or 300 for an address, and says what is left", async () => {
    assert.equal((await get(`${MARKET}/symbols`)).headers.get("ratelimit-limit"), null);
    const limited = await startOrigin({ limiter: true });
    const ask = (/** @type {string} */ address) =>
      fetch(`${limited.url}${MARKET}/ticker?symbol=bitcoin`, { headers: { "x-forwarded-for": address } });
    const first = await ask("192.0.2.1");
    assert.equal(first.headers.get("ratelimit-limit"), "300");
    assert.equal(first.headers.get("ratelimit-remaining"), "299");
    assert.equal(first.headers.get("ratelimit-reset"), "900");
    for (let n = 1; n < 300; n++) assert.equal((await ask("192.0.2.1")).status, 200);
    const refused = await ask("192.0.2.1");
    assert.equal(refused.status, 429);
    assert.equal(/** @type {any} */ (await refused.json()).statusCode, 429);
    assert.equal((await ask("192.0.2.2")).status, 200);
    await limited.close();
  });
});

describe("socket.io", () => {
  for (const [name, transports] of /** @type {const} */ ([
    ["polling", ["polling"]],
    ["a WebSocket", ["websocket"]],
    ["polling, then the upgrade", ["polling", "websocket"]],
  ])) {
    test(`ticks and subscriptions come by ${name}`, async () => {
      const client = io(origin().url, { transports: [...transports], reconnection: false, forceNew: true });
      try {
        await new Promise((resolve, reject) => client.on("connect", () => resolve(0)).on("connect_error", reject));
        while (client.io.engine.transport.name !== transports.at(-1)) await sleep(5);
        assert.deepEqual(await client.emitWithAck("subscribe", "ethereum"), { symbol: "ETHUSDT" });
        assert.deepEqual(await client.emitWithAck("subscribe", "NOPE"), { error: "no such symbol" });
        assert.deepEqual(await client.emitWithAck("unsubscribe", "BTCUSDT"), { symbol: "BTCUSDT" });
        const tick = await new Promise((resolve) => client.once("tick", resolve));
        assert.deepEqual(Object.keys(tick), ["symbol", "price", "timestamp"]);
        assert.equal(tick.symbol, "ETHUSDT");
      } finally {
        client.close();
      }
    });
  }

  test("switches and counters see it, pages of listed origins may read it", async () => {
    origin().counters.reset();
    const path = "/socket.io/?EIO=4&transport=polling";
    const opened = await get(path, { headers: { origin: "http://localhost:5173" } });
    assert.match(await opened.text(), /^0\{"sid":/);
    assert.equal(opened.headers.get("access-control-allow-origin"), "http://localhost:5173");
    assert.equal(origin().counters.of("/socket.io/"), 1);
    origin().control.set({ fail: 503, only: "/socket.io" });
    assert.equal((await get(path)).status, 503);
    const client = io(origin().url, { transports: ["websocket"], reconnection: false, forceNew: true });
    await once(/** @type {any} */ (client), "connect_error");
    client.close();
  });

  test("close ends its sessions", async () => {
    const other = await startOrigin();
    const client = io(other.url, { transports: ["websocket"], reconnection: false, forceNew: true });
    await once(/** @type {any} */ (client), "connect");
    const gone = once(/** @type {any} */ (client), "disconnect");
    await other.close();
    await gone;
    client.close();
  });
});
