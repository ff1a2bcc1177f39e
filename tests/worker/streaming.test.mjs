/**
 * Bodies stream through the gate in both directions: piece by piece, complete, and without being
 * held in its memory.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { test } from "node:test";
import { peakMemory } from "../support/memory.mjs";
import { ask, listen, setUp, startGateBefore, until } from "./kit.mjs";

const MB = 1_000_000;
const LARGE = 50 * MB;

const { gate, origin } = await setUp({
  edge: {
    default_limits: ["many"],
    limits: { many: { by: "ip", window: "60s", quota: 1_000 } },
    routes: [
      { path: "/__origin/slow-body", limits: ["many"], cache: { ttl: "10m" } },
      { path: "/cached/{*rest}", cache: { ttl: "10m" } },
    ],
  },
});

/** An origin that a test controls piece by piece. */
const hand = createServer();
const handGate = await startGateBefore(
  { origin: { url: await listen(hand) } },
  { edge: { routes: [{ path: "/cached/{*rest}", cache: { ttl: "10m" } }] } },
);

/**
 * The next request that the origin receives, and the response to write.
 * @returns {Promise<[import("node:http").IncomingMessage, import("node:http").ServerResponse]>}
 */
const arrival = async () => /** @type {any} */ (await once(hand, "request"));

/** @param {string} path @param {string} [method] */
const start = (path, method = "GET") => request(handGate.url + path, { method, agent: false });

/** The byte at offset i is i modulo 251, as the sample API has it. @param {number} bytes */
function pattern(bytes) {
  const block = Buffer.from(Array.from({ length: 251 * 400 }, (_, i) => i % 251));
  return Buffer.concat(Array.from({ length: Math.ceil(bytes / block.length) }, () => block)).subarray(0, bytes);
}

/** @param {Buffer} bytes */
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

test("an upload's first piece is with the origin before the last is sent", async () => {
  const arrived = arrival();
  const upload = start("/upload", "POST");
  const answered = once(upload, "response");
  upload.write("first ");
  const [received, answer] = await arrived;
  assert.equal(received.headers["transfer-encoding"], "chunked");
  const pieces = received.iterator();
  assert.equal(String((await pieces.next()).value), "first ");
  upload.write("second ");
  assert.equal(String((await pieces.next()).value), "second ");
  upload.end("last");
  assert.equal(String((await pieces.next()).value), "last");
  assert.equal((await pieces.next()).done, true);
  answer.end("thanks");
  const [{ statusCode }] = await answered;
  assert.equal(statusCode, 200);
});

for (const path of ["/download", "/cached/download"]) {
  test(`the first piece of ${path} is with the client before the last is made`, async () => {
    const arrived = arrival();
    const download = start(path).end();
    const [, answer] = await arrived;
    answer.write("first ");
    const [response] = await once(download, "response");
    const pieces = response.iterator();
    assert.equal(String((await pieces.next()).value), "first ");
    answer.write("second ");
    assert.equal(String((await pieces.next()).value), "second ");
    answer.end("last");
    assert.equal(String((await pieces.next()).value), "last");
    assert.equal((await pieces.next()).done, true);
  });
}

test("an answer may begin before the upload has ended", async () => {
  const arrived = arrival();
  const upload = start("/both", "POST");
  upload.write("a");
  const [received, answer] = await arrived;
  answer.write("b");
  const [response] = await once(upload, "response");
  const pieces = response.iterator();
  assert.equal(String((await pieces.next()).value), "b");
  upload.end("c");
  received.resume();
  await once(received, "end");
  answer.end();
  assert.equal((await pieces.next()).done, true);
});

test("a client that hangs up lets the origin stop", async () => {
  const arrived = arrival();
  const download = start("/long").end();
  const [, answer] = await arrived;
  answer.write("some");
  const [response] = await once(download, "response");
  response.destroy();
  // workerd may notice it only when there is something to send.
  await until(() => {
    if (!answer.closed) answer.write("more");
    return answer.closed;
  });
  assert.equal(answer.writableFinished, false);
});

test("an origin that breaks off breaks off for the client too", async () => {
  const arrived = arrival();
  const download = start("/broken").end();
  const [, answer] = await arrived;
  answer.writeHead(200, { "content-length": 100 });
  answer.write("some");
  const [response] = await once(download, "response");
  answer.destroy();
  await assert.rejects(async () => {
    for await (const _ of response);
  });
});

test("fifty megabytes go up and come down unchanged", async () => {
  const body = pattern(LARGE);
  const up = JSON.parse((await ask(gate, "/__origin/sink", { method: "POST", body })).text);
  assert.equal(up.bytes, LARGE);
  assert.equal(up.sha256, sha256(body));
  for (const length of ["true", "false"]) {
    const down = await ask(gate, `/__origin/stream?bytes=${LARGE}&length=${length}`);
    assert.equal(down.body.length, LARGE);
    assert.equal(sha256(down.body), sha256(body));
    if (length === "true") assert.equal(down.headers["content-length"], String(LARGE));
  }
});

const cachingGate = await startGateBefore(
  { origin },
  { edge: { routes: [{ path: "/__origin/stream", cache: { ttl: "10m" } }] } },
);

for (const [name, gated] of /** @type {const} */ ([
  ["a body", gate],
  ["a body that could be cached", cachingGate],
])) {
  test(`the gate's memory does not grow with ${name}`, async (t) => {
    const send = (/** @type {number} */ bytes) =>
      ask(gated, "/__origin/sink", { method: "POST", body: pattern(bytes) });
    const get = (/** @type {number} */ bytes) => ask(gated, `/__origin/stream?bytes=${bytes}`);
    await send(MB);
    await get(6 * MB);
    const before = peakMemory(gated);
    if (before === 0) return t.skip("needs Linux's /proc");
    await send(2 * LARGE);
    assert.equal((await get(2 * LARGE)).body.length, 2 * LARGE);
    const grown = peakMemory(gated) - before;
    t.diagnostic(`${Math.round(grown / MB)} MB more than ${Math.round(before / MB)} MB`);
    assert.ok(grown < LARGE / 2, `grew by ${Math.round(grown / MB)} MB while ${(4 * LARGE) / MB} MB passed`);
  });
}

test("what is too large to be kept passes all the same, and is not kept", async () => {
  const bytes = 6 * MB;
  for (let n = 0; n < 2; n++) {
    const arrived = arrival();
    const asked = ask(handGate, "/cached/large");
    const [, answer] = await arrived;
    answer.end(pattern(bytes));
    assert.equal((await asked).body.length, bytes);
  }
});

test("a body that comes slowly is handed on as it comes, and kept", async () => {
  const path = "/__origin/slow-body?parts=3&gap=300";
  const download = request(gate.url + path, { agent: false }).end();
  const [response] = await once(download, "response");
  assert.equal(origin.counters.get().statuses[200] ?? 0, origin.counters.get().total - 1, "it is still being sent");
  let text = "";
  for await (const piece of response) text += piece;
  assert.equal(text, "part 1 of 3\npart 2 of 3\npart 3 of 3\n");
  await until(async () => String((await ask(gate, path)).headers["cache-status"]).includes("hit"));
});
