/** What passes through the gate in both directions, and what does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { freePort } from "../support/servers.mjs";
import { ask, HOST, problem, setUp, startGateBefore, values } from "./kit.mjs";

const { gate, origin } = await setUp({
  edge: {
    origin_timeout: "30s",
    routes: [
      { path: "/__origin/hang", origin_timeout: "300ms" },
      { path: "/__origin/slow-body", origin_timeout: "1s" },
    ],
  },
});

/** A gate in front of another origin. @param {string} url */
const gateBefore = (url) => startGateBefore({ origin: { url } }, {});

/**
 * The request that the origin saw.
 * @param {Parameters<typeof ask>[2]} [options]
 * @param {string} [query]
 */
async function seen(options, query = "") {
  const reply = await ask(gate, `/__origin/echo${query}`, options);
  assert.equal(reply.status, 200, reply.text);
  return JSON.parse(reply.text);
}

test("the origin sees one hop: the address, host and scheme of the client", async () => {
  const { headers, ip, ips } = await seen({ headers: { "cf-connecting-ip": "192.0.2.44" } });
  assert.equal(headers["x-forwarded-for"], "192.0.2.44");
  assert.equal(headers["x-forwarded-host"], HOST);
  assert.equal(headers["x-forwarded-proto"], "http");
  assert.equal(headers.host, new URL(origin.url).host);
  assert.equal(ip, "192.0.2.44");
  assert.deepEqual(ips, ["192.0.2.44"]);
});

test("a client cannot speak in the gate's name", async () => {
  const spoofed = {
    forwarded: "for=10.6.6.6",
    via: "1.1 evil",
    "x-forwarded-for": "10.6.6.6, 10.6.6.7",
    "x-forwarded-host": "evil.example",
    "x-forwarded-port": "666",
    "x-forwarded-prefix": "/evil",
    "x-forwarded-proto": "gopher",
    "x-forwarded-server": "evil",
    "x-forwarded-ssl": "on",
    "x-real-ip": "10.6.6.6",
  };
  const { headers } = await seen({ headers: { ...spoofed, "cf-connecting-ip": "192.0.2.45" } });
  assert.equal(headers["x-forwarded-for"], "192.0.2.45");
  assert.equal(headers["x-forwarded-host"], HOST);
  assert.equal(headers["x-forwarded-proto"], "http");
  assert.ok(!/evil|10\.6\.6|666|gopher/.test(JSON.stringify(headers)), JSON.stringify(headers));
  assert.equal((await seen({ headers: spoofed })).headers["x-forwarded-for"], undefined, "nor without an address");
});

test("nor by any other name that states what a proxy knows, in any spelling", async () => {
  const forged = [
    "client-ip",
    "true-client-ip",
    "x-auth-request-user",
    "x-edge-limiter",
    "x-forwarded-email",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-forwarded-user",
    "x-original-method",
    "remote-user",
  ];
  const spelt = forged.flatMap((name) => [name, name.replaceAll("-", "_"), name.replaceAll("-", ".")]);
  const folded = ["X_Forwarded_For", "x_api_key", "cf_connecting_ip", "content_length"];
  const harmless = ["x-request-id", "x-real-time", "x-client-version", "user_id", "x-api-key"];
  const names = [...spelt, ...folded, ...harmless];
  const { headers } = await seen({ headers: Object.fromEntries(names.map((name) => [name, "mine"])) });
  const reached = Object.keys(headers).filter((name) => headers[name] === "mine");
  assert.deepEqual(reached.sort(), harmless.sort());
});

test("hop-by-hop headers, and those that Connection names, end at the gate", async () => {
  const { headers } = await seen({
    headers: {
      connection: "keep-alive, X-Hop, x-other-hop",
      "keep-alive": "timeout=5",
      "proxy-authorization": "Basic abc",
      "proxy-connection": "keep-alive",
      te: "trailers",
      upgrade: "h2c",
      "x-hop": "1",
      "x-other-hop": "1",
      "x-kept": "1",
    },
  });
  assert.equal(headers["x-kept"], "1");
  for (const name of [
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
    "x-hop",
    "x-other-hop",
  ]) {
    assert.equal(headers[name], undefined, name);
  }
});

test("no client makes the gate drop what the gate itself says", async () => {
  const connection = "x-forwarded-for, x-forwarded-host, x-forwarded-proto, host";
  const { headers } = await seen({ headers: { connection, "cf-connecting-ip": "192.0.2.46" } });
  assert.equal(headers["x-forwarded-for"], "192.0.2.46");
  assert.equal(headers["x-forwarded-host"], HOST);
  assert.equal(headers["x-forwarded-proto"], "http");
});

test("all else arrives as it was sent", async () => {
  const sent = {
    authorization: "Bearer abc.def",
    "x-api-key": "key-1",
    cookie: "a=1; b=2",
    "user-agent": "a client/1.0",
    accept: "application/json",
    "accept-encoding": "identity",
    "content-type": "application/json",
    "if-none-match": '"x"',
    origin: "https://app.omnitrade.example",
    range: "bytes=0-1",
  };
  const { headers, method, body } = await seen({ method: "PATCH", headers: sent, body: '{"a":1}' });
  assert.equal(method, "PATCH");
  assert.equal(body.size, 7);
  for (const [name, value] of Object.entries(sent)) assert.equal(headers[name], value, name);
});

