/**
 * Absurd and hostile requests: each gets a clean answer, no secret is shown, and the isolate goes
 * on.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, test } from "node:test";
import { ask, newClient, problem, rateLimit, setUp, until } from "./kit.mjs";

const made = "/__origin/headers";
const book = "/api/v1/market-data/orderbook";

const { gate, origin, rest, tap, store } = await setUp({
  edge: {
    extra_methods: ["BREW"],
    default_limits: ["many"],
    limits: {
      many: { by: "client", window: "60s", quota: 10_000 },
      route: { by: "route", window: "60s", quota: 10_000 },
    },
    routes: [
      { path: made, limits: ["many"], cache: {} },
      { path: book, limits: ["many", "route"], cache: { ttl: "1s", stale_while_revalidate: "1s", query: ["symbol"] } },
      { path: "/{*rest}", methods: ["BREW"], limits: ["route"] },
    ],
  },
});

/** All answers and log lines of this file, to be searched for secrets. */
let told = "";

/** @type {typeof ask} */
async function send(...request) {
  const reply = await ask(...request);
  told += `${reply.rawHeaders.join("\n")}\n`;
  if (reply.status >= 400) told += reply.text;
  return reply;
}

/**
 * Sends bytes as they are, and returns all that comes back until the gate closes or has answered.
 * @param {string | Buffer} bytes
 * @returns {Promise<{ status: number, text: string }>}
 */
