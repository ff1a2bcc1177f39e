/**
 * Clients that read slowly, bodies that arrive slowly, and many of both at once: what they cost
 * others.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { peakMemory } from "../support/memory.mjs";
import { askRaw, chunk, connectRaw, END, request, respond } from "../support/raw.mjs";
import { cacheStatus, PATIENCE, problem, startGateBefore, until } from "./kit.mjs";
import { each, SETTLED, setUpRaw } from "./raw-kit.mjs";

const MB = 1 << 20;

/** How long the origin may take for a head, and for a body that is stored, in milliseconds. */
const DEADLINE = 5_000;

/** How long a request waits for another one's body, in milliseconds, and a margin. */
const LONGEST_WAIT = 3_000;
const MARGIN = 1_500;

/** How long it waits for a body that another isolate fetches. */
const ELSEWHERE = 1_500;

/** How many bodies are read at once. */
const MOST = 256;

const edge = {
  origin_timeout: `${DEADLINE}ms`,
  routes: [SETTLED, { path: "/lasting/{n}", cache: { ttl: "10m" } }],
};
const { here, there, raw, serve, settled, requestsOf } = await setUpRaw({ edge });

const head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n";

/**
 * A body that counts what of it has left for the gate.
 * @param {Buffer} body @param {string} fields
 */
function counted(body, fields) {
  const seen = { sent: 0 };
  async function* pieces() {
    yield `${head}${fields}Content-Length: ${body.length}\r\n\r\n`;
    for (let at = 0; at < body.length; at += 65_536) {
      const piece = body.subarray(at, at + 65_536);
      seen.sent += piece.length;
      yield piece;
    }
  }
  return { seen, pieces };
}

/** Text of which a compressed form is about as long. @param {number} length */
function noise(length) {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let n = 0; n < length; n++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[n] = 32 + ((state >>> 16) % 90);
  }
  return bytes;
}

describe("clients that do not read", () => {
  // More than the system's own buffers take between the gate and a client.
  const plain = noise(15 * MB);
  for (const [what, body, fields] of /** @type {const} */ ([
    ["plain", plain, ""],
    ["coded", gzipSync(plain, { level: 1 }), "Content-Encoding: gzip\r\n"],
  ])) {
    test(`sixteen that do not read ${what} bodies hold little, and get all`, async (t) => {
      const clients = 16;
      // It has a peak of its own, and stores large bodies.
      const large = await startGateBefore({ origin: raw }, { edge: { ...edge, cache: { l1_size: "64MB" } } }, t);
      const accept = { fields: ["Accept-Encoding: gzip"] };
      await askRaw(large, serve("/lasting/", counted(body, fields).pieces), accept);
      const before = peakMemory(large);
      if (before === 0) return t.skip("needs Linux's /proc");
      const idle = await each(Array.from({ length: clients }), async () => {
        const { seen, pieces } = counted(body, fields);
        const client = await connectRaw(large);
        t.after(client.close);
        client.socket.pause();
        await client.send(request(serve("/lasting/", pieces), accept));
        return { client, seen };
      });
      // Until nothing moves any more.
      const sent = () => idle.reduce((sum, { seen }) => sum + seen.sent, 0);
      for (let last = -1; last < sent(); ) {
        last = sent();
        await sleep(1_500);
      }
      const grown = peakMemory(large) - before;
      const all = clients * body.length;
      t.diagnostic(
        `${Math.round(sent() / MB)} of ${Math.round(all / MB)} MB have left, ${Math.round(grown / MB)} MB more`,
      );
      assert.ok(grown < 0.6 * all, `${grown / MB} MB more`);
      // Meanwhile others' answers are stored.
      const small = serve("/lasting/", { fields: ["Cache-Control: max-age=600"], body: "small" });
      await askRaw(large, small);
      await until(async () => cacheStatus(await askRaw(large, small)).hit);
      await each(idle, async ({ client }) => {
        client.socket.resume();
        const reply = await client.reply();
        const text = reply.headers["content-encoding"] === "gzip" ? gunzipSync(reply.body) : reply.body;
        assert.ok(reply.whole && text.equals(plain), "all of it has arrived");
      });
    });
  }
});

