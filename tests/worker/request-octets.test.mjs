/** Requests whose headers hold octets that are not UTF-8: no two of them are taken for the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { askRaw, linesOf, respond, utf8 } from "../support/raw.mjs";
import { cacheStatus, rateLimit } from "./kit.mjs";
import { SETTLED, setUpRaw } from "./raw-kit.mjs";

const lasting = "/lasting/";
const keyed = "/keyed/";
const declared = "/declared/";
const limited = "/limited/";
const byKey = "/by-key/";

const { here, there, serve, shared, settled, requestsOf, store } = await setUpRaw({
  edge: {
    limits: {
      few: { by: "client", window: "10m", quota: 3, keyed_quota: 100 },
      keys: { by: "api-key", window: "10m", quota: 100 },
    },
    routes: [
      SETTLED,
      { path: `${lasting}{n}`, cache: { ttl: "10m" } },
      { path: `${keyed}{n}`, cache: { ttl: "10m", vary: ["x-user"] } },
      { path: `${declared}{n}`, cache: { ttl: "10m", query: ["q"], vary: ["x-user"], forward: ["x-sent", "accept"] } },
      { path: "/usual/{n}", cache: { ttl: "10m", query: ["q"] } },
      { path: `${limited}{n}`, limits: ["few"] },
      { path: `${byKey}{n}`, limits: ["keys"] },
    ],
  },
});

/**
 * Values that JavaScript all reads as the same text: octets that are not UTF-8, and U+FFFD itself.
 */
const ALIKE = ["\xe9", "\xe8", "\xff", "\xc0", utf8("\ufffd")];

for (const [what, folder, vary] of [
  ["by Vary", lasting, ["Vary: X-User"]],
  ["by the route", keyed, []],
  ["with a query", declared, []],
  ["by both", keyed, ["Vary: X-User"]],
]) {
  test(`who differs in octets that are not UTF-8 shares nothing, ${what}`, async () => {
    const path = serve(String(folder), { fields: /** @type {string[]} */ (vary) });
    const texts = [];
    for (const value of ALIKE) {
      for (const isolate of [here, here, there]) {
        const reply = await askRaw(isolate, path, { fields: [`X-User: a${value}`] });
        assert.equal(cacheStatus(reply).hit, undefined, JSON.stringify(value));
        assert.equal(cacheStatus(reply).stored, undefined, JSON.stringify(value));
        texts.push(reply.text);
        await settled();
      }
    }
    assert.equal(new Set(texts).size, texts.length);
    assert.deepEqual(
      requestsOf(path).map((request) => linesOf(request, "x-user")),
      ALIKE.flatMap((value) => [[`a${value}`], [`a${value}`], [`a${value}`]]),
    );
  });
}

test("what is not UTF-8 is not given what was stored for others", async () => {
  for (const [folder, vary] of /** @type {[string, string[]][]} */ ([
    [lasting, ["Vary: X-User"]],
    [keyed, []],
    [declared, []],
  ])) {
    const path = serve(folder, { fields: vary });
    const stored = [];
    for (const value of [utf8("é"), "a", utf8("李")]) {
      stored.push((await shared(path, value, { fields: [`X-User: ${value}`] })).first.text);
    }
    stored.push((await shared(path, "none")).first.text);
    assert.equal(new Set(stored).size, 4, "each has its own");
    for (const value of ALIKE) {
      const reply = await askRaw(here, path, { fields: [`X-User: ${value}`] });
      assert.ok(!stored.includes(reply.text), `${folder} ${JSON.stringify(value)}`);
    }
  }
});

test("one line of two that is not UTF-8 is enough to match nothing", async () => {
  for (const folder of [lasting, keyed]) {
    const path = serve(folder, { fields: ["Vary: X-User"] });
    const texts = [];
    for (const value of ["\xe9", "\xe8", "\xe9"]) {
      texts.push((await askRaw(here, path, { fields: ["X-User: a", `X-User: ${value}`] })).text);
      await settled();
    }
    assert.equal(new Set(texts).size, 3, folder);
  }
});

test("of ten at once who differ in such octets each gets its own answer", async () => {
  for (const [folder, vary] of /** @type {[string, string[]][]} */ ([
    [lasting, ["Vary: X-User"]],
    [keyed, []],
    [declared, []],
  ])) {
    const path = serve(folder, async (_, request) => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return respond({ fields: vary, body: linesOf(request, "x-user").join() });
    });
    const values = Array.from({ length: 10 }, (_, n) => String.fromCharCode(0xe0 + n));
    const replies = await Promise.all(
      values.map((value) => askRaw(here, path, { fields: [`X-User: ${value}`], method: "GET" })),
    );
    assert.deepEqual(
      replies.map((reply) => reply.text),
      values,
      folder,
    );
  }
});

