/**
 * Answers of the origin that the runtime cannot build or would change, and what the client gets of
 * them.
 */
import assert from "node:assert/strict";
import { after, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startGate } from "../support/gate.mjs";
import { askRaw, chunk, connectRaw, END, linesOf, RESET, request, respond, startRawOrigin } from "../support/raw.mjs";
import { cacheStatus, problem, rateLimit, until } from "./kit.mjs";

const origin = await startRawOrigin();
const gate = await startGate({
  edge: {
    origin: origin.url,
    origin_timeout: "2s",
    limits: { few: { by: "ip", window: "60s", quota: 100 } },
    routes: [
      { path: "/cached/{*rest}", cache: { ttl: "60s" } },
      {
        path: "/declared/{*rest}",
        cache: { ttl: "60s", query: ["q"], forward: ["x-user", "accept-language", "authorization"] },
      },
      { path: "/stale", cache: { ttl: "100ms", stale_if_error: "60s" } },
      { path: "/limited", limits: ["few"], refund_on: [502] },
      { path: "/{*rest}" },
    ],
  },
});
after(async () => {
  await gate.stop();
  await origin.close();
});
beforeEach(() => {
  origin.requests = [];
  origin.queue = [];
});

/**
 * A response after which the origin closes the connection.
 * @param {Parameters<typeof respond>[0]} message
 */
const last = (message) => /** @type {import("../support/raw.mjs").Piece[]} */ ([...respond(message), END]);

let paths = 0;
/** A path that was not requested before. */
const fresh = (/** @type {string} */ folder) => `${folder}/${paths++}`;

for (const [what, method, folder] of [
  ["a POST that was carried out", "POST", "/plain"],
  ["a GET", "GET", "/plain"],
  ["a response that is stored", "GET", "/cached"],
  ["a HEAD", "HEAD", "/plain"],
]) {
  test(`a tab in the reason phrase changes nothing else of ${what}`, async () => {
    const fields = ["X-Own: \xe9", "Set-Cookie: a=1", "Set-Cookie: b=\xe8"];
    const own = folder === "/cached" ? fields.slice(0, 1) : fields;
    origin.queue = [respond({ status: 201, reason: "Created\tat last", fields: own, body: "done" })];
    const body = method === "POST" ? "please" : undefined;
    const reply = await askRaw(gate, fresh(folder), { method, body });
    assert.equal(reply.status, 201);
    assert.equal(reply.text, method === "HEAD" ? "" : "done");
    assert.deepEqual(linesOf(reply, "x-own"), ["\xe9"]);
    assert.deepEqual(linesOf(reply, "set-cookie"), own.length > 1 ? ["a=1", "b=\xe8"] : []);
    assert.equal(origin.requests.length, 1);
  });
}

for (const reason of ["", "O\tK", "\t", "\xe9\t", "All  good"]) {
  test(`a reason phrase of ${JSON.stringify(reason)} is no failure`, async () => {
    origin.queue = [respond({ status: 404, reason, body: "none" })];
    const reply = await askRaw(gate, fresh("/plain"));
    assert.deepEqual([reply.status, reply.text], [404, "none"]);
  });
}

for (const status of [204, 205, 304]) {
  test(`a ${status} goes on without a body, also where its phrase does not`, async () => {
    for (const reason of ["None", "No\tne"]) {
      origin.queue = [last({ status, reason, fields: ["X-Own: 1"] })];
      const reply = await askRaw(gate, fresh("/plain"));
      assert.deepEqual([reply.status, reply.text, reply.whole], [status, "", true]);
      assert.deepEqual(linesOf(reply, "x-own"), ["1"]);
    }
  });
}

test("a 205 with a body goes on without it", async () => {
  origin.queue = [last({ status: 205, reason: "Reset", body: "too much" })];
  const reply = await askRaw(gate, fresh("/plain"));
  assert.deepEqual([reply.status, reply.text, reply.whole], [205, "", true]);
});

