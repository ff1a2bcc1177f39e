/** Bodies through `createGate` in Node: decoded answers, uploads, and what breaks off. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { createGate } from "../support/package.mjs";
import { cacheStatus, request, startOrigin } from "./kit.mjs";

const CODINGS = /** @type {Record<string, (text: string) => Buffer>} */ ({
  gzip: gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
});

/** What the origin has seen of uploads, by path. @type {Map<string, any>} */
const seen = new Map();

const origin = await startOrigin(async (from, to) => {
  const { pathname, searchParams } = new URL(String(from.url), "http://origin");
  const coding = searchParams.get("coding");
  if (coding) {
    const body = CODINGS[coding](`as ${coding}`);
    const digest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
    const headers = { "content-encoding": coding, "content-length": body.length, "content-digest": digest };
    return to.writeHead(200, { ...headers, etag: '"strong"', "content-type": "text/plain" }).end(body);
  }
  if (pathname === "/early") return to.writeHead(413).end("too large");
  if (pathname === "/broken") {
    to.writeHead(200, { "content-length": 100 }).write("a part");
    return setTimeout(() => to.destroy(), 20);
  }
  if (pathname === "/redirect") return to.writeHead(302, { location: "https://elsewhere.example/" }).end();
  const told = { length: 0, headers: from.headers, whole: false };
  seen.set(pathname, told);
  try {
    for await (const piece of from) told.length += piece.length;
    told.whole = true;
  } catch {
    // It broke off.
  }
  to.writeHead(200).end(String(told.length));
});

const gate = createGate({
  origin,
  origin_timeout: "300ms",
  routes: [
    { path: "/cached", cache: { ttl: "1m" } },
    { path: "/broken", cache: { ttl: "1m" } },
  ],
});

/** @param {string} path @param {Parameters<typeof request>[1]} [init] */
const ask = async (path, init) => gate.fetch(request(path, init));

/** A body in chunks, with a pause before each. @param {number} chunks @param {number} pause */
function slowly(chunks, pause) {
  let sent = 0;
  return new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      controller.enqueue(new Uint8Array(1_000));
      sent++;
      if (sent === chunks) controller.close();
    },
  });
}

for (const coding of Object.keys(CODINGS)) {
  for (const path of ["/plain", "/cached"]) {
    test(`an answer that the platform has decoded says so: ${coding}, ${path}`, async () => {
      const headers = { "accept-encoding": `zstd, ${coding};q=0.9, *` };
      for (let n = 0; n < 2; n++) {
        const response = await ask(`${path}?coding=${coding}`, { headers });
        assert.equal(await response.text(), `as ${coding}`);
        const fields = ["content-encoding", "content-length", "content-digest"];
        assert.deepEqual(
          fields.map((name) => response.headers.get(name)),
          [null, null, null],
        );
        assert.equal(response.headers.get("etag"), 'W/"strong"');
        if (path === "/cached" && n === 1) assert.match(String(cacheStatus(response)), /^hit;/);
      }
      const head = await ask(`${path}?coding=${coding}`, { method: "HEAD", headers });
      assert.equal(head.headers.get("content-encoding"), null);
    });
  }
}

test("the origin is offered only codings that every platform undoes", async () => {
  for (const [offered, expected] of [
    ["gzip, deflate, br, zstd", "gzip, deflate, br"],
    ["zstd", "identity"],
    ["br;q=1.0, *;q=0.5", "br;q=1.0"],
  ]) {
    await (await ask("/headers", { headers: { "accept-encoding": offered } })).text();
    assert.equal(seen.get("/headers").headers["accept-encoding"], expected);
  }
});

test("a coding of the program's own answers stays", async () => {
  const body = gzipSync("of the program");
  const own = createGate(
    { origin: "https://origin.example" },
    { fetch: async () => new Response(body, { headers: { "content-encoding": "gzip" } }) },
  );
  const response = await own.fetch(request("/"));
  assert.equal(response.headers.get("content-encoding"), "gzip");
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(body));
});

test("a redirect is the client's to follow", async () => {
  const response = await ask("/redirect");
  assert.deepEqual([response.status, response.headers.get("location")], [302, "https://elsewhere.example/"]);
});

test("an upload keeps its length, and the origin's time starts after it", async () => {
  const sized = await ask("/sized", {
    method: "PUT",
    body: "x".repeat(100_000),
    headers: { "content-length": "100000" },
  });
  assert.equal(await sized.text(), "100000");
  assert.equal(seen.get("/sized").headers["content-length"], "100000");
  // It takes twice the time that the origin has for its answer.
  const slow = await ask("/slow", { method: "POST", body: slowly(6, 100), duplex: "half" });
  assert.deepEqual([slow.status, await slow.text()], [200, "6000"]);
  const { "x-forwarded-for": address, host } = seen.get("/slow").headers;
  assert.deepEqual([address, `http://${host}`], ["192.0.2.1", origin]);
});

test("an origin that answers before it has the upload is heard", async () => {
  const response = await ask("/early", { method: "POST", body: slowly(50, 5), duplex: "half" });
  assert.deepEqual([response.status, await response.text()], [413, "too large"]);
});

test("an upload that breaks off reaches the origin as one that did", async () => {
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      sent++;
      if (sent > 3) controller.error(new Error("the client is gone"));
      else controller.enqueue(new Uint8Array(1_000));
    },
  });
  const response = await ask("/cut", { method: "POST", body, duplex: "half" });
  assert.equal(response.status, 502);
  for (let n = 0; n < 200 && !seen.has("/cut"); n++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(seen.get("/cut")?.whole ?? false, false);
});

test("an answer that breaks off does so for the client, and is not kept", async () => {
  for (let n = 0; n < 2; n++) {
    const response = await ask("/broken");
    await assert.rejects(response.text(), Error);
    assert.doesNotMatch(String(cacheStatus(response)), /hit|stored/);
  }
});

test("a server of Node's own hands everything on", async (t) => {
  const { createServer } = await import("node:http");
  const { Readable } = await import("node:stream");
  const server = createServer(async (from, to) => {
    const headers = Object.entries(from.headers).map(([name, value]) => [name, String(value)]);
    const hasBody = from.method !== "GET" && from.method !== "HEAD";
    const init = { method: from.method, headers: /** @type {[string, string][]} */ (headers), duplex: "half" };
    const body = hasBody ? Readable.toWeb(from) : undefined;
    const answer = await gate.fetch(
      new Request(`http://gate.example${from.url}`, /** @type {any} */ ({ ...init, body })),
    );
    to.writeHead(answer.status, [...answer.headers].flat());
    if (answer.body) for await (const piece of answer.body) to.write(piece);
    to.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
  const coded = await fetch(`${url}/cached?coding=gzip`);
  assert.equal(await coded.text(), "as gzip");
  const posted = await fetch(`${url}/posted`, { method: "POST", body: "abc" });
  assert.deepEqual([posted.status, await posted.text()], [200, "3"]);
});