test("a header that the answer does not vary by may hold any octets", async () => {
  const path = serve(lasting, { fields: ["Vary: X-Other"] });
  const first = await askRaw(here, path, { fields: ["X-User: \xe9"] });
  await settled();
  const second = await askRaw(here, path, { fields: ["X-User: \xe8"] });
  assert.equal(second.text, first.text);
  assert.equal(cacheStatus(second).hit, true);
});

test("a key that is not UTF-8 is none: it counts as the client without one", async () => {
  const path = serve(limited, {});
  const client = "CF-Connecting-IP: 10.77.0.1";
  const before = (await store.keys()).length;
  for (const [n, key] of ["\xe9", "\xe8", "k\xff", utf8("\ufffd")].entries()) {
    const reply = await askRaw(here, path, { fields: [client, `X-Api-Key: ${key}`] });
    assert.equal(reply.status, n < 3 ? 200 : 429, `${n + 1}. key`);
    assert.equal(rateLimit(reply).few.q, 3, "the quota without a key");
  }
  assert.equal((await askRaw(here, path, { fields: [client] })).status, 429, "they have shared one bucket");
  const [key, ...others] = (await store.keys()).filter((name) => name.startsWith("ot:l:few:"));
  assert.deepEqual(others, [], "nothing is kept of the keys");
  assert.ok(key.includes("10.77.0.1"), key);
  assert.equal((await store.keys()).length, before + 1);
  // Another client has another bucket, and a key in UTF-8 is a valid key.
  const other = "CF-Connecting-IP: 10.77.0.2";
  assert.equal((await askRaw(here, path, { fields: [other, "X-Api-Key: \xe9"] })).status, 200);
  const real = await askRaw(here, path, { fields: [client, `X-Api-Key: ${utf8("ключ")}`] });
  assert.equal(real.status, 200);
  assert.equal(rateLimit(real).few.q, 100);
});

test("a limit by key does not count a key that is not UTF-8", async () => {
  const path = serve(byKey, {});
  for (const key of ["\xe9", "\xff\xfe", utf8("\ufffd")]) {
    const reply = await askRaw(here, path, { fields: [`X-Api-Key: ${key}`] });
    assert.equal(reply.status, 200);
    assert.deepEqual(rateLimit(reply), {});
  }
  assert.deepEqual(rateLimit(await askRaw(here, path, { fields: ["X-Api-Key: k"] })).keys.q, 100);
});

const ODD = ["X-Sent", "Accept", "X-User"];

for (const [what, folder, names] of /** @type {[string, string, string[]][]} */ ([
  ["without a cache", "/uncached/", [...ODD, "Cookie", "Authorization", "X-Api-Key", "Referer"]],
  ["on a cached route", lasting, [...ODD, "Cookie", "Authorization", "X-Api-Key", "Referer"]],
  ["on a route with vary", keyed, [...ODD, "Cookie"]],
  ["on a route with query and forward", declared, ODD],
  ["on a route with query", "/usual/", ["Accept", "Accept-Language", "Authorization", "X-Request-Id", "Traceparent"]],
])) {
  test(`octets reach the origin as they are ${what}`, async () => {
    const values = ["\xe9", "a\xffb\xfe", utf8("李"), "\x01\x7f", `${utf8("é")}\xe9`, utf8("\ufffd")];
    for (const method of ["GET", "POST", "HEAD"]) {
      for (const value of values) {
        const path = serve(folder, {});
        const fields = names.map((name) => `${name}: ${value}`);
        await askRaw(here, `${path}?q=1`, { method, fields, ...(method === "POST" && { body: "x" }) });
        const [request] = requestsOf(path);
        for (const name of names) {
          assert.deepEqual(linesOf(request, name), [value], `${method} ${name}: ${JSON.stringify(value)}`);
        }
      }
    }
  });
}

test("octets reach the origin beside what the cache sets of its own", async () => {
  // One request gets a condition of the cache's own, the other bypasses the cache.
  const path = serve(declared, (_, request) =>
    linesOf(request, "if-none-match").length > 0
      ? { status: 304, reason: "Not Modified", framing: "none", body: "" }
      : { fields: ["Cache-Control: no-cache", 'ETag: "v"'] },
  );
  await askRaw(here, path);
  await settled();
  for (const fields of [["X-Sent: \xe9"], ["X-Sent: \xe9", "Cache-Control: no-store"]]) {
    await askRaw(here, path, { fields });
    assert.deepEqual(linesOf(requestsOf(path).at(-1) ?? assert.fail(), "x-sent"), ["\xe9"]);
  }
  assert.deepEqual(linesOf(requestsOf(path)[1], "if-none-match"), ['"v"'], "it was validated");
});

test("lines of a header stay what they are, in their order", async () => {
  for (const folder of ["/uncached/", lasting, declared]) {
    const path = serve(folder, {});
    await askRaw(here, path, { fields: ["X-Sent: a", "X-Sent: \xe9", "X-Sent: c"] });
    assert.equal(linesOf(requestsOf(path)[0], "x-sent").join(", "), "a, \xe9, c", folder);
  }
});
