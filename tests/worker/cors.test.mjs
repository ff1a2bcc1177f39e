/**
 * The last changes to an answer, to the octet: the CORS headers, the client's address in
 * `Location`, and the headers that tell limits.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { askRaw, combined, linesOf, RESET } from "../support/raw.mjs";
import { cacheStatus, newClient, startGateBefore } from "./kit.mjs";
import { SETTLED, setUpRaw } from "./raw-kit.mjs";

const PAGE = "https://app.example";

/** @type {Record<string, any>} */
const edge = {
  cors: { origins: [PAGE, "http://localhost:5173"] },
  rewrite_location: true,
  limits: {
    one: { by: "ip", window: "10m", quota: 1 },
    many: { by: "ip", window: "10m", quota: 1_000 },
  },
  routes: [
    SETTLED,
    { path: "/one/{n}", limits: ["one"] },
    { path: "/many/{n}", limits: ["many"] },
    { path: "/cached/{n}", cache: { ttl: "10m" } },
    { path: "/slow/{n}", origin_timeout: "200ms" },
    { path: "/listed/{n}", methods: ["GET", "PUT"] },
  ],
};
const around = await setUpRaw({ edge });
const { here, there, serve, settled, requestsOf, raw, redis, store } = around;
const origin = raw.url;
const { cors, ...rest } = edge;
const [silent, answering] = await Promise.all([
  startGateBefore({ origin: { url: origin }, store }, { edge: { ...rest, rewrite_location: false } }),
  startGateBefore(
    { origin: { url: origin }, store },
    { edge: { ...rest, cors: { ...cors, preflight: true, credentials: true, max_age: "10m" } } },
  ),
]);

/** @typedef {import("../support/raw.mjs").RawReply} RawReply */

/** @param {string} [page] */
const from = (page) => (page === undefined ? [] : [`Origin: ${page}`]);

/** The fields that tell a page what it may do. @param {RawReply} reply */
function said(reply) {
  const of = reply.fields.filter(([name]) => /^access-control-/i.test(name));
  return Object.fromEntries(of.map(([name, value]) => [name.toLowerCase().replace("access-control-", ""), value]));
}

const OWN = "RateLimit, RateLimit-Policy, Retry-After, X-Edge-Limiter, Cache-Status, Age, X-Data-Age";
const READABLE = { "allow-origin": PAGE, "expose-headers": OWN };

/** @param {RawReply} reply @param {string} [why] */
function isReadable(reply, why) {
  assert.deepEqual(said(reply), READABLE, why);
  assert.equal(combined(reply, "vary"), "Origin", why);
}

/** @param {RawReply} reply @param {string} [why] */
function isUnreadable(reply, why) {
  assert.deepEqual(said(reply), {}, why);
  assert.equal(combined(reply, "vary"), "Origin", why);
}

/** A request of a client that nobody has seen before. @param {string[]} fields */
const asNew = (...fields) => ({ fields: [`CF-Connecting-IP: ${newClient()["cf-connecting-ip"]}`, ...fields] });

test("only a listed page may read the gate's own refusals and failures", async () => {
  const client = asNew().fields[0];
  const limited = serve("/one/", {});
  const broken = serve("/broken/", () => [RESET]);
  const slow = serve("/slow/", () => [60_000]);
  const bad = "/%zz";
  const ask = async (/** @type {string} */ path, /** @type {string | undefined} */ page) =>
    askRaw(here, path, { fields: [client, ...from(page)] });
  isReadable(await ask(limited, PAGE), "admitted");
  for (const [path, status] of /** @type {const} */ ([
    [limited, 429],
    [broken, 502],
    [slow, 504],
    [bad, 400],
  ])) {
    for (const [page, check] of /** @type {const} */ ([
      [PAGE, isReadable],
      ["https://evil.example", isUnreadable],
      [undefined, isUnreadable],
    ])) {
      const reply = await ask(path, page);
      assert.equal(reply.status, status, `${path} ${reply.text}`);
      check(reply, `${status} to ${page}`);
    }
  }
});

