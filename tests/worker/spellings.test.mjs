/** URLs in other spellings: entries are purged, invalidated and limited in all of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { askRaw, respond, utf8 } from "../support/raw.mjs";
import { cacheStatus, HOST, problem, rateLimit } from "./kit.mjs";
import { each, pathOf, SETTLED, setUpRaw, urlOf } from "./raw-kit.mjs";

const { raw, here, there, serve, settled, purge, requestsOf } = await setUpRaw({
  edge: {
    limits: {
      orders: { by: "ip", window: "10m", quota: 1_000 },
      rest: { by: "ip", window: "10m", quota: 1_000 },
    },
    routes: [
      SETTLED,
      { path: "/made/{*rest}", cache: { ttl: "10m" } },
      { path: "/declared/{*rest}", cache: { ttl: "10m", query: ["q"] } },
      { path: "/v1/orders", limits: ["orders"], cache: { ttl: "10m" } },
      { path: "/v1/orders/{id}", limits: ["orders"] },
      { path: "/v1/{*rest}", limits: ["rest"] },
    ],
  },
});

let places = 0;
let posts = 0;

/** A new path prefix at the origin. @param {string} folder */
function place(folder) {
  places++;
  return `${folder}p${places}/`;
}

/**
 * The URLs that the answers to changes name, by the path of the request.
 * @type {Map<string, string>}
 */
const changes = new Map();
let calls = 0;
const others = raw.answer;

/** Every request below such a prefix is answered with the number of the call. */
raw.answer = (request) => {
  if (request.method === "POST") {
    return `HTTP/1.1 201 Created\r\n${changes.get(request.target)}\r\nContent-Length: 0\r\n\r\n`;
  }
  if (!/^\/(made|declared)\/p/.test(request.target)) return others(request);
  calls++;
  return respond({ fields: ["Cache-Control: max-age=600"], body: `call ${calls}` });
};

/**
 * @typedef {object} Case
 * @property {string} asked what is asked for and stored; a text, that is sent in UTF-8
 * @property {string} named what is purged, or what a change names
 */

/**
 * Requests and stores all cases, voids them, and checks that they are void in the store and in the
 * isolate that was told, which must know it at once. Cases that workerd does not accept as a URL
 * are left out.
 * @param {Case[]} cases
 * @param {(cases: Case[]) => Promise<unknown>} voiding
 */
async function allVoid(cases, voiding) {
  /** @param {{ url: string }} isolate @param {Case} one */
  const get = (isolate, { asked }) => askRaw(isolate, utf8(asked));
  const firsts = await each(cases, (one) => get(here, one));
  const taken = cases.flatMap((one, n) => (firsts[n].status === 400 ? [] : [{ one, first: firsts[n] }]));
  assert.ok(taken.length > 0 && taken.every(({ first }) => first.status === 200));
  await settled();
  const hits = await each(taken, ({ one }) => get(here, one));
  for (const [n, hit] of hits.entries()) {
    assert.equal(hit.text, taken[n].first.text, `${taken[n].one.asked} was not stored`);
  }
  await voiding(taken.map(({ one }) => one));
  const laters = await each(taken, ({ one }) => get(here, one));
  const alive = taken.filter(({ first }, n) => laters[n].text === first.text);
  const shown = alive.map(({ one }) => `asked for ${one.asked}, named ${one.named}`);
  assert.equal(
    shown.length,
    0,
    `${shown.length} of ${taken.length} are still there:\n${shown.slice(0, 30).join("\n")}`,
  );
}

/** Purges by URL. @param {Case[]} cases */
async function purgeAll(cases) {
  for (let from = 0; from < cases.length; from += 100) {
    const reply = await purge(cases.slice(from, from + 100).map(({ named }) => named));
    assert.equal(reply.status, 200, reply.text);
  }
}

/** Sends changes whose answers name the URLs. @param {string} field */
function changeAll(field) {
  return async (/** @type {Case[]} */ cases) => {
    await each(cases, async ({ asked, named }) => {
      posts++;
      const path = `${pathOf(asked).match(/^\/made\/[^/]+\//)?.[0]}posted${posts}`;
      changes.set(path, `${field}: ${utf8(named)}`);
      const reply = await askRaw(here, path, { method: "POST", body: "x" });
      assert.equal(reply.status, 201);
    });
    await settled();
  };
}

/** A text with all its escapes in lower case. @param {string} text */
const lowered = (text) => text.replace(/%[0-9A-F]{2}/g, (octet) => octet.toLowerCase());

/** A target as the URL Standard writes it. @param {string} target */
const standard = (target) => new URL(urlOf(target)).href.replace(urlOf(""), "");

/** @param {string} char */
const escaped = (char) =>
  [...Buffer.from(char)].map((octet) => `%${octet.toString(16).toUpperCase().padStart(2, "0")}`).join("");

/** Characters that curl or browsers send as they are, or that neither does. */
const CHARACTERS = ["'", '"', "{", "}", "|", "^", "`", "<", ">", "\\", "[", "]", "é", "李", "\u{1F4A5}", "a", "~", "-"];
const OTHERS = [" ", "%", "/", "?", "#", "&", "+", ";", "\x7f", "\x01"];