async function raw(bytes) {
  const { hostname, port } = new URL(gate.url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  let text = "";
  socket.on("data", (data) => {
    text += data.toString("latin1");
  });
  socket.on("error", () => {}); // A reset is an answer too.
  socket.end(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  await new Promise((resolve) => socket.once("close", resolve));
  told += text;
  return { status: Number(text.match(/^HTTP\/1\.[01] (\d{3}) /)?.[1] ?? 0), text };
}

afterEach(async () => {
  const reply = await ask(gate, "/__origin/status/200", { headers: newClient() });
  assert.equal(reply.status, 200, "the isolate goes on serving");
  assert.equal(reply.headers["x-edge-limiter"], "redis", "and has lost nothing");
  const log = gate.logs().join("\n");
  gate.clearLogs();
  told += `${log}\n`;
  assert.ok(!/panic|unreachable|RuntimeError|uncaught|wasm/i.test(log), log);
});

test("a URL as long as the gate takes passes, a longer one is 414", async () => {
  const fits = await send(gate, `/__origin/echo?q=${"x".repeat(15_000)}`);
  assert.equal(fits.status, 200);
  assert.equal(JSON.parse(fits.text).query.q.length, 15_000);
  for (const path of [`/${"y".repeat(16_384)}`, `/__origin/echo?q=${"y".repeat(20_000)}`, `/${"z/".repeat(20_000)}`]) {
    const seen = origin.counters.get().total;
    problem(await send(gate, path), 414);
    assert.equal(origin.counters.get().total, seen);
  }
});

test("a long path makes no long key", async () => {
  const path = `/${"%2e".repeat(2_000)}/${"a".repeat(3_000)}`;
  await send(gate, path, { method: "BREW" }).catch(() => {});
  await send(gate, `${made}?Cache-Control=max-age=600&q=${"k".repeat(12_000)}`);
  await send(gate, `${made}?Cache-Control=max-age=600`, { headers: { "x-api-key": "k".repeat(8_000) } });
  for (const key of await store.keys()) assert.ok(key.length < 120, key);
});

test("an API key of 8 KB is a key like another", async () => {
  const key = "k".repeat(8_192);
  const first = await send(gate, "/__origin/status/200", { headers: { "x-api-key": key } });
  assert.equal(first.status, 200);
  const second = await send(gate, "/__origin/status/200", { headers: { "x-api-key": key } });
  assert.equal(rateLimit(second).many.r, Number(rateLimit(first).many.r) - 1);
});

test("a key with odd bytes in it is a key", async () => {
  for (const key of ["ключ".normalize(), "\u00e9\u00ff", "a:b:*{}\\\"'", "a, b", "%00%0a"]) {
    const bytes = Buffer.from(key).toString("latin1");
    const reply = await send(gate, "/__origin/status/200", { headers: { "x-api-key": bytes } });
    assert.equal(reply.status, 200, key);
    assert.equal(rateLimit(reply).many.q, 10_000);
  }
});

for (const address of [
  "",
  " ",
  "bogus",
  "::::",
  "1.2.3.4.5",
  "1.2.3.4\t",
  "-1",
  "0x7f.1",
  "[::1",
  "::1%",
  "💥",
  "9".repeat(5_000),
]) {
  test(`a client address that is none: ${JSON.stringify(address.slice(0, 20))}`, async () => {
    const reply = await send(gate, "/__origin/echo", {
      headers: { "cf-connecting-ip": Buffer.from(address).toString("latin1") },
    });
    assert.equal(reply.status, 200);
    const forwarded = JSON.parse(reply.text).headers["x-forwarded-for"];
    assert.ok(forwarded === undefined || forwarded === "1.2.3.4", forwarded);
  });
}

for (const [name, texts] of /** @type {[string, string[]][]} */ ([
  [
    "cache-control",
    ["max-age=99999999999999999999", "max-age=-1, max-stale=x", 'no-cache="', ",,,;;=", "only-if-cached=1, max-stale"],
  ],
  ["if-none-match", ['"', 'W/"', "*,*", `${'"a",'.repeat(1_000)}"b"`, "\u00ff"]],
  ["if-modified-since", ["yesterday", "Thu, 99 Foo 99999 99:99:99 GMT", "Fri, 01 Jan 0000 00:00:00 GMT"]],
  ["range", ["bytes=", "bytes=-", "bytes=9-1", `bytes=${"0-1,".repeat(1_000)}2-3`, "x=1"]],
  ["accept-encoding", ["gzip;q=x", "*;q=0", ","]],
  ["authorization", ["", "Bearer", "x".repeat(8_000)]],
  ["connection", [",,,", "a b, \u00ff, cookie", `${"x,".repeat(2_000)}y`]],
  ["origin", ["null", "x y"]],
  ["content-type", ["\u00ff/\u00ff"]],
  ["x-api-key", [" , ", ","]],
])) {
  test(`a strange ${name}`, async () => {
    for (const text of texts) {
      for (const path of [`${book}?symbol=BTCUSDT`, `${made}?Cache-Control=max-age%3D1&ETag=%22a%22`]) {
        const reply = await send(gate, path, { headers: { ...newClient(), [name]: text } });
        assert.ok([200, 206, 304, 400, 416, 504].includes(reply.status), `${text.slice(0, 40)}: ${reply.status}`);
      }
    }
  });
}

test("strange response headers of the origin are no harm to the cache", async () => {
  for (const headers of /** @type {Record<string, string>[]} */ ([
    { Vary: ",,*,," },
    { Vary: "x ,\u00ff, accept", "Cache-Control": "max-age=600" },
    { "Cache-Control": 'max-age="600", private="a", =, no-cache=""' },
    { "Cache-Control": `max-age=${"9".repeat(400)}` },
    { ETag: "not quoted", "Cache-Control": "max-age=600" },
    { Age: "-5", Date: "never", Expires: "0", "Last-Modified": "tomorrow", "Cache-Control": "max-age=600" },
    { "Content-Type": "\u00ff", "X-Odd": "caf\u00e9", "Cache-Control": "max-age=600" },
    { "Cache-Status": "\u00ff,;=", RateLimit: "x", "X-Edge-Limiter": "evil", "Cache-Control": "max-age=600" },
  ])) {
    const query = new URLSearchParams({ ...headers, __body: "b", n: String(Math.random()) });
    for (let n = 0; n < 3; n++) {
      const reply = await send(gate, `${made}?${query}`);
      assert.ok([200, 400].includes(reply.status), `${JSON.stringify(headers)}: ${reply.status}`);
      if (reply.status === 200) {
        assert.equal(reply.text, "b");
        assert.equal(reply.headers["x-edge-limiter"], "redis", "the origin does not speak for the gate");
        assert.ok(rateLimit(reply).many);
      }
    }
  }
});

test("headers that come twice", async () => {
  const { status } = await send(gate, book, {
    headers: {
      "cf-connecting-ip": ["10.9.9.1", "10.9.9.2"],
      "x-api-key": ["a", "b"],
      "cache-control": ["no-cache", "max-age=5"],
      "if-none-match": ['"a"', '"b"'],
    },
  });
  assert.ok([200, 400].includes(status), String(status));
  const twice = { "cf-connecting-ip": ["10.9.9.1", "10.9.9.2"], "x-forwarded-for": ["1.1.1.1", "2.2.2.2"] };
  const reply = await send(gate, "/__origin/echo", { headers: twice });
  assert.equal(JSON.parse(reply.text).headers["x-forwarded-for"], undefined, "two addresses are none");
});

// CONNECT is missing, because workerd answers it itself.
test("absurd methods", async () => {
  for (const method of ["TRACE", "BREW", "get", "PROPFIND", "M-SEARCH", "PURGE", "X".repeat(500)]) {
    const line = `${method} /__origin/status/200 HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n`;
    const { status } = await raw(line);
    assert.ok(status === 0 || status === 200 || (status >= 400 && status <= 501), `${method.slice(0, 20)}: ${status}`);
  }
});

for (const [name, bytes] of /** @type {[string, string][]} */ ([
  ["no request at all", "\r\n\r\n"],
  ["noise", `${"\u0000\u00ff\u0001".repeat(300)}\r\n\r\n`],
  ["no Host", "GET /__origin/status/200 HTTP/1.1\r\n\r\n"],
  ["HTTP/1.0", "GET /__origin/status/200 HTTP/1.0\r\n\r\n"],
  [
    "an absolute target",
    "GET http://evil.example/__edge/../__origin/status/200 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  ],
  ["a target that is no path", "GET evil.example HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["an asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["a Host with a path", "GET / HTTP/1.1\r\nHost: a/../b?c#d\r\nConnection: close\r\n\r\n"],
  ["a Host with a user", "GET /__origin/status/200 HTTP/1.1\r\nHost: u:p@a\r\nConnection: close\r\n\r\n"],
  ["a Host that is no host", "GET /__origin/status/200 HTTP/1.1\r\nHost: \u00ff <>^\r\nConnection: close\r\n\r\n"],
  ["two Hosts", "GET /__origin/status/200 HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"],
  [
    "control characters in the target",
    "GET /__origin/\u0001\u007f\u00ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  ],
  [
    "two lengths",
    "POST /__origin/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
  ],
  [
    "a length and chunks",
    "POST /__origin/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
  ],
  [
    "broken chunks",
    "POST /__origin/sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
  ],
  [
    "trailers",
    "POST /__origin/sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n",
  ],
  [
    "a body that ends too early",
    "POST /__origin/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nConnection: close\r\n\r\nab",
  ],
  [
    "an expectation",
    "POST /__origin/sink HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
  ],
  ["a header without a name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\nConnection: close\r\n\r\n"],
  ["a folded header", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\nConnection: close\r\n\r\n"],
  [
    "many headers",
    `GET / HTTP/1.1\r\nHost: a\r\n${Array.from({ length: 500 }, (_, n) => `X-${n}: ${n}\r\n`).join("")}Connection: close\r\n\r\n`,
  ],
  [
    "a broken WebSocket handshake",
    "GET /ws/v1/market-data HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
  ],
])) {
  test(`raw: ${name}`, async () => {
    const { status, text } = await raw(bytes);
    // If the bytes are not HTTP, closing the connection without an answer is clean, too.
    assert.ok(status === 0 ? text === "" : status !== 500, text.slice(0, 300));
  });
}

test("no answer and no line of the log tells of what is behind the gate", async () => {
  tap.fault = "reset";
  for (let n = 0; n < 4; n++) await send(gate, book, { headers: newClient() });
  tap.fault = null;
  await until(async () => (await ask(gate, book)).headers["x-edge-limiter"] === "redis");
  origin.control.set({ fail: "reset" });
  problem(await send(gate, "/api/orders", { headers: newClient() }), 502);
  origin.control.set({});
  await raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const all = told + gate.logs().join("\n");
  for (const secret of [origin.url, rest.url, tap.url, rest.token].flatMap((text) => [
    text,
    text.replace("http://", ""),
  ])) {
    assert.ok(
      !all.includes(secret),
      all.split("\n").find((line) => line.includes(secret)),
    );
  }
  assert.ok(!/\.rs:\d+|omnitrade_edge::|at file:/.test(all), "no place in the source");
});
