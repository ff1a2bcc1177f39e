/**
 * Bodies that do not end: they are never stored, no request waits for them, and they are closed
 * when no client reads them.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { askRaw, chunk, connectRaw, END, RESET, request } from "../support/raw.mjs";
import { cacheStatus, until } from "./kit.mjs";
import { each, SETTLED, setUpRaw } from "./raw-kit.mjs";

/** How long the gate may go on reading a body that no client reads any more, in milliseconds. */
const DEADLINE = 1_500;

const { here, there, serve, settled, requestsOf } = await setUpRaw({
  edge: {
    origin_timeout: `${DEADLINE}ms`,
    cache: { l1_size: "2MB", max_entry: "64KB", compress_from: "off" },
    routes: [
      SETTLED,
      { path: "/lasting/{n}", cache: { ttl: "10m" } },
      { path: "/shielded/{n}", cache: { ttl: "10m", stale_while_revalidate: "1m", stale_if_error: "1m" } },
    ],
  },
});

/**
 * The longest time that a client may wait for another's answer, with a margin for a slow machine.
 */
const AT_LAST = 3_000 + 2_000;
/** What counts as immediate on a slow machine; it is less than any wait. */
const AT_ONCE = 1_200;

/** @param {string[]} fields @param {number} [gap] between two pieces, in milliseconds */
function endless(fields, gap = 50) {
  return async function* (/** @type {number} */ call) {
    yield ["HTTP/1.1 200 OK", ...fields, "Transfer-Encoding: chunked", "", ""].join("\r\n");
    for (let n = 0; ; n++) {
      yield chunk(`data: ${call}.${n}\n\n`);
      yield gap;
    }
  };
}

/**
 * Sends a request, and reads the head and the first piece. The rest may come until the test is
 * over.
 * @param {import("node:test").TestContext} t @param {{ url: string }} isolate @param {string} path
 */
async function follow(t, isolate, path) {
  const sentAt = Date.now();
  const client = await connectRaw(isolate);
  t.after(client.close);
  await client.send(request(path));
  const head = await client.head();
  const waited = Date.now() - sentAt;
  const body = client.body(head);
  const first = String((await body.next()).value);
  return { ...client, head, body, first, waited };
}

/** @param {import("../support/raw.mjs").Head} head */
function status(head) {
  const value = head.fields.find(([name]) => name.toLowerCase() === "cache-status")?.[1];
  return cacheStatus(/** @type {any} */ ({ headers: { "cache-status": value } }));
}

/** Event streams: recognised by their type alone. */
const STREAMS = [
  ["Content-Type: text/event-stream"],
  ["Content-Type: text/event-stream; charset=utf-8", "Cache-Control: max-age=600"],
  ["Content-Type: Text/Event-Stream"],
  ["Content-Type: multipart/x-mixed-replace; boundary=x"],
  ["Content-Type: MULTIPART/X-MIXED-REPLACE;boundary=x", "Cache-Control: public, s-maxage=600"],
];