for (const [what, folder, target] of /** @type {[string, string, (below: string, char: string) => string][]} */ ([
  ["in a path", "/made/", (below, char) => `${below}x${char}y`],
  ["in a query", "/made/", (below, char) => `${below}x?q=x${char}y`],
  ["in a parameter's name", "/made/", (below, char) => `${below}x?x${char}y=1&q=1`],
  ["in a declared query", "/declared/", (below, char) => `${below}x?q=x${char}y`],
  ["in the path before a declared query", "/declared/", (below, char) => `${below}x${char}y?q=1`],
])) {
  test(`a purge voids a URL however it is spelt, ${what}`, async () => {
    /** Ways to spell a target. @type {((asked: string) => string)[]} */
    const ways = [
      (asked) => asked,
      (asked) => lowered(urlOf(asked).replace("http://", "HTTP://").replace(HOST, `${HOST.toUpperCase()}:80`)),
      standard,
      // An unreserved character may be written with an escape.
      (asked) => asked.replace(/x/g, "%78"),
    ];
    const cases = [...CHARACTERS, ...OTHERS].flatMap((char) => {
      // A raw `#` ends the URL, a raw `?` ends the path, and so on, so these are requested with
      // escapes only.
      const raws = CHARACTERS.includes(char) ? [char] : [];
      const spellings = [...new Set([...raws, escaped(char), lowered(escaped(char))])];
      return spellings.flatMap((spelt) =>
        ways.map((way) => {
          const asked = target(place(folder), spelt);
          return { asked, named: way(asked) };
        }),
      );
    });
    await allVoid(cases, purgeAll);
  });
}

test("a purge voids what the URL Standard makes of what it names", async () => {
  // workerd refuses some of these octets in a request, but not in the body of a purge.
  const cases = [...CHARACTERS, " ", "\x7f"].flatMap((char) =>
    [(/** @type {string} */ text) => `a${text}b`, (/** @type {string} */ text) => `?q=a${text}b`].map((write) => {
      const named = place("/made/") + write(char);
      return { asked: standard(named), named };
    }),
  );
  await allVoid(cases, purgeAll);
});

test("a purge voids what dots and back slashes lead to", async () => {
  const cases = ["./x", "a/../x", "%2e/x", "a/%2E%2e/x", "a\\..\\x", "x#top", "./a/.././x"].map((named) => {
    const below = place("/made/");
    return { asked: `${below}x`, named: below + named };
  });
  await allVoid(cases, purgeAll);
  // The same with targets that are requested in such a spelling.
  const turned = ["./x", "a/../x", "%2e/x", "a\\..\\x", "a/%2E%2e/x"].flatMap((asked) =>
    ["x", asked].map((named) => {
      const below = place("/made/");
      return { asked: below + asked, named: below + named };
    }),
  );
  await allVoid(turned, purgeAll);
});

test("a purge leaves what is another URL", async () => {
  for (const folder of ["/made/", "/declared/"]) {
    const below = place(folder);
    const asked = `${below}a%2Fb?q=1`;
    const stored = await askRaw(here, asked);
    await settled();
    for (const named of [`${below}a/b?q=1`, `${below}a%252Fb?q=1`, `${below}A%2Fb?q=1`, `${below}a%2Fb?q=2`]) {
      assert.equal((await purge([named])).status, 200);
    }
    for (const isolate of [here, there]) {
      const reply = await askRaw(isolate, asked);
      assert.equal(reply.text, stored.text);
      assert.equal(cacheStatus(reply).hit, true);
    }
  }
});

test("a purge voids a query with a broken escape", async () => {
  const queries = ["q=%", "q=%7b%zz", "q=%41%g", "q={%", "q='%", "q=%c3%a9%", "q=%e9%", "q=é%", "q=%7e%&x=%7e"];
  const cases = queries.flatMap((query) =>
    ["/made/", "/declared/"].flatMap((folder) =>
      [(/** @type {string} */ asked) => asked, standard].map((way) => {
        const asked = `${place(folder)}x?${query}`;
        return { asked, named: way(asked) };
      }),
    ),
  );
  await allVoid(cases, purgeAll);
});

