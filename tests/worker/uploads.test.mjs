/**
 * Requests with bodies: how long they may take, how they are framed, and what happens if either
 * side breaks off.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { after, afterEach, test } from "node:test";
import { startGate } from "../support/gate.mjs";
import { chunk, combined, connectRaw, END, RESET, request, respond, startRawOrigin } from "../support/raw.mjs";
import { problem, until } from "./kit.mjs";

const origin = await startRawOrigin();
/** How long the origin may take, in milliseconds. */
const TIMEOUT = 1_000;
const gate = await startGate({
  edge: {
    origin: origin.url,
    origin_timeout: `${TIMEOUT}ms`,
    limits: { many: { by: "ip", window: "60s", quota: 1_000 } },
    routes: [{ path: "/limited", limits: ["many"] }, { path: "/cached", cache: { ttl: "60s" } }, { path: "/{*rest}" }],
  },
});
after(async () => {
  await gate.stop();
  await origin.close();
});
afterEach(() => {
  origin.requests = [];
  origin.answerHead = () => undefined;
  origin.answer = () => respond({ body: "thanks" });
});
origin.answer = () => respond({ body: "thanks" });

/** Ten pieces, sent over one and a half times the origin's timeout. */
const PIECES = Array.from({ length: 10 }, (_, n) => `piece ${n};`);
const PAUSE = (1.5 * TIMEOUT) / PIECES.length;

/**
 * The head of an upload.
 * @param {string} framing
 * @param {string} [path]
 * @param {string[]} [fields]
 */
const head = (framing, path = "/up", fields = []) =>
  request(path, { method: "POST", fields: [...fields, framing], framing: "close" });

const LENGTH = `Content-Length: ${PIECES.join("").length}`;
const CHUNKED = "Transfer-Encoding: chunked";

/** @param {string} framing */
function* slowly(framing) {
  for (const piece of PIECES) {
    yield framing === CHUNKED ? chunk(piece) : piece;
    yield PAUSE;
  }
  if (framing === CHUNKED) yield chunk("");
}

/** @param {import("../support/raw.mjs").Pieces[]} parts */
async function send(...parts) {
  const client = await connectRaw(gate);
  (async () => {
    for (const part of parts) await client.send(part);
  })();
  return client;
}

/** The request that the origin has received. */
const received = () => until(() => origin.requests[0]);

for (const framing of [LENGTH, CHUNKED]) {
  test(`an upload that goes on is not cut, however long: ${framing}`, async () => {
    const client = await send(head(framing), slowly(framing));
    const reply = await client.reply();
    client.close();
    assert.equal(reply.status, 200, reply.text);
    const [request] = origin.requests;
    assert.equal(request.body.toString(), PIECES.join(""));
    assert.equal(`Content-Length: ${combined(request, "content-length")}` === LENGTH, framing === LENGTH);
    assert.equal(combined(request, "transfer-encoding"), framing === CHUNKED ? "chunked" : undefined);
  });
}

for (const [what, path] of [
  ["plain", "/up"],
  ["limited", "/limited"],
]) {
  test(`the time for the answer begins when the upload is through: ${what}`, async () => {
    origin.answer = () => null;
    const client = await send(head(LENGTH, path, ["CF-Connecting-IP: 192.0.2.7"]), slowly(LENGTH));
    const { connection } = await received();
    await until(() => origin.requests[0].whole);
    const through = Date.now();
    const reply = await client.reply();
    const waited = reply.receivedAt - through;
    client.close();
    problem(reply, 504);
    assert.ok(waited > TIMEOUT / 2 && waited < 10 * TIMEOUT, `${waited} ms`);
    await connection.whenClosed;
  });
}

for (const [method, body] of [
  ["GET", undefined],
  ["POST", undefined],
  ["POST", "all at once"],
]) {
  test(`an origin that does not answer a ${method} of ${body ?? "nothing"} is not waited for longer`, async () => {
    origin.answer = () => null;
    const client = await send(request("/up", { method, body }));
    const { receivedAt, sentAt, ...reply } = await client.reply();
    client.close();
    problem({ receivedAt, sentAt, ...reply }, 504);
    assert.ok(receivedAt - sentAt >= TIMEOUT - 50, `${receivedAt - sentAt} ms`);
  });
}