// These tests wait more than they compute.
describe("streams", { concurrency: 8 }, () => {
  for (const fields of STREAMS) {
    test(`nobody waits for a stream: ${fields[0].slice(14)}`, async (t) => {
      for (const folder of ["/lasting/", "/shielded/"]) {
        const path = serve(folder, endless(fields));
        const one = await follow(t, here, path);
        const others = await each([here, here, there], (isolate) => follow(t, isolate, path));
        for (const client of [one, ...others]) {
          assert.equal(status(client.head).stored, undefined);
          assert.equal(status(client.head).hit, undefined);
        }
        for (const { waited } of others) assert.ok(waited < AT_ONCE, `${waited} ms`);
        assert.equal(new Set([one, ...others].map(({ first }) => first.split(".")[0])).size, 4, "each has its own");
        for (const client of [one, ...others]) client.close();
      }
    });
  }

  test("ten who ask for a stream at once all have it soon", async (t) => {
    const path = serve("/lasting/", endless(STREAMS[0]));
    const clients = await each(Array.from({ length: 10 }), () => follow(t, here, path));
    for (const { waited, close } of clients) {
      assert.ok(waited < AT_LAST, `${waited} ms`);
      close();
    }
  });

  /**
   * Bodies that only time shows to be endless.
   * @type {[string, (call: number) => AsyncGenerator<string | Buffer | number>][]}
   */
  const UNENDING = [
    ["in chunks", endless(["Content-Type: text/plain"])],
    ["in chunks with a lifetime", endless(["Cache-Control: max-age=600"])],
    [
      "up to the end of the connection",
      async function* (call) {
        yield "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
        for (let n = 0; ; n++) yield* [`line ${call}.${n}\n`, 50];
      },
    ],
    [
      "with a length that is never reached",
      async function* (call) {
        yield "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        for (let n = 0; ; n++) yield* [`line ${call}.${n}\n`, 50];
      },
    ],
    [
      "stalled after its first piece",
      async function* (call) {
        yield `HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nline ${call}.0`;
        for (;;) yield 1_000;
      },
    ],
  ];

  for (const [what, answer] of UNENDING) {
    test(`unending, never stored, waited for once: ${what}`, async (t) => {
      const path = serve("/lasting/", answer);
      const one = await follow(t, here, path);
      assert.equal(status(one.head).stored, undefined);
      const [two, elsewhere] = await each([here, there], (isolate) => follow(t, isolate, path));
      for (const { waited, head } of [two, elsewhere]) {
        assert.ok(waited < AT_LAST, `${waited} ms`);
        assert.equal(status(head).stored, undefined);
      }
      // The first body has outlasted its deadline by now.
      await sleep(Math.max(0, one.waited + DEADLINE + 500 - two.waited));
      for (let n = 0; n < 3; n++) {
        const later = await follow(t, here, path);
        assert.ok(later.waited < AT_ONCE, `${n}: ${later.waited} ms`);
        assert.equal(status(later.head).stored, undefined);
        assert.equal(status(later.head).hit, undefined);
        later.close();
      }
      for (const client of [one, two, elsewhere]) client.close();
    });
  }

  for (const [what, answer] of /** @type {typeof UNENDING} */ ([["of events", endless(STREAMS[0])], ...UNENDING])) {
    test(`over when its clients have left: ${what}`, async (t) => {
      for (const stays of [0, DEADLINE + 700]) {
        const path = serve("/lasting/", answer);
        const clients = [await follow(t, here, path)];
        clients.push(await follow(t, there, path));
        await sleep(stays);
        // Until workerd writes, a client that left looks like one that closed its side only.
        const leave = what.startsWith("stalled") ? "reset" : "close";
        for (const client of clients) client[leave]();
        const left = Date.now();
        await until(() => requestsOf(path).every(({ connection }) => connection.closed), { within: 10_000 });
        const took = Date.now() - left;
        assert.ok(took < DEADLINE + 2_000, `after ${took} ms`);
      }
    });
  }

  for (const [what, answer] of [/** @type {const} */ (["of events", endless(STREAMS[0])]), UNENDING[0], UNENDING[2]]) {
    test(`no deadline cuts off who goes on reading: ${what}`, async (t) => {
      const { body } = await follow(t, here, serve("/lasting/", answer));
      const end = Date.now() + 2 * DEADLINE;
      let pieces = 0;
      while (Date.now() < end) {
        const { done, value } = await body.next();
        assert.ok(!done && value.length > 0, "cut off");
        pieces++;
      }
      assert.ok(pieces > 10);
    });
  }

  test("a body that ends in time is stored, however many pieces it has", async () => {
    const path = serve("/lasting/", async function* (call) {
      yield "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
      for (let n = 0; n < 10; n++) yield* [chunk(`piece ${call}.${n}\n`), 30];
      yield chunk("");
    });
    const first = await askRaw(here, path);
    await settled();
    for (const isolate of [here, there]) {
      const reply = await askRaw(isolate, path);
      assert.equal(reply.text, first.text);
      assert.equal(cacheStatus(reply).hit, true);
    }
  });
});

const head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n";

test('Cache-Status says "stored" only of what the next request gets', async () => {
  const large = "x".repeat(700_000);
  /** @type {[string, any][]} */
  const answers = [
    ["cut off before its length", [`${head}Content-Length: 100\r\n\r\nabc`, 20, END]],
    ["reset before its length", [`${head}Content-Length: 100\r\n\r\nabc`, 20, RESET]],
    ["cut off between chunks", [`${head}Transfer-Encoding: chunked\r\n\r\n`, chunk("abc"), 20, END]],
    ["cut off in a chunk", [`${head}Transfer-Encoding: chunked\r\n\r\n10\r\nabc`, 20, END]],
    ["reset between chunks", [`${head}Transfer-Encoding: chunked\r\n\r\n`, chunk("abc"), 20, RESET]],
    ["broken chunks", [`${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n`, 20, END]],
    ["reset without framing", [`${head}\r\nabc`, 20, RESET]],
    ["too large, in chunks", [`${head}Transfer-Encoding: chunked\r\n\r\n`, chunk(large), chunk("")]],
    ["too large, with its length", [`${head}Content-Length: 700000\r\n\r\n`, large]],
    ["too large, without framing", [`${head}\r\n`, large, END]],
    ["whole, in chunks", [`${head}Transfer-Encoding: chunked\r\n\r\n`, chunk("abc"), chunk("")]],
    ["whole, with its length", [`${head}Content-Length: 3\r\n\r\nabc`]],
    ["whole, without framing", [`${head}\r\nabc`, END]],
    ["empty", [`${head}Content-Length: 0\r\n\r\n`]],
    ["no content", ["HTTP/1.1 204 No Content\r\nCache-Control: max-age=600\r\n\r\n"]],
    ["no gzip", [`${head}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc`]],
    ["a cut gzip", [`${head}Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03`]],
    ["slower than its deadline", [`${head}Content-Length: 6\r\n\r\nabc`, DEADLINE + 500, "def"]],
  ];
  await each(answers, async ([what, pieces]) => {
    const path = serve("/lasting/", () => pieces);
    const first = await askRaw(here, path);
    await settled();
    const again = await askRaw(here, path);
    if (cacheStatus(first).stored) assert.equal(cacheStatus(again).hit, true, `${what}: said to be stored`);
    if (cacheStatus(again).hit) {
      assert.ok(first.whole && again.whole && again.body.equals(first.body), `${what}: another body`);
    }
    if (what.startsWith("whole") || what === "empty") assert.equal(cacheStatus(again).hit, true, `${what}: no hit`);
  });
});