test("path and query arrive as they were written", async () => {
  for (const query of ["?a=1&a=2&b=%20&c", "?q=a+b%2Bc&=&&x==", "?%E2%82%AC=%e2%82%ac", "?a[]=1&b={x}", "?a?b/c"]) {
    assert.equal((await seen({}, query)).url, `/__origin/echo${query}`);
  }
  const reply = await ask(gate, "/a%20b/%E2%82%AC/c%2Fd;e=1");
  assert.equal(reply.status, 404);
  assert.equal(origin.counters.of("/a%20b/%E2%82%AC/c%2Fd;e=1"), 1);
});

test("an origin with a path prefix", async () => {
  for (const prefix of ["/__origin", "/__origin/"]) {
    const reply = await ask(await gateBefore(origin.url + prefix), "/echo?a=1");
    assert.equal(JSON.parse(reply.text).url, "/__origin/echo?a=1");
  }
});

test("the origin's hop-by-hop headers end at the gate too", async () => {
  const headers = { Connection: "X-Hop", "X-Hop": "1", "Proxy-Authenticate": "Basic", "X-Kept": "1" };
  const reply = await ask(gate, `/__origin/headers?${new URLSearchParams(headers)}`);
  assert.equal(reply.headers["x-kept"], "1");
  for (const name of ["x-hop", "proxy-authenticate"]) assert.equal(reply.headers[name], undefined, name);
});

test("cookies stay apart", async () => {
  assert.deepEqual(values(await ask(gate, "/__origin/cookies"), "set-cookie"), [
    "session=abc123; Path=/; HttpOnly; SameSite=Lax",
    "theme=dark; Path=/; Expires=Wed, 01 Jan 2031 00:00:00 GMT",
  ]);
});

test("redirects are handed on, not followed", async () => {
  const echoed = origin.counters.of("/__origin/echo");
  for (const code of [301, 302, 303, 307, 308]) {
    for (const to of ["/__origin/echo", "https://elsewhere.example/a?b=c", "../x"]) {
      const reply = await ask(gate, `/__origin/redirect?code=${code}&to=${encodeURIComponent(to)}`);
      assert.equal(reply.status, code);
      assert.equal(reply.headers.location, to);
    }
  }
  const posted = await ask(gate, "/__origin/redirect?code=307", { method: "POST", body: "x" });
  assert.equal(posted.status, 307);
  assert.equal(origin.counters.of("/__origin/echo"), echoed);
});

test("every status comes as it is, with its body", async () => {
  const codes = [
    200, 201, 202, 203, 204, 205, 206, 226, 300, 304, 400, 401, 403, 404, 409, 410, 416, 418, 422, 429, 451,
  ];
  for (const code of [...codes, 500, 501, 502, 503, 504, 511, 599]) {
    const reply = await ask(gate, `/__origin/status/${code}`);
    assert.equal(reply.status, code);
    if ([204, 205, 304].includes(code)) assert.equal(reply.body.length, 0);
    else assert.deepEqual(JSON.parse(reply.text), { status: code });
    const head = await ask(gate, `/__origin/status/${code}`, { method: "HEAD" });
    assert.equal(head.status, code);
    assert.equal(head.body.length, 0);
  }
});

test("HEAD tells the length that GET would have", async () => {
  const head = await ask(gate, "/__origin/status/200", { method: "HEAD" });
  assert.equal(head.headers["content-length"], "14");
});

test("conditions and ranges are the origin's affair where nothing is cached", async () => {
  const part = await ask(gate, "/__origin/range", { headers: { range: "bytes=1-3" } });
  assert.equal(part.status, 206);
  assert.deepEqual([...part.body], [1, 2, 3]);
  const same = await ask(gate, "/__origin/range", { headers: { "if-none-match": '"range-1"' } });
  assert.equal(same.status, 304);
  assert.equal(same.headers["cache-status"], undefined);
});

test("a compressed body passes through", async () => {
  const reply = await ask(gate, "/__origin/gzip", { headers: { "accept-encoding": "gzip" } });
  assert.equal(reply.headers["content-encoding"], "gzip");
  assert.match(String(reply.headers.etag), /-gzip"$/);
  assert.equal(JSON.parse(gunzipSync(reply.body).toString()).items.length, 200);
});

test("an origin that does not answer in time: a 504 problem, no longer wait", async () => {
  const reply = await ask(gate, "/__origin/hang");
  problem(reply, 504);
  const took = reply.receivedAt - reply.sentAt;
  assert.ok(took >= 290 && took < 10_000, `after ${took} ms`);
});

test("the time is for the start of an answer: a slow body is no timeout", async () => {
  const reply = await ask(gate, "/__origin/slow-body?parts=4&gap=400");
  assert.equal(reply.status, 200);
  assert.match(reply.text, /part 4 of 4\n$/);
});

test("an origin that breaks off, or is not there: 502 as problem details", async () => {
  problem(await ask(gate, "/__origin/reset"), 502);
  const dead = `http://127.0.0.1:${await freePort()}`;
  const down = await gateBefore(dead);
  for (const method of ["GET", "POST"]) {
    const reply = await ask(down, "/api/secret-path", { method, body: method === "POST" ? "x" : undefined });
    problem(reply, 502);
    assert.ok(!reply.text.includes(new URL(dead).host));
  }
  assert.ok(!down.logs().join("\n").includes(new URL(dead).host), down.logs().join("\n"));
  assert.equal((await ask(down, "/__edge/health")).status, 200, "the gate itself is up");
});