test("an upload that stalls holds its connection no longer than the timeout", async () => {
  const client = await send(head(LENGTH), "some");
  const { connection } = await received();
  problem(await client.reply(), 504);
  await connection.whenClosed;
  assert.equal(origin.requests[0].whole, false);
  client.close();
});

test("an answer that begins before the upload ends streams through", async () => {
  let resolve = (/** @type {string} */ _) => {};
  const more = /** @type {Promise<string>} */ (
    new Promise((keep) => {
      resolve = keep;
    })
  );
  origin.answerHead = () => ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", more];
  const client = await send(head(CHUNKED), chunk("first"));
  const answer = await client.head();
  const pieces = client.body(answer);
  assert.equal(String((await pieces.next()).value), "a");
  await client.send([chunk("second"), chunk("")]);
  await until(() => origin.requests[0].whole);
  assert.equal(origin.requests[0].body.toString(), "firstsecond");
  resolve("b");
  assert.equal(String((await pieces.next()).value), "b");
  assert.deepEqual(await pieces.next(), { done: true, value: true });
  client.close();
});

test("an origin that answers early and reads no more is heard", async () => {
  origin.answerHead = () => [...respond({ status: 413, reason: "Content Too Large", body: "no" }), END];
  const client = await send(head(LENGTH), "some");
  const reply = await client.reply();
  assert.equal(reply.status, 413);
  assert.equal(reply.text, "no");
  client.close();
});

test("an origin that breaks off during an upload is a failed one", async () => {
  origin.answerHead = () => [RESET];
  const client = await send(head(LENGTH), "some");
  problem(await client.reply(), 502);
  client.close();
});

for (const framing of [LENGTH, CHUNKED]) {
  test(`of a client that breaks off the origin gets no whole request: ${framing}`, async () => {
    const client = await send(head(framing), framing === LENGTH ? "some" : chunk("some"));
    await until(() => origin.requests[0]?.body.length);
    client.reset();
    const { connection } = origin.requests[0];
    await connection.whenClosed;
    assert.equal(origin.requests[0].whole, false);
  });
}

test("Expect: 100-continue is answered, and the body follows", async () => {
  const client = await send(head(LENGTH, "/up", ["Expect: 100-continue"]));
  assert.equal((await client.head()).status, 100);
  await client.send(PIECES.join(""));
  assert.equal((await client.reply()).status, 200);
  assert.equal(origin.requests[0].body.toString(), PIECES.join(""));
  client.close();
});

for (const [what, framing, sent, body] of [
  ["an empty body", "Content-Length: 0", "", ""],
  ["an empty body in chunks", CHUNKED, chunk(""), ""],
  ["one octet", "Content-Length: 1", "\xff", "\xff"],
]) {
  test(`${what} is forwarded as it is framed`, async () => {
    const client = await send(head(String(framing)), sent);
    assert.equal((await client.reply()).status, 200);
    const [request] = origin.requests;
    assert.equal(request.body.toString("latin1"), body);
    assert.equal(combined(request, "transfer-encoding"), framing === CHUNKED ? "chunked" : undefined);
    client.close();
  });
}

test("the body of a GET goes on", async () => {
  const client = await send(request("/up", { body: "asked" }));
  assert.equal((await client.reply()).status, 200);
  assert.equal(origin.requests[0].body.toString(), "asked");
  client.close();
});

test("a large upload in pieces of all sizes arrives octet for octet", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (/** @type {number} */ below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 8) % below;
  };
  const body = Buffer.from(Array.from({ length: 1_000_000 }, () => random(256)));
  const sha256 = (/** @type {Buffer} */ bytes) => createHash("sha256").update(bytes).digest("hex");
  const { hostname, port } = new URL(gate.url);
  const socket = connect(Number(port), hostname);
  socket.write(head(`Content-Length: ${body.length}`));
  for (let at = 0; at < body.length; ) {
    const piece = body.subarray(at, at + 1 + random(random(2) ? 2_000 : 200_000));
    at += piece.length;
    if (!socket.write(piece)) await once(socket, "drain");
  }
  await once(socket, "data");
  socket.destroy();
  assert.equal(sha256(origin.requests[0].body), sha256(body), `seed ${seed}`);
});