for (const name of ["Location", "Content-Location"]) {
  test(`a change's ${name} voids what it names, in another spelling too`, async () => {
    const pairs = [
      ["x%7By", "x{y"],
      ["x{y", "x%7by"],
      ["x%22y", 'x"y'],
      ["x%7Cy", "x%7cy"],
      ["x|y", "x|y"],
      ["x'y", "x'y"],
      ["x^y", "x%5Ey"],
      ["x%5Ey", "x^y"],
      ["x%60y", "x`y"],
      ["x%3Cy%3E", "x<y>"],
      ["x~y", "x%7ey"],
      ["xay", "x%61y"],
      ["x%C3%A9y", "xéy"],
      ["x李y", "x%e6%9d%8ey"],
      ["x%E6%9D%8E", "x%e6%9d%8e"],
      ["x?q='", "x?q=%27"],
      ["x?q=%27", "x?q='"],
      ["x?q=%7b", "x?q=%7B"],
      ["x?q={|}", "x?q={|}"],
      ["x?q=%22", 'x?q="'],
      ["x?q=%C3%A9", "x?q=é"],
      ["x?q=~", "x?q=%7E"],
      ["x?q=%", "x?q=%"],
      ["x", "a\\..\\x"],
      ["x", "y/../x"],
      ["x", "%2e/x"],
      ["x", "x#top"],
    ];
    const host = new URL(raw.url).host;
    /** @type {((below: string, named: string) => string)[]} */
    const ways = [
      (below, named) =>
        urlOf(below + named)
          .replace("http://", "HTTP://")
          .replace(HOST, `${HOST.toUpperCase()}:80`),
      (below, named) => `http://${host}${below}${named}`,
      (_, named) => named,
    ];
    const cases = pairs.flatMap(([asked, named]) =>
      ways.map((way) => {
        const below = place("/made/");
        return { asked: below + asked, named: way(below, named) };
      }),
    );
    await allVoid(cases, changeAll(name));
  });
}

test("a URL with octets that are not UTF-8 is answered 400, and asks nobody", async () => {
  for (const folder of ["/made/", "/declared/", "/uncached/"]) {
    for (const target of [`${folder}\xe9`, `${folder}x?q=\xff`, `${folder}${utf8("é")}\xe9`, `${folder}%41\xc0\xaf`]) {
      const seen = raw.requests.length;
      const reply = await askRaw(here, target);
      assert.equal(reply.status, 400, JSON.stringify(target));
      assert.equal(raw.requests.length, seen, "the origin was not asked");
    }
    // With escapes the same octets make a URL.
    const reply = await askRaw(here, `${place("/made/")}%E9?q=%FF`);
    assert.equal(reply.status, 200);
  }
});

test("a purge of a text that is no URL, or of no UTF-8, is told", async () => {
  for (const named of ["", "x", "http://", "/\ufffd"]) {
    const reply = await purge([named]);
    if (named === "/\ufffd") assert.ok([200, 422].includes(reply.status));
    else problem(reply, 422);
  }
});

/** Spellings that servers with path parameters read as `/v1/orders`. */
const ORDERS = [
  "/v1/orders",
  "/v1/orders;x=1",
  "/v1/orders;",
  "/v1/orders;x=1;y=2",
  "/v1/orders;x=1,2",
  "/v1/orders%3Bx=1",
  "/v1/orders%3bx=1",
  "/v1/orders%3Bx%3D1",
  "/v1;a=b/orders",
  "/v1;/orders;",
  "/v1%3Ba=b/orders",
  "/v1;a=b/orders;jsessionid=0a1b",
  "/V1;A/ORDERS;B",
  "/v1/orders;x=1/",
  "/v1//orders;x=1",
  "/v1/;x=1/orders",
  "/;x/v1/orders",
  "/v1/%6frders;%61=1",
  "/v1/orders;é".replace("é", utf8("é")),
  "/v1/orders;x={|}'",
];

test("path parameters slip past no limit", async () => {
  for (const target of ORDERS) {
    const reply = await askRaw(here, target, { fields: ["CF-Connecting-IP: 10.88.0.1"] });
    assert.deepEqual(Object.keys(rateLimit(reply)), ["orders"], target);
  }
  for (const target of ["/v1/orders/7;x=1", "/v1/orders;a/7", "/v1;a/orders%3B/7;"]) {
    const reply = await askRaw(here, target, { fields: ["CF-Connecting-IP: 10.88.0.1"] });
    assert.deepEqual(Object.keys(rateLimit(reply)), ["orders"], target);
  }
  for (const target of ["/v1/other;orders", "/v1/ordersx=1", "/v1;/x/orders"]) {
    const reply = await askRaw(here, target, { fields: ["CF-Connecting-IP: 10.88.0.1"] });
    assert.deepEqual(Object.keys(rateLimit(reply)), ["rest"], target);
  }
});

test("path parameters reach the origin, and are part of the key", async () => {
  const path = serve("/made/", {});
  const texts = [];
  for (const target of [path, `${path};x=1`, `${path};x=2`, `${path}%3Bx=1`]) {
    raw.requests.length = 0;
    texts.push((await askRaw(here, target)).text);
    assert.equal(raw.requests[0].target, target);
    await settled();
  }
  assert.equal(raw.requests.length >= 1, true);
  assert.equal(requestsOf(path).length, 1);
  assert.equal(new Set(texts).size >= 2, true, texts.join());
});

test("a request line in absolute form is the URL that it names", async () => {
  const below = place("/made/");
  const first = await askRaw(here, urlOf(`${below}x`));
  assert.equal(first.status, 200);
  await settled();
  assert.equal((await askRaw(here, `${below}x`)).text, first.text);
  assert.equal((await purge([`${below}x`])).status, 200);
  assert.notEqual((await askRaw(here, urlOf(`${below}x`))).text, first.text);
});
