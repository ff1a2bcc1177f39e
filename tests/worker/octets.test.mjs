/**
 * Response fields with other octets than visible ASCII are kept unchanged, or the response is not
 * stored.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { askRaw, combined, linesOf, respond, utf8 } from "../support/raw.mjs";
import { cacheStatus, untilTime } from "./kit.mjs";
import { endToEnd, SETTLED, setUpRaw } from "./raw-kit.mjs";

const plain = "/plain/";
const lasting = "/lasting/";

const { here, there, serve, shared, notShared, settled, crowdApart, requestsOf } = await setUpRaw({
  edge: {
    routes: [
      SETTLED,
      { path: `${plain}{n}`, cache: {} },
      { path: `${lasting}{n}`, cache: { ttl: "10m" } },
      { path: "/again/{n}", cache: { stale_while_revalidate: "0s" } },
    ],
  },
});

const FRESH = "Cache-Control: max-age=600";

/** Every octet below 80 (hexadecimal) that workerd accepts in a field value. */
const CONTROLS = Array.from({ length: 0x1f }, (_, n) => String.fromCharCode(n + 1))
  .filter((char) => !"\n\r".includes(char))
  .concat("\x7f");

/** Values that are not UTF-8, or that are read as if they were not. */
const NOT_UTF8 = ["\xff", "caf\xe9", "\x80", "\xc0\xaf", "\xe6\x9d", "\xed\xa0\x80", "\xf5\x80\x80\x80", "李\xff"].map(
  (text) => (text.includes("李") ? `${utf8("李")}\xff` : text),
);

const UTF8 = ["李", "é", "\u0080", "\u07ff", "€", "\u{1F4A5}", "ab\u202Ecd", "\ufeffx", "x\u2028"].map(utf8);