test("what the origin would allow a page that it refuses adds nothing", async () => {
  const fields = ["Access-Control-Allow-Credentials: true", "Access-Control-Expose-Headers: X-Secret"];
  const path = serve("/cached/", { fields, body: "book" });
  for (const expected of [/fwd=uri-miss/, /hit/, /hit/]) {
    const reply = await askRaw(here, path, asNew(...from(PAGE)));
    assert.match(combined(reply, "cache-status") ?? "", expected);
    isReadable(reply);
  }
});

test("a header of the last hop does not stand for the gate's own", async () => {
  const fields = [
    "Connection: vary, access-control-allow-origin, location",
    "Vary: Origin",
    "Access-Control-Allow-Origin: https://evil.example",
    `Location: ${origin}/x`,
  ];
  const reply = await askRaw(here, serve("/many/", { fields }), asNew(...from(PAGE)));
  isReadable(reply);
  assert.equal(combined(reply, "location"), undefined);
});

test("without cors the gate says nothing of it, and Vary is the origin's", async () => {
  const path = serve("/one/", { fields: ["Vary: Accept"] });
  const asked = asNew(...from(PAGE));
  for (const status of [200, 429]) {
    const reply = await askRaw(silent, path, asked);
    assert.equal(reply.status, status);
    assert.deepEqual(said(reply), {});
    assert.equal(combined(reply, "vary"), status === 200 ? "Accept" : undefined);
  }
});

test("one stored answer serves every page its own fields, in every isolate", async () => {
  const path = serve("/cached/", { fields: ['ETag: "1"', "Vary: Accept"], body: "book" });
  const first = await askRaw(here, path, asNew(...from(PAGE)));
  assert.equal(combined(first, "vary"), "Accept, Origin");
  await settled();
  for (const isolate of [here, there]) {
    for (const page of [undefined, "https://evil.example", PAGE, "http://localhost:5173"]) {
      const listed = edge.cors.origins.includes(page);
      for (const [fields, status] of /** @type {const} */ ([
        [[], 200],
        [['If-None-Match: "1"'], 304],
      ])) {
        const reply = await askRaw(isolate, path, asNew(...from(page), ...fields));
        assert.equal(reply.status, status);
        assert.equal(cacheStatus(reply).hit, true, combined(reply, "cache-status"));
        assert.deepEqual(said(reply), listed ? { ...READABLE, "allow-origin": page } : {}, `${page}`);
        assert.equal(combined(reply, "vary"), "Accept, Origin");
      }
    }
  }
  assert.equal(requestsOf(path).length, 1, "no variants");
  const keys = (await store.keys()).filter((key) => key.startsWith("ot:c:"));
  const entries = await Promise.all(keys.map((key) => store.run("GET", key)));
  const own = entries.filter((entry) => String(entry).includes(path));
  assert.equal(own.length, 1, `${redis.url}: ${keys.length} entries`);
  assert.doesNotMatch(String(own[0]), /access-control|origin/i);
});

test("an origin that speaks for itself is not spoken over", async () => {
  const fields = ["Access-Control-Allow-Origin: *", "Vary: origin"];
  for (const folder of ["/one/", "/cached/"]) {
    const path = serve(folder, { fields });
    const reply = await askRaw(here, path, asNew(...from(PAGE)));
    assert.deepEqual(said(reply), { "allow-origin": "*" });
    assert.deepEqual(linesOf(reply, "vary"), ["origin"]);
  }
});

test("octets of the origin that are no UTF-8 stay beside the gate's Vary", async () => {
  const path = serve("/one/", { fields: ["Vary: X-\xe9", "X-Name: \xff"] });
  const reply = await askRaw(here, path, asNew(...from(PAGE)));
  assert.match(linesOf(reply, "vary").join(", "), /^X-\xe9, ?Origin$/);
  assert.equal(combined(reply, "x-name"), "\xff");
});

