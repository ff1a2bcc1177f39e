import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import { describe, test } from "node:test";
import { WebSocket } from "ws";
import { startOrigin } from "./index.js";
import { bytesOf, serveTests } from "./testkit.mjs";

const { origin, get, json, post, raw, socketUrl } = serveTests();

describe("probes", () => {
  test("echo tells everything that arrived", async () => {
    const body = "hello";
    const seen = await json("/__origin/echo?a=1&a=2&b=%20", { method: "PATCH", body, headers: { "x-one": "1" } });
    assert.equal(seen.method, "PATCH");
    assert.equal(seen.url, "/__origin/echo?a=1&a=2&b=%20");
    assert.equal(seen.path, "/__origin/echo");
    assert.deepEqual(seen.query, { a: ["1", "2"], b: " " });
    assert.equal(seen.headers["x-one"], "1");
    assert.ok(seen.rawHeaders.includes("x-one"));
    assert.deepEqual(seen.body, { size: 5, sha256: createHash("sha256").update(body).digest("hex") });
  });

  test("headers are sent as asked, repeated ones apart", async () => {
    const query = "Set-Cookie=a%3D1&Set-Cookie=b%3D2&Cache-Control=max-age%3D5&__status=203&__body=n{n}";
    const response = await raw(`/__origin/headers?${query}`);
    assert.equal(response.statusCode, 203);
    assert.deepEqual(response.headers["set-cookie"], ["a=1", "b=2"]);
    assert.equal(response.headers["cache-control"], "max-age=5");
    assert.equal(response.headers.etag, undefined);
    assert.equal(response.headers["x-powered-by"], undefined);
    assert.match(String(await bytesOf(response)), /^n\d+$/);
    for (const bad of ["a%20b=1", "a=%0A", "__status=99", "__delay=x"]) {
      assert.equal((await get(`/__origin/headers?${bad}`)).status, 400, bad);
    }
  });

  test("headers revalidates on demand", async () => {
    const path = "/__origin/headers?ETag=%22v1%22&__body=x";
    const asked = { "if-none-match": '"v1"' };
    assert.equal((await raw(path, asked)).statusCode, 200);
    assert.equal((await raw(`${path}&__revalidate=1`, asked)).statusCode, 304);
    assert.equal((await raw(`${path}&__revalidate=1`, { "if-none-match": '"v2"' })).statusCode, 200);
  });

  test("status, redirect and cookies", async () => {
    assert.equal((await get("/__origin/status/418")).status, 418);
    assert.equal((await get("/__origin/status/204")).status, 204);
    assert.equal((await get("/__origin/status/999")).status, 400);
    const moved = await get("/__origin/redirect?to=/there%3Fa=b&code=307");
    assert.equal(moved.status, 307);
    assert.equal(moved.headers.get("location"), "/there?a=b");
    assert.equal((await get("/__origin/redirect?to=%0d%0ax:y")).status, 400);
    assert.equal((await get("/__origin/cookies")).headers.getSetCookie().length, 2);
  });

  test("gzip only where it is accepted, with an ETag for each encoding", async () => {
    const zipped = await raw("/__origin/gzip", { "accept-encoding": "gzip" });
    const plain = await raw("/__origin/gzip");
    assert.equal(zipped.headers["content-encoding"], "gzip");
    assert.equal(plain.headers["content-encoding"], undefined);
    assert.equal(zipped.headers.vary, "Accept-Encoding");
    assert.notEqual(zipped.headers.etag, plain.headers.etag);
    assert.ok((await bytesOf(zipped)).length < (await bytesOf(plain)).length);
    const again = await raw("/__origin/gzip", {
      "accept-encoding": "gzip",
      "if-none-match": String(zipped.headers.etag),
    });
    assert.equal(again.statusCode, 304);
    assert.equal((await json("/__origin/gzip")).items.length, 200);
  });
});

