/**
 * Lists that do not parse: a member that forbids storing counts, and one that is well-formed but
 * unknown does not.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { askRaw, combined } from "../support/raw.mjs";
import { cacheStatus } from "./kit.mjs";
import { SETTLED, setUpRaw } from "./raw-kit.mjs";

const plain = "/plain/";
const lasting = "/lasting/";
const overriding = "/overriding/";

const { here, there, serve, shared, notShared, settled, crowdApart } = await setUpRaw({
  edge: {
    routes: [
      SETTLED,
      { path: `${plain}{n}`, cache: {} },
      { path: `${lasting}{n}`, cache: { ttl: "10m" } },
      { path: `${overriding}{n}`, cache: { ttl: "10m", override_origin: true } },
    ],
  },
});

/** Ways to write a list with something else than commas between its members. */
const FORBIDDING = [
  "private; max-age=600",
  "private;",
  "private;max-age=0",
  ";private",
  "private foo",
  "private\tmax-age=600",
  "private max-age=600",
  "max-age=600 private",
  "max-age=600  private",
  "max-age=600\tprivate",
  "max-age=600; private",
  "max-age=600;private",
  "public private",
  "public; no-store",
  "no-store foo",
  "foo no-store",
  "no-store;",
  "no-store\tmax-age=600",
  "no-store;max-age=600, public",
  "max-age=600, no-store;",
  "max-age=600, x=1 no-store",
  "max-age=600,, , private foo",
  "\x01private",
  "private\x01",
  "\x7fno-store",
  "max-age=600\x0bprivate",
  "private/max-age=600",
  "private: max-age=600",
  "[private]",
  "private=",
  "no-store=",
  "private=x y",
  "no-store, =",
  "= private",
  'x="a" private',
  'x="a"private',
  'private"',
  'x="a, private',
  'x="a\\", private',
  "PRIVATE; Max-Age=600",
  "No-Store foo",
];