for (const status of ["600", "799", "999", "099", "000", "199"]) {
  test(`a status of ${status} counts as a failure of the origin`, async () => {
    const fields = ["CF-Connecting-IP: 198.51.100.7"];
    const odd = () => last({ status, reason: "Odd", body: "what" });
    origin.queue = [odd()];
    const limited = await askRaw(gate, "/limited", { fields });
    problem(limited, 502);
    // Without a store each isolate gives out half of the quota.
    assert.equal(rateLimit(limited).few.r, 50, "it is given back");
    origin.queue = [odd()];
    problem(await askRaw(gate, fresh("/cached")), 502);
  });

  test(`in place of an answer of status ${status} a stale one is served`, async () => {
    origin.queue = [respond({ body: "good" })];
    await until(async () => (await askRaw(gate, "/stale")).text === "good");
    await sleep(150);
    origin.queue = [last({ status, reason: "Odd", body: "what" })];
    const reply = await askRaw(gate, "/stale");
    assert.deepEqual([reply.status, reply.text], [200, "good"]);
    origin.queue = [];
  });
}

test("a protocol to which the origin switches unasked is a failure", async () => {
  origin.queue = [["HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", END]];
  problem(await askRaw(gate, fresh("/plain")), 502);
});

test("what the origin says in its head reaches the client octet for octet", async () => {
  const fields = [
    "X-Latin: caf\xe9",
    "X-Utf: \xe6\x9d\x8e",
    "X-Mixed: \xe6\x9d\x8e\xe9",
    "X-Control: a\x01\x7fb",
    "X-Two: \xe9",
    "X-Two: \xe8",
    "Cache-Status: Up; key=\xe9",
    "Cache-Status: Down; hit",
  ];
  for (const folder of ["/plain", "/cached", "/declared"]) {
    origin.queue = [respond({ fields: [...fields, "Cache-Control: no-store"], body: "x" })];
    const reply = await askRaw(gate, fresh(folder));
    for (const name of new Set(fields.map((line) => line.split(":")[0]))) {
      const sent = fields.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 2));
      const got = linesOf(reply, name);
      assert.deepEqual(got.slice(0, sent.length), sent, `${folder}: ${name}`);
      assert.equal(got.length, sent.length + (name === "Cache-Status" && folder !== "/plain" ? 1 : 0));
    }
  }
});

test("what the client says in its head reaches the origin octet for octet", async () => {
  const fields = ["X-User: \xe9", "X-User: \xe6\x9d\x8e\xff", "Accept-Language: \xe8", "Authorization: Basic \xe7"];
  for (const folder of ["/plain", "/cached", "/declared"]) {
    await askRaw(gate, fresh(folder), { fields: [...fields, "X-Other: 1"] });
    const seen = origin.requests.at(-1);
    for (const name of ["X-User", "Accept-Language", "Authorization"]) {
      const sent = fields.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 2));
      assert.deepEqual(linesOf(/** @type {any} */ (seen), name), sent, `${folder}: ${name}`);
    }
    const other = linesOf(/** @type {any} */ (seen), "x-other");
    assert.deepEqual(other, folder === "/declared" ? [] : ["1"], folder);
  }
});

for (const framing of /** @type {const} */ (["length", "chunked", "close"])) {
  test(`a response that came with its body is said to be stored, and is: ${framing}`, async () => {
    const path = fresh("/cached");
    origin.queue = [respond({ body: "all of it", framing })];
    const reply = await askRaw(gate, path);
    assert.equal(cacheStatus(reply).stored, true);
    const hit = await askRaw(gate, path);
    assert.equal(cacheStatus(hit).hit, true);
    assert.equal(hit.text, "all of it");
  });
}