describe("bodies", () => {
  test("a stream has the bytes it promises", async () => {
    const response = await raw("/__origin/stream?bytes=1000000&chunk=4093");
    assert.equal(response.headers["transfer-encoding"], "chunked");
    const bytes = await bytesOf(response);
    assert.equal(bytes.length, 1_000_000);
    assert.ok(bytes.every((byte, i) => byte === i % 251));
  });

  test("a stream ends when its reader leaves", async () => {
    origin().counters.reset();
    const response = await raw("/__origin/stream?bytes=1000000000");
    response.destroy();
    while (origin().counters.get().unfinished === 0) await new Promise(setImmediate);
    assert.deepEqual(origin().counters.get().statuses, {});
  });

  test("a sink digests what it swallows", async () => {
    const body = Buffer.alloc(300_000, "x");
    const seen = await json("/__origin/sink", { method: "POST", body });
    assert.equal(seen.bytes, body.length);
    assert.equal(seen.sha256, createHash("sha256").update(body).digest("hex"));
    assert.ok(seen.firstByteMs <= seen.endMs);
  });

  test("a sink sees the first byte before the last", async () => {
    origin().counters.reset();
    const upload = request(`${origin().url}/__origin/sink`, { method: "POST" });
    upload.write("first");
    while (origin().counters.of("/__origin/sink") === 0) await new Promise(setImmediate);
    await new Promise((resolve) => setTimeout(resolve, 20));
    upload.end("last");
    const [response] = await once(upload, "response");
    const { firstByteMs, endMs, pieces } = JSON.parse(String(await bytesOf(response)));
    assert.equal(pieces, 2);
    assert.ok(firstByteMs < endMs, `${firstByteMs} ${endMs}`);
  });

  test("a slow body comes in parts", async () => {
    const text = await (await get("/__origin/slow-body?parts=3&gap=5")).text();
    assert.equal(text, "part 1 of 3\npart 2 of 3\npart 3 of 3\n");
  });

  test("short, reset and hang break off", async () => {
    const short = await raw("/__origin/short");
    assert.equal(short.headers["content-length"], "1000");
    assert.equal((await get("/__origin/short", { method: "HEAD" })).status, 200);
    await assert.rejects(bytesOf(short), { code: "ECONNRESET" });
    await assert.rejects(raw("/__origin/reset"), { code: "ECONNRESET" });
    await assert.rejects(get("/__origin/hang", { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  });

  test("ranges and conditions", async () => {
    const whole = await raw("/__origin/range");
    const bytes = await bytesOf(whole);
    assert.equal(bytes.length, 10_240);
    const etag = String(whole.headers.etag);
    const modified = String(whole.headers["last-modified"]);

    const part = await raw("/__origin/range", { range: "bytes=100-199" });
    assert.equal(part.statusCode, 206);
    assert.equal(part.headers["content-range"], "bytes 100-199/10240");
    assert.deepEqual(await bytesOf(part), bytes.subarray(100, 200));
    const tail = await raw("/__origin/range", { range: "bytes=-40", "if-range": etag });
    assert.deepEqual(await bytesOf(tail), bytes.subarray(-40));

    /** @type {[Record<string, string>, number][]} */
    const cases = [
      [{ range: "bytes=0-" }, 206],
      [{ range: "bytes=20000-" }, 416],
      [{ range: "bytes=0-1", "if-range": '"other"' }, 200],
      [{ range: "lines=0-1" }, 200],
      [{ range: "nonsense" }, 200],
      [{ range: "bytes=0-1,50-51" }, 200],
      [{ "if-none-match": etag }, 304],
      [{ "if-modified-since": modified }, 304],
    ];
    for (const [headers, status] of cases) {
      const response = await raw("/__origin/range", headers);
      assert.equal(response.statusCode, status, JSON.stringify(headers));
      response.resume();
    }
  });
});

describe("switches", () => {
  const path = "/api/v1/market-data/ticker";

  test("counters tell what arrived, and leave themselves out", async () => {
    await post("/__origin/counters/reset", {});
    await (await get(`${path}?symbol=BTCUSDT`)).text();
    await (await get(path, { method: "HEAD" })).text();
    await (await get("/nowhere")).text();
    const seen = await json("/__origin/counters");
    assert.equal(seen.total, 3);
    assert.deepEqual(seen.paths, { [path]: 2, "/nowhere": 1 });
    assert.equal(seen.methods[`HEAD ${path}`], 1);
    assert.equal(origin().counters.of(path), 2);
  });

  test("a status for everything but the switchboard", async () => {
    assert.deepEqual(await (await post("/__origin/control", { fail: 503 })).json(), {
      latency: 0,
      fail: 503,
      failRate: 1,
      only: null,
    });
    const failed = await get(path);
    assert.equal(failed.status, 503);
    assert.deepEqual(await failed.json(), {
      statusCode: 503,
      message: "Service Unavailable",
      error: "Service Unavailable",
    });
    assert.equal((await get("/__origin/counters")).status, 200);
    assert.equal((await json("/__origin/control")).fail, 503);
    await post("/__origin/control", {});
    assert.equal((await get(`${path}?symbol=BTCUSDT`)).status, 200);
  });

  test("a failing share is spread evenly", async () => {
    await post("/__origin/control", { fail: 500, failRate: 0.5 });
    const statuses = [];
    for (let i = 0; i < 6; i++) statuses.push((await get(`${path}?symbol=BTCUSDT`)).status);
    assert.deepEqual(statuses, [200, 500, 200, 500, 200, 500]);
  });

  test("only one prefix", async () => {
    await post("/__origin/control", { fail: 502, only: path });
    assert.equal((await get(path)).status, 502);
    assert.equal((await get("/api/v1/market-data/symbols")).status, 200);
  });

  test("connections reset, hang, or wait", async () => {
    origin().control.set({ fail: "reset" });
    await assert.rejects(raw(path), { code: "ECONNRESET" });
    origin().control.set({ fail: "hang" });
    await assert.rejects(get(path, { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
    origin().control.set({ latency: 80 });
    const start = performance.now();
    assert.equal((await get(`${path}?symbol=BTCUSDT`)).status, 200);
    assert.ok(performance.now() - start >= 75);
  });

  test("they act on upgrades too", async () => {
    origin().control.set({ fail: 503 });
    const [error] = await once(new WebSocket(socketUrl()), "error");
    assert.match(error.message, /503/);
  });

  test("what does not fit is refused and changes nothing", async () => {
    for (const bad of [
      { fail: 200 },
      { fail: "explode" },
      { failRate: 2 },
      { latency: -1 },
      { only: "x" },
      { speed: 1 },
      { constructor: 1 },
    ]) {
      assert.equal((await post("/__origin/control", bad)).status, 400, JSON.stringify(bad));
    }
    assert.equal((await json("/__origin/control")).fail, null);
    await assert.rejects(startOrigin({ latency: -1 }));
  });

  test("close ends what hangs and what is connected", async () => {
    const other = await startOrigin({ fail: "hang" });
    const hanging = assert.rejects(fetch(other.url));
    while (other.counters.get().total === 0) await new Promise(setImmediate);
    other.control.set({});
    const client = new WebSocket(`${other.url.replace("http", "ws")}/ws/v1/market-data`);
    await once(client, "open");
    const gone = once(client, "close");
    await other.close();
    await Promise.all([hanging, gone]);
    await other.close();
  });
});