// These tests wait more than they compute.
describe("lists", { concurrency: 6 }, () => {
  for (const value of FORBIDDING) {
    test(`stored for nobody: Cache-Control: ${JSON.stringify(value)}`, async () => {
      for (const folder of [plain, lasting]) {
        const path = serve(folder, { fields: [`Cache-Control: ${value}`] });
        const { first } = await notShared(path, folder);
        assert.equal(combined(first, "cache-control"), value, "it is handed on as it came");
      }
      // The route's lifetime replaces the response's own freshness, but not what the response
      // forbids.
      await notShared(serve(overriding, { fields: [`Cache-Control: ${value}`] }), overriding);
    });
  }

  test("what a malformed targeted field forbids is forbidden", async () => {
    for (const value of FORBIDDING) {
      for (const folder of [plain, lasting]) {
        const fields = ["Cache-Control: max-age=600", `CDN-Cache-Control: ${value}`];
        await notShared(serve(folder, { fields }), `${folder} CDN-Cache-Control: ${JSON.stringify(value)}`);
      }
    }
  });

  test("a malformed line forbids whatever the other lines allow", async () => {
    for (const value of ["private; x", "no-store foo", "\x01private", "private;"]) {
      for (const lines of [
        ["Cache-Control: max-age=600, public", `Cache-Control: ${value}`],
        [`Cache-Control: ${value}`, "Cache-Control: max-age=600, public"],
      ]) {
        await notShared(serve(lasting, { fields: lines }), JSON.stringify(lines));
      }
    }
  });

  test("of ten that ask at once none gets what is private; to another", async () => {
    for (const value of ["private; max-age=0", "no-store foo", "\x01private", "max-age=60 private"]) {
      const path = serve(lasting, (call) => [
        100,
        `HTTP/1.1 200 OK\r\nCache-Control: ${value}\r\nContent-Length: 4\r\n\r\n${String(call).padStart(4)}`,
      ]);
      await crowdApart(path, JSON.stringify(value));
    }
  });

  for (const value of [
    "max-age=0; foo",
    "max-age=0;",
    "max-age=0 foo",
    "foo max-age=0",
    "s-maxage=0; max-age=600",
    "no-cache;",
    "no-cache foo",
    "no-cache; max-age=600",
    "max-age=600 no-cache",
    "\x01no-cache",
    "max-age=0\tmust-revalidate",
  ]) {
    test(`fresh for nobody: Cache-Control: ${JSON.stringify(value)}`, async () => {
      for (const folder of [plain, lasting]) {
        const path = serve(folder, { fields: [`Cache-Control: ${value}`] });
        const [one, two] = [await askRaw(here, path), await askRaw(here, path)];
        await settled();
        const replies = [one, two, await askRaw(here, path), await askRaw(there, path)];
        assert.equal(new Set(replies.map((reply) => reply.text)).size, replies.length, folder);
      }
    });
  }

  /**
   * `Vary` fields that do not parse. Each names, or may name, the header in which the requests
   * differ.
   */
  const VARY = [
    "Accept-Encoding Origin",
    "Origin;",
    "Origin; Accept-Encoding",
    ";Origin",
    "Origin\tAccept-Encoding",
    "Accept-Encoding; q=1, Origin",
    '"Origin"',
    "Accept-Encoding, Origin User-Agent",
    "Origin: x",
    "(Origin)",
    "Origin/X",
    "Origin=1",
    "\x01Origin",
    "Origin\x7f",
    "* Origin",
    "*;",
    "**,;",
    "Origin,, ;",
  ];

  for (const value of VARY) {
    test(`not parsed, so as *: Vary: ${JSON.stringify(value)}`, async () => {
      for (const folder of [plain, lasting]) {
        const fields = ["Cache-Control: max-age=600", `Vary: ${value}`];
        const { first } = await notShared(serve(folder, { fields }), folder);
        assert.equal(combined(first, "vary"), value, "it is handed on as it came");
      }
    });
  }

  test("one line of Vary that does not parse is enough", async () => {
    for (const lines of [
      ["Vary: Accept-Encoding", "Vary: Origin;"],
      ["Vary: X Y", "Vary: Accept-Encoding"],
    ]) {
      const path = serve(lasting, { fields: lines });
      await notShared(path, JSON.stringify(lines));
    }
  });

  for (const value of [
    "max-age=600, x-private",
    "max-age=600, private-ish, no-storey",
    "max-age=600, x-no-store=1",
    'max-age=600, ext="a, no-store"',
    'max-age=600, ext="private; x"',
    'max-age=600, ext="a\\", private"',
    "max-age=600, ext=no-store",
    "max-age=600, ext=private",
    "max-age=600,,, ,foo",
    ",max-age=600,",
    "max-age=600 , foo\t,\tbar",
    "MAX-AGE=600, Foo=Bar",
    "max-age=600, community=UCI",
    'max-age="600"',
    "max-age=600, stale-while-revalidate=1, immutable",
    'max-age=600, ext=""',
    "max-age=600, !#$%&'*+-.^_`|~=1",
  ]) {
    test(`well-formed: ${JSON.stringify(value)}`, async () => {
      for (const folder of [plain, lasting]) {
        await shared(serve(folder, { fields: [`Cache-Control: ${value}`] }), folder);
      }
    });
  }

  test("a Vary that parses is obeyed, however it is spelt", async () => {
    for (const value of ["Origin", " , origin,,", "ORIGIN\t,\taccept-language", "Origin, !#$%&'*+-.^_`|~"]) {
      const path = serve(lasting, { fields: [`Vary: ${value}`] });
      const { first } = await shared(path, value, { fields: ["Origin: http://a.example"] });
      const other = await askRaw(here, path, { fields: ["Origin: http://b.example"] });
      assert.notEqual(other.text, first.text, value);
    }
  });

  for (const value of [
    "no-store; x",
    "no-store;",
    "no-store foo",
    "foo no-store",
    "max-age=1\tno-store",
    "max-age=600; no-store",
    "\x01no-store",
    "no-store\x7f",
    'x="a, no-store',
  ]) {
    test(`a request forbids storing by Cache-Control: ${JSON.stringify(value)}`, async () => {
      for (const folder of [plain, lasting]) {
        const path = serve(folder, { fields: ["Cache-Control: max-age=600"] });
        const mine = await askRaw(here, path, { fields: [`Cache-Control: ${value}`] });
        assert.equal(cacheStatus(mine).stored, undefined);
        await settled();
        for (const isolate of [here, there]) {
          const other = await askRaw(isolate, path);
          assert.notEqual(other.text, mine.text, folder);
        }
      }
    });
  }

  test("a well-formed request without no-store is stored", async () => {
    for (const value of ["x-no-store", 'ext="a, no-store"', "ext=no-store", "max-stale=600"]) {
      const path = serve(lasting, { fields: [] });
      await shared(path, value, { fields: [`Cache-Control: ${value}`] });
    }
  });
});