test("a purge whose body drips is refused after five seconds", async () => {
  const body = '{"urls":["/lasting/1"]}';
  const fields = ["Authorization: Bearer t0ken-of-the-admin", "Content-Type: application/json"];
  const client = await connectRaw(here);
  const began = Date.now();
  const lines = ["POST /__edge/purge HTTP/1.1", "Host: api.example", ...fields, `Content-Length: ${body.length}`];
  client.send([`${lines.join("\r\n")}\r\n\r\n`, ...[...body].flatMap((byte) => [1_000, byte])]);
  const reply = await client.reply();
  client.close();
  assert.equal(problem(reply, 408).code, "body_too_slow");
  const took = Date.now() - began;
  assert.ok(took >= 4_900 && took < PATIENCE, `${took} ms`);
});

describe("an origin that drips", { concurrency: 4 }, () => {
  /**
   * How the rest of an answer comes: a byte a second, for longer than any deadline.
   * @param {string} begin
   */
  const drip = (begin) =>
    async function* () {
      yield begin;
      for (let n = 0; n < 12; n++) yield* [1_000, "x"];
      yield END;
    };

  for (const [what, begin] of [
    ["with a length", `${head}Content-Length: 12\r\n\r\n`],
    ["without framing", `${head}\r\n`],
  ]) {
    test(`nobody waits long for a body that drips ${what}, and then for none`, async (t) => {
      const path = serve("/lasting/", drip(begin));
      const open = async (/** @type {{ url: string }} */ isolate) => {
        const sentAt = Date.now();
        const client = await connectRaw(isolate);
        t.after(client.close);
        await client.send(request(path));
        await client.head();
        return Date.now() - sentAt;
      };
      const leader = open(here);
      await until(() => requestsOf(path).length > 0);
      const waited = await each([here, here, here, there, there], open);
      await leader;
      for (const ms of waited) assert.ok(ms < LONGEST_WAIT + MARGIN, `${ms} ms`);
      // The other isolate has waited for the first one's body, and then for one of its own.
      await sleep(ELSEWHERE);
      for (const isolate of [here, there]) {
        const ms = await open(isolate);
        assert.ok(ms < MARGIN, `${ms} ms`);
      }
    });
  }

  test("nobody waits longer than the timeout for a head that drips", async () => {
    const path = serve("/lasting/", drip("HTTP/1.1 200 OK\r\nX-Slow: "));
    const began = Date.now();
    const asked = Array.from({ length: 11 }, () => askRaw(here, path));
    for (const reply of await Promise.all(asked)) {
      assert.equal(problem(reply, 504).code, "origin_timed_out");
      // Who has waited for three seconds asks for itself, with the whole time.
      const took = reply.receivedAt - began;
      assert.ok(took < LONGEST_WAIT + DEADLINE + MARGIN, `${took} ms`);
    }
  });
});

test("of many bodies at once so many are read, and the rest are handed on", async (t) => {
  let end = () => {};
  const over = new Promise((resolve) => {
    end = () => resolve(undefined);
  });
  /** @type {() => import("../support/raw.mjs").Pieces} */
  const held = () =>
    (async function* () {
      yield `${head}Transfer-Encoding: chunked\r\n\r\n${chunk("first ")}`;
      await over;
      yield chunk("last");
      yield chunk("");
    })();
  const clients = await each(Array.from({ length: MOST }), async () => {
    const client = await connectRaw(there);
    t.after(client.close);
    await client.send(request(serve("/lasting/", held)));
    return { client, head: await client.head() };
  });
  const path = serve("/lasting/", (call) => respond({ fields: ["Cache-Control: max-age=600"], body: `call ${call}` }));
  for (const n of [1, 2]) {
    const reply = await askRaw(there, path);
    assert.equal(reply.text, `call ${n}`);
    assert.equal(cacheStatus(reply).detail, "no-room");
  }
  end();
  for (const { client, head } of clients) {
    const parts = [];
    for await (const part of client.body(head)) parts.push(part);
    assert.equal(String(Buffer.concat(parts)), "first last");
  }
  await settled(there);
  await askRaw(there, path);
  assert.equal(cacheStatus(await askRaw(there, path)).hit, true, "there is room again");
});