test("a preflight is answered by the gate, or reaches the origin", async () => {
  const path = serve("/one/", { status: 204, reason: "No Content", framing: "none" });
  const preflight = (/** @type {string} */ page, target = path) => ({
    method: "OPTIONS",
    fields: [
      ...from(page),
      `Access-Control-Request-Method: ${target === path ? "DELETE" : "PUT"}`,
      "Access-Control-Request-Headers: authorization,x-api-key",
    ],
  });
  const passed = await askRaw(here, path, preflight(PAGE));
  assert.equal(passed.status, 204);
  assert.equal(requestsOf(path).length, 1);
  assert.deepEqual(said(passed), READABLE);

  const answered = await askRaw(answering, path, preflight(PAGE));
  assert.equal(answered.status, 204);
  assert.equal(answered.body.length, 0);
  const allowed = {
    "allow-origin": PAGE,
    "allow-credentials": "true",
    "allow-methods": "DELETE",
    "allow-headers": "authorization, x-api-key",
    "max-age": "600",
  };
  assert.deepEqual(said(answered), allowed);
  assert.equal(combined(answered, "vary"), "Origin");
  const ofRoute = await askRaw(answering, "/listed/1", preflight(PAGE, "/listed/1"));
  assert.deepEqual(said(ofRoute), { ...allowed, "allow-methods": "GET, PUT" });
  const refused = await askRaw(answering, path, preflight("https://evil.example"));
  assert.equal(refused.status, 204);
  isUnreadable(refused);
  assert.equal(requestsOf(path).length, 1, "none of these reached the origin");
});

test("admin pages are for no page of another origin", async () => {
  const reply = await askRaw(here, "/__edge/health", { fields: from(PAGE) });
  assert.equal(reply.status, 200);
  assert.deepEqual(said(reply), {});
  assert.equal(combined(reply, "vary"), undefined);
});

test("a Location at the origin is served as the client's, from every isolate", async () => {
  const hosts = ["a.example", "b.example:8080"];
  const path = serve("/cached/", {
    status: 301,
    reason: "Moved Permanently",
    fields: [`Location: ${origin}/new%2fplace?q=1#top`, `Content-Location: ${origin}/doc`],
  });
  for (const host of hosts) await askRaw(here, path, { host, ...asNew() });
  await settled();
  for (const isolate of [here, there]) {
    for (const host of hosts) {
      const reply = await askRaw(isolate, path, { host, ...asNew() });
      assert.equal(cacheStatus(reply).hit, true);
      assert.equal(combined(reply, "location"), `http://${host}/new%2fplace?q=1#top`);
      assert.equal(combined(reply, "content-location"), `http://${host}/doc`);
    }
  }
  assert.equal(requestsOf(path).length, hosts.length);
});

test("a Location elsewhere stays as it came, and so do all unless configured", async () => {
  for (const location of ["/new", "new", "https://elsewhere.example/\xe9", `${origin}0/new`, "mailto:a@b.example"]) {
    const path = serve("/one/", { status: 201, reason: "Created", fields: [`Location: ${location}`] });
    assert.equal(combined(await askRaw(here, path, asNew()), "location"), location);
  }
  const path = serve("/one/", { status: 302, reason: "Found", fields: [`Location: ${origin}/new`] });
  assert.equal(combined(await askRaw(silent, path, asNew()), "location"), `${origin}/new`);
  assert.equal(combined(await askRaw(here, path, asNew()), "location"), "http://edge.example/new");
});

test("on a route with limits nothing of the origin's limits is left", async () => {
  const fields = [
    'RateLimit: "theirs";r=1;t=1',
    "RateLimit-Reset: 1",
    "X-RateLimit-Limit: 7",
    "X-Rate-Limit-Used: 7",
    "x-ratelimit-limit-minute: 7",
    "Retry-After: 4",
  ];
  const tells = (/** @type {RawReply} */ reply) =>
    reply.fields.map(([name]) => name.toLowerCase()).filter((name) => /rate-?limit/.test(name));
  const limited = await askRaw(here, serve("/many/", { fields }), asNew());
  assert.deepEqual(tells(limited).sort(), ["ratelimit", "ratelimit-policy"]);
  assert.doesNotMatch(String(combined(limited, "ratelimit")), /theirs/);
  assert.equal(combined(limited, "retry-after"), "4");
  const free = await askRaw(here, serve("/free/", { fields }), asNew());
  assert.equal(tells(free).length, 5);
  assert.equal(combined(free, "x-edge-limiter"), "none");
  const path = serve("/cached/", { fields });
  await askRaw(here, path, asNew());
  await settled();
  for (const isolate of [here, there]) {
    const hit = await askRaw(isolate, path, asNew());
    assert.equal(cacheStatus(hit).hit, true);
    assert.deepEqual(tells(hit), []);
  }
});