// These tests wait more than they compute.
describe("octets", { concurrency: 6 }, () => {
  for (const [what, values] of /** @type {[string, string[]][]} */ ([
    ["control octets and DEL", CONTROLS.map((char) => `a${char}b`)],
    ["UTF-8", UTF8.map((text) => `a ${text} b`)],
  ])) {
    test(`a hit has the octets of the miss: ${what}`, async () => {
      for (const folder of [plain, lasting]) {
        const fields = values.map((value, n) => `X-Value-${n}: ${value}`);
        const path = serve(folder, { fields: [FRESH, ...fields] });
        const { first } = await shared(path, what);
        for (const [n, value] of values.entries()) assert.equal(combined(first, `x-value-${n}`), value);
      }
    });
  }

  for (const [name, value, others] of /** @type {[string, string, string[]?][]} */ ([
    ["X-Any", `${utf8("李")}\x01\x7f\t "q"`],
    ["Content-Disposition", `attachment; filename="${utf8("Übersicht.pdf")}"`],
    ["Content-Disposition", 'attachment; filename="a\x01\x7fb"'],
    ["Content-Type", `text/plain; title="${utf8("é")}"`],
    ["Location", `/${utf8("straße")}?q=\x7f`],
    ["Content-Location", `/${utf8("straße")}`],
    ["ETag", `"${utf8("é")}\x7f"`],
    ["ETag", `W/"${utf8("é")}\x01"`],
    ["Link", `</${utf8("é")}>; rel="next"`],
    ["Last-Modified", `${utf8("gestern")}\x01`],
    ["Content-Language", utf8("dé")],
    ["Server", `\x02${utf8("é")}`],
    ["Cache-Control", `max-age=600, ext="${utf8("李")}"`, []],
    ["Cache-Control", 'max-age=600, ext="\xc2\xa0"', []],
  ])) {
    test(`a hit keeps ${name}: ${encodeURI(value).slice(0, 40)}`, async () => {
      const path = serve(plain, { fields: [...(others ?? [FRESH]), `${name}: ${value}`] });
      const { first } = await shared(path, name);
      assert.equal(combined(first, name), value);
    });
  }

  test("a hit has all lines of a field, whatever octets are in one of them", async () => {
    const lines = ["X-Line: one", `X-Line: ${utf8("zwei é")}`, "X-Line: \x01three\x7f", "X-Line: four"];
    for (const folder of [plain, lasting]) {
      const path = serve(folder, { fields: [FRESH, ...lines] });
      const { again, elsewhere } = await shared(path);
      for (const reply of [again, elsewhere]) {
        assert.equal(combined(reply, "x-line"), `one, ${utf8("zwei é")}, \x01three\x7f, four`);
      }
    }
  });

  for (const name of [
    "X-Any",
    "Content-Disposition",
    "Content-Type",
    "Location",
    "Content-Location",
    "ETag",
    "Link",
    "Server",
    "Access-Control-Allow-Origin",
    "Warning",
  ]) {
    test(`relayed, never stored, where not UTF-8: ${name}`, async () => {
      for (const [folder, value] of NOT_UTF8.flatMap((value) => [plain, lasting].map((folder) => [folder, value]))) {
        const path = serve(folder, { fields: [FRESH, `${name}: ${value}`] });
        const why = `${path} ${name}: ${JSON.stringify(value)}`;
        for (const reply of Object.values(await notShared(path, why))) assert.deepEqual(linesOf(reply, name), [value]);
        assert.equal(requestsOf(path).length, 3, why);
      }
    });
  }

  test("relayed, never stored, where one line of two is not UTF-8", async () => {
    for (const lines of [
      ["X-Line: one", "X-Line: \xff"],
      ["X-Line: \xff", "X-Line: two"],
      ["X-Line: \xff", "X-Other: \xfe", `X-Third: ${utf8("é")}`],
    ]) {
      const path = serve(lasting, { fields: [FRESH, ...lines] });
      for (const reply of Object.values(await notShared(path, JSON.stringify(lines)))) {
        const sent = endToEnd({ fields: lines.map((line) => /** @type {[string, string]} */ (line.split(": "))) });
        for (const [name, value] of sent) assert.equal(combined(reply, name), value);
      }
    }
  });

  /** Values of cookies as they occur; each of them forbids storing. */
  const COOKIES = [
    `n=${utf8("李")}`,
    "n=\x01",
    "n=\x7f",
    "n=\xff",
    `${utf8("李")}=1`,
    `n=1; Path=/; Comment=${utf8("é")}`,
    "n=1\xe9",
  ];

  for (const cookie of COOKIES) {
    test(`a cookie forbids storing: ${encodeURI(cookie)}`, async () => {
      for (const [folder, lines] of [plain, lasting].flatMap((folder) => [
        [folder, [`Set-Cookie: ${cookie}`]],
        [folder, ["Set-Cookie: a=1", `Set-Cookie: ${cookie}`]],
        [folder, [`Set-Cookie: ${cookie}`, "Set-Cookie: a=1"]],
      ])) {
        const path = serve(String(folder), { fields: [FRESH, .../** @type {string[]} */ (lines)] });
        for (const reply of Object.values(await notShared(path, `${path} ${lines}`))) {
          const sent = /** @type {string[]} */ (lines).map((line) => line.replace("Set-Cookie: ", ""));
          assert.deepEqual(linesOf(reply, "set-cookie"), sent, "each caller gets its own");
        }
      }
    });
  }

  test("of ten that ask at once none gets the cookie of another", async () => {
    for (const cookie of COOKIES) {
      const path = serve(lasting, async function* (call) {
        yield 100;
        yield* respond({ fields: [`Set-Cookie: ${cookie}`], body: `call ${call}` });
      });
      await crowdApart(path, JSON.stringify(cookie));
    }
  });

  for (const [what, lines] of /** @type {[string, string[]][]} */ ([
    ["private, octets", ["Cache-Control: private, x=\xff"]],
    ["private, UTF-8", [`Cache-Control: private, x=${utf8("李")}`]],
    ["private, a control octet", ["Cache-Control: max-age=600, x=\x01, private"]],
    ["private and octets in a second line", [FRESH, "Cache-Control: private, x=\xff"]],
    ["private and UTF-8 in a second line", [FRESH, `Cache-Control: private, x=${utf8("李")}`]],
    ["private, octets in a line after it", ["Cache-Control: private", "Cache-Control: x=\xff"]],
    ["private, UTF-8 in a line after it", ["Cache-Control: private", `Cache-Control: max-age=600, ${utf8("é")}`]],
    ["no-store, DEL in a string", ['Cache-Control: max-age=600, x="\x7f", no-store']],
    ["no-store, UTF-8 in a string", [`Cache-Control: max-age=600, x="${utf8("é")}", no-store`]],
    ["no-store, octets in a string", ['Cache-Control: max-age=600, x="\xff", no-store']],
    ["no-cache and UTF-8 in a line", [FRESH, `Cache-Control: no-cache, ${utf8("é")}`]],
    ["max-age=0, UTF-8", [`Cache-Control: max-age=0, x="${utf8("é")}"`]],
    ["s-maxage=0, a control octet", [FRESH, 'Cache-Control: s-maxage=0, x="\x02"']],
    ["a targeted no-store, UTF-8", [FRESH, `CDN-Cache-Control: no-store, x="${utf8("é")}"`]],
    ["a targeted no-store, octets", [FRESH, 'CDN-Cache-Control: no-store, x="\xff"']],
    ["a targeted private, DEL", [FRESH, "CDN-Cache-Control: private, x=\x7f"]],
    [
      "a targeted no-store in a second line",
      [FRESH, "CDN-Cache-Control: max-age=9", "CDN-Cache-Control: no-store, \xff"],
    ],
    ["Vary: *, UTF-8", [FRESH, `Vary: ${utf8("é")}, *`]],
    ["Vary: *, octets", [FRESH, "Vary: *, \xff"]],
    ["Vary: * in a second line", [FRESH, "Vary: Accept-Encoding", "Vary: \x01, *"]],
    ["a Vary that holds UTF-8", [FRESH, `Vary: X-${utf8("李")}`]],
    ["a Vary that holds octets", [FRESH, "Vary: Origin, \xff"]],
    ["a Vary that holds a control octet", [FRESH, "Vary: Origin\x01"]],
    ["a Vary with UTF-8 in a second line", [FRESH, "Vary: Origin", `Vary: ${utf8("é")}`]],
  ])) {
    test(`counts whatever stands beside: ${what}`, async () => {
      for (const folder of [plain, lasting]) {
        const path = serve(folder, { fields: lines });
        const { first } = await notShared(path, `${path} ${JSON.stringify(lines)}`);
        for (const name of ["cache-control", "cdn-cache-control", "vary"]) {
          const sent = lines.filter((line) => line.toLowerCase().startsWith(`${name}:`));
          assert.equal(combined(first, name), sent.length === 0 ? undefined : sent.map(valueOfLine).join(", "));
        }
      }
    });
  }

  /** @param {string} line */
  function valueOfLine(line) {
    return line.slice(line.indexOf(": ") + 2);
  }

  test("what a Vary with odd octets beside it varies by, no other gets", async () => {
    for (const odd of [`X-Odd: ${utf8("李")}`, "X-Odd: \x01", "X-Odd: \xff"]) {
      const path = serve(lasting, { fields: ["Vary: X-User", odd] });
      const one = await askRaw(here, path, { fields: ["X-User: 1"] });
      await settled();
      for (const isolate of [here, there]) {
        const other = await askRaw(isolate, path, { fields: ["X-User: 2"] });
        assert.notEqual(other.text, one.text, JSON.stringify(odd));
      }
    }
  });

  /**
   * A stored answer that is revalidated. The first call makes the answer, which is stale after a
   * second. Later calls are answered by a 304 with these fields. What is not revalidated must not
   * be stored.
   * @param {string[]} fields
   */
  async function revalidated(fields) {
    const path = serve("/again/", (call, request) => {
      const validates = combined(request, "if-none-match") !== undefined;
      if (!validates)
        return { fields: [`Cache-Control: ${call === 1 ? "max-age=1" : "no-store"}`, 'ETag: "v"', "X-First: 1"] };
      return { status: 304, reason: "Not Modified", fields: ['ETag: "v"', ...fields], framing: "none", body: "" };
    });
    const first = await askRaw(here, path);
    await settled();
    await untilTime(first.receivedAt + 1_100);
    const renewed = await askRaw(here, path);
    assert.equal(renewed.status, 200);
    // If fields of the 304 cannot be kept, the whole response is fetched.
    assert.equal(combined(requestsOf(path)[1], "if-none-match"), '"v"', "it was validated");
    await settled();
    const later = [await askRaw(here, path), await askRaw(there, path)];
    return { path, first, renewed, later };
  }

  test("a 304 renews a field, whatever octets it holds", async () => {
    for (const value of [utf8("李é"), "a\x01\x7fb"]) {
      const { first, renewed, later } = await revalidated([FRESH, `X-New: ${value}`, "X-First: 2"]);
      for (const reply of [renewed, ...later]) {
        assert.equal(reply.text, first.text);
        assert.equal(combined(reply, "x-new"), value, combined(reply, "cache-status"));
        assert.equal(combined(reply, "x-first"), "2");
      }
      for (const reply of later) assert.equal(cacheStatus(reply).hit, true);
    }
  });

  test("a 304 that brings octets which are not UTF-8 renews nothing", async () => {
    const { path, first, renewed, later } = await revalidated([FRESH, "X-New: a\xffb"]);
    for (const reply of [renewed, ...later]) {
      assert.equal(reply.text.replace(/\d+$/, ""), first.text.replace(/\d+$/, ""));
      assert.ok(["a\xffb", undefined].includes(combined(reply, "x-new")), JSON.stringify(reply.head));
    }
    for (const reply of later) assert.equal(cacheStatus(reply).hit, undefined, "it is not what is stored");
    assert.ok(requestsOf(path).length >= 4, "the origin is asked each time");
  });

  for (const [what, fields] of /** @type {[string, string[]][]} */ ([
    ["of ASCII", [FRESH, "Set-Cookie: n=1"]],
    ["of UTF-8", [FRESH, `Set-Cookie: n=${utf8("李")}`]],
    ["with a control octet", [FRESH, "Set-Cookie: n=\x01"]],
    ["not UTF-8", [FRESH, "Set-Cookie: n=\xff"]],
  ])) {
    test(`a 304 sets a cookie for no one else: ${what}`, async () => {
      const { later } = await revalidated(fields);
      for (const reply of later) {
        // A client whose request caused the revalidation gets its own cookie.
        const mine = cacheStatus(reply).hit !== true;
        assert.ok(mine || combined(reply, "set-cookie") === undefined, reply.head);
      }
    });
  }

  for (const [what, fields] of /** @type {[string, string[]][]} */ ([
    ["private, UTF-8 beside it", [`Cache-Control: private, max-age=600, x=${utf8("李")}`]],
    ["private, octets beside it", ["Cache-Control: private, max-age=600, x=\xff"]],
    ["no-store in a second line", [FRESH, "Cache-Control: no-store, x=\x01"]],
    ["Vary: *, octets beside it", [FRESH, "Vary: *, \xff"]],
  ])) {
    test(`a 304 that forbids storing is obeyed: ${what}`, async () => {
      const { later } = await revalidated(fields);
      for (const reply of later) assert.equal(cacheStatus(reply).hit, undefined, reply.head);
    });
  }

  /**
   * Sends a POST whose answer may be stored for GETs, and sends GETs to both isolates.
   * @param {string[]} fields
   */
  async function posted(fields) {
    const path = serve(plain, (call) => ({
      fields: [FRESH, `Content-Location: ${plain}${call}`, ...fields].map((line) =>
        line.startsWith("Content-Location") ? `Content-Location: ${path}` : line,
      ),
    }));
    const post = await askRaw(here, path, { method: "POST", body: "x" });
    assert.equal(post.status, 200);
    await settled();
    return { path, post, later: [await askRaw(here, path), await askRaw(there, path)] };
  }

  test("the answer to a POST that later GETs get has the octets that it had", async () => {
    for (const value of [utf8("李é"), "a\x01\x7fb"]) {
      const { post, later } = await posted([`X-Any: ${value}`]);
      // The answer to a POST is stored only in the isolate that took it, because that has not asked
      // the store.
      assert.equal(later[0].text, post.text, combined(later[0], "cache-status"));
      assert.equal(cacheStatus(later[0]).hit, true);
      for (const reply of later) assert.equal(combined(reply, "x-any"), value);
    }
  });

  test("the answer to a POST with a cookie, or octets, is for nobody else", async () => {
    for (const field of [
      ...COOKIES.map((cookie) => `Set-Cookie: ${cookie}`),
      "X-Any: \xff",
      "Vary: \xff",
      "Vary: X \xe9",
    ]) {
      const { post, later } = await posted([field]);
      for (const reply of later) {
        assert.notEqual(reply.text, post.text, JSON.stringify(field));
        assert.equal(cacheStatus(reply).hit, undefined, JSON.stringify(field));
      }
    }
  });

  test("without a cache octets pass as they are", async () => {
    const lines = [`X-A: ${utf8("李")}`, "X-A: \xff\x01\x7f", "Set-Cookie: a=\xff", `Set-Cookie: b=${utf8("é")}`];
    const reply = await askRaw(here, serve("/uncached/", { fields: lines }));
    assert.deepEqual(linesOf(reply, "x-a"), [utf8("李"), "\xff\x01\x7f"]);
    assert.deepEqual(linesOf(reply, "set-cookie"), ["a=\xff", `b=${utf8("é")}`]);
  });
});
