/** An exchange with the store over `fetch`: `src/shell/fetch.js`. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { exchange } from "../../src/shell/fetch.js";

const [BROKEN, LATE, TOO_LARGE] = [0, 1, 2];
const LONG = 20_000;

/** @type {import("node:net").Server[]} */
const servers = [];
after(() => {
  for (const server of servers) server.close();
});

/**
 * A server that waits for a request, answers it with `reply` and, if told so, hangs up.
 * @param {string | Buffer} reply
 * @param {boolean} [hangsUp]
 */
async function serve(reply, hangsUp = false) {
  /** @type {{ request: string, closed: Promise<void> }} */
  const seen = { request: "", closed: Promise.resolve() };
  const server = createServer((socket) => {
    seen.closed = new Promise((resolve) => {
      socket.on("close", () => resolve());
    });
    socket.on("error", () => {});
    socket.on("data", (data) => {
      if (seen.request === "") {
        socket.write(reply);
        if (hangsUp) socket.end();
      }
      seen.request += data.toString("latin1");
    });
  });
  servers.push(server);
  await new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(undefined));
  });
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}/`, seen };
}

/**
 * @param {string} url
 * @param {{ ms?: number, most?: number, headers?: string[], body?: string | Uint8Array }} [options]
 */
async function send(url, { ms = LONG, most = 4, headers = [], body = "[]" } = {}) {
  /** @type {[number, string | null | undefined, string | undefined][]} */
  const told = [];
  await exchange(["POST", url, "a", ...headers].join("\n"), body, ms, most, (status, field, bytes) =>
    told.push([status, field, bytes && Buffer.from(bytes).toString("latin1")]),
  );
  assert.equal(told.length, 1, "it tells once what happened");
  return told[0];
}

test("a reply comes with its status, its body and the one header", async () => {
  const { url, seen } = await serve("HTTP/1.1 400 No\r\nA: b\r\nContent-Length: 4\r\n\r\nbody", true);
  assert.deepEqual(await send(url), [400, "b", "body"]);
  assert.match(seen.request, /^POST \/ HTTP\/1\.1\r\n/);
});

test("octets of headers and of both bodies arrive as they are", async () => {
  const reply = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nb\xffdy", "latin1");
  const { url, seen } = await serve(reply, true);
  const sent = await send(url, { headers: ["authorization", "Bearer t", "x", "\xe9"], body: Uint8Array.of(0xfe, 65) });
  assert.deepEqual(sent, [200, null, "b\xffdy"]);
  assert.match(seen.request, /\r\nauthorization: Bearer t\r\nx: \xe9\r\n/i);
  assert.ok(seen.request.endsWith("\xfeA"));
});

test("a reply that is too long is refused, announced or not", async () => {
  const announced = await serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody!");
  assert.equal((await send(announced.url))[0], TOO_LARGE);
  // The end of the body never comes, so it must be refused before, and the connection be ended.
  const chunked = await serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n1\r\n!\r\n");
  assert.equal((await send(chunked.url))[0], TOO_LARGE);
  await chunked.seen.closed;
  const fits = await serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n");
  assert.deepEqual(await send(fits.url), [200, null, "body"]);
});

test("the length of a coded reply is that of what is decoded", async () => {
  const coded = gzipSync(Buffer.alloc(1000, "a"));
  const head = `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${coded.length}\r\n\r\n`;
  const reply = Buffer.concat([Buffer.from(head), coded]);
  assert.equal((await send((await serve(reply)).url, { most: 999 }))[0], TOO_LARGE);
  assert.equal((await send((await serve(reply)).url, { most: 1000 }))[2], "a".repeat(1000));
});

test("a redirect is not followed", async () => {
  const { url } = await serve("HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
  assert.deepEqual(await send(url), [307, null, ""]);
});

test("silence is a timeout, in the head and in the body", async () => {
  for (const reply of ["", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo", "HTTP/1.1 200 OK\r\n\r\nbo"]) {
    const { url, seen } = await serve(reply);
    assert.equal((await send(url, { ms: 50 }))[0], LATE, reply);
    await seen.closed;
  }
});

test("a cut reply is broken, and so is an address where nobody listens", async () => {
  const { url } = await serve("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo", true);
  assert.equal((await send(url))[0], BROKEN);
  assert.equal((await send("http://127.0.0.1:1/"))[0], BROKEN);
});