for (const [what, parts, whole] of /** @type {const} */ ([
  ["comes late", ["half", "half"], true],
  ["breaks off", ["half", END], false],
])) {
  test(`a response whose body ${what} is not said to be stored`, async () => {
    const path = fresh("/cached");
    const head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n";
    origin.queue = [[head + parts[0], 400, parts[1]]];
    const client = await connectRaw(gate);
    client.send(request(path));
    const started = Date.now();
    const answer = await client.head();
    assert.ok(Date.now() - started < 390, "the head does not wait for it");
    assert.ok(!linesOf(answer, "cache-status").join().includes("stored"));
    const body = client.body(answer);
    let piece = await body.next();
    while (!piece.done) piece = await body.next();
    assert.equal(piece.value, whole);
    client.close();
    if (whole) await until(async () => cacheStatus(await askRaw(gate, path)).hit);
    else assert.equal(cacheStatus(await askRaw(gate, path)).hit, undefined);
  });
}

for (const [framing, end] of /** @type {const} */ ([
  ["Content-Length: 9", END],
  ["Content-Length: 9", RESET],
  ["Transfer-Encoding: chunked", END],
  ["Transfer-Encoding: chunked", RESET],
])) {
  for (const part of ["", "part"]) {
    test(`what breaks off at once does so for the client: ${framing}, "${part}", ${String(end)}`, async () => {
      const sent = part && framing.startsWith("T") ? chunk(part) : part;
      origin.queue = [[`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`, sent, 10, end]];
      const reply = await askRaw(gate, fresh("/cached"));
      assert.deepEqual([reply.status, reply.text, reply.whole], [200, part, false]);
      assert.equal(cacheStatus(reply).stored, undefined);
    });
  }
}

test("a late body is given up, and its connection ends with its clients", async () => {
  const path = fresh("/cached");
  const forever = async function* () {
    yield "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (;;) {
      yield chunk("tick");
      yield 50;
    }
  };
  origin.queue = [forever()];
  const client = await connectRaw(gate);
  client.send(request(path));
  await client.head();
  const [{ connection }] = origin.requests;
  client.close();
  // The gate reads on for followers: for two seconds, which is the origin's timeout.
  await connection.whenClosed;
  const reply = await askRaw(gate, path);
  assert.equal(cacheStatus(reply).hit, undefined);
});

test("a late body reaches its client whole, and is not stored", async () => {
  const path = fresh("/cached");
  const parts = Array.from({ length: 6 }, (_, n) => `part ${n};`);
  const slowly = function* () {
    yield "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (const part of parts) {
      yield chunk(part);
      yield 500;
    }
    yield chunk("");
  };
  origin.queue = [slowly()];
  const reply = await askRaw(gate, path);
  assert.deepEqual([reply.text, reply.whole], [parts.join(""), true]);
  assert.equal(cacheStatus(reply).stored, undefined);
  assert.equal(cacheStatus(await askRaw(gate, path)).hit, undefined);
  assert.equal(origin.requests.length, 2);
});

for (const type of ["text/event-stream", "Text/Event-Stream;charset=utf-8", "multipart/x-mixed-replace; boundary=x"]) {
  test(`a response of ${type} is not stored, and nobody waits for it`, async () => {
    const path = fresh("/cached");
    const head = `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`;
    origin.answer = async function* () {
      yield head;
      for (;;) {
        yield chunk("one");
        // workerd notices that a client has left only when there is something to send.
        yield 100;
      }
    };
    const clients = [];
    const started = Date.now();
    for (let n = 0; n < 3; n++) {
      const client = await connectRaw(gate);
      client.send(request(path));
      const answer = await client.head();
      assert.match(linesOf(answer, "cache-status").join(), /; detail=stream$/);
      assert.match(String((await client.body(answer).next()).value), /^(one)+$/);
      clients.push(client);
    }
    assert.ok(Date.now() - started < 2_900, `${Date.now() - started} ms`);
    assert.equal(origin.requests.length, 3);
    const connections = origin.requests.map(({ connection }) => connection);
    for (const client of clients) client.close();
    await Promise.all(connections.map(({ whenClosed }) => whenClosed));
    origin.answer = () => respond();
  });
}
