/**
 * Names of headers in which a client could speak for the gate, for a proxy, or for a server that
 * signs users in.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { askRaw, combined } from "../support/raw.mjs";
import { SETTLED, setUpRaw } from "./raw-kit.mjs";

const { here, serve, requestsOf } = await setUpRaw({
  edge: {
    routes: [
      SETTLED,
      { path: "/cached/{n}", cache: { ttl: "10m" } },
      { path: "/declared/{n}", cache: { ttl: "10m", query: ["q"] } },
      { path: "/named/{n}", cache: { ttl: "10m", query: ["q"], forward: ["accept", "x-trace", "cookie"] } },
    ],
  },
});

const folders = ["/uncached/", "/cached/", "/declared/", "/named/"];

/** Headers that an origin believes if they come from its own proxy. */
const SPOOFED = [
  // The address from which the request comes.
  "Forwarded",
  "Via",
  "X-Forwarded",
  "X-Forwarded-For",
  "X-Forwarded-Client-Cert",
  "X-Forwarded-By",
  "X-Forwarded-Any-Thing-At-All",
  "Client-IP",
  "True-Client-IP",
  "X-Client-IP",
  "X-Real-IP",
  "X-Cluster-Client-IP",
  "Fastly-Client-IP",
  "X-ProxyUser-Ip",
  "X-Originating-IP",
  "X-Remote-IP",
  "X-Remote-Addr",
  // The URL that was requested.
  "X-Forwarded-Host",
  "X-Forwarded-Port",
  "X-Forwarded-Prefix",
  "X-Forwarded-Path",
  "X-Forwarded-Proto",
  "X-Forwarded-Protocol",
  "X-Forwarded-Scheme",
  "X-Forwarded-Server",
  "X-Forwarded-Ssl",
  "X-Forwarded-Uri",
  "X-Forwarded-Method",
  "X-Host",
  "X-Original-Host",
  "X-Original-URL",
  "X-Original-URI",
  "X-Original-Method",
  "X-Original-Forwarded-For",
  "X-Rewrite-URL",
  "X-HTTP-Method",
  "X-HTTP-Method-Override",
  "X-Method-Override",
  // The user who is signed in.
  "X-Forwarded-User",
  "X-Forwarded-Email",
  "X-Forwarded-Groups",
  "X-Forwarded-Preferred-Username",
  "X-Forwarded-Access-Token",
  "X-Auth-Request-User",
  "X-Auth-Request-Email",
  "X-Auth-Request-Groups",
  "X-Auth-Request-Redirect",
  "X-Remote-User",
  "Remote-User",
];

/** A name as servers read it that turn names into variables. @param {string} name */
const underscored = (name) => name.replaceAll("-", "_");
/** @param {string} name */
const half = (name) => name.replace("-", "_");

/** Headers that only the client may set. */
const HARMLESS = [
  "X-Trace",
  "X-Custom",
  "X_Custom",
  "X-Client-Version",
  "X-Request-Id",
  "X-Csrf-Token",
  "X-Auth-Token",
  "X-Requested-With",
  "X-User",
  "X-Forecast",
  "X-Origin",
  "Forward-To",
  "Viable",
  "Accept",
  "Accept-Language",
  "Authorization",
  "Cookie",
  "From",
  "Origin",
  "Referer",
  "User-Agent",
  "Idempotency-Key",
  "Prefer",
  "Priority",
];

/** Ways to send a request to a route: those that the cache handles, and those that bypass it. */
const WAYS = [
  { method: "GET", fields: [] },
  { method: "HEAD", fields: [] },
  { method: "GET", fields: ["Cache-Control: no-store"] },
  { method: "POST", fields: [], body: "x" },
];

for (const folder of folders) {
  test(`nobody speaks for the gate on ${folder}`, async () => {
    for (const way of WAYS) {
      for (const write of [
        (/** @type {string} */ name) => name,
        (/** @type {string} */ name) => name.toLowerCase(),
        (/** @type {string} */ name) => name.toUpperCase(),
        underscored,
        half,
        (/** @type {string} */ name) => underscored(name).toUpperCase(),
      ]) {
        const path = serve(folder, {});
        const spoofed = SPOOFED.map((name) => `${write(name)}: evil`);
        const reply = await askRaw(here, path, { ...way, fields: [...way.fields, ...spoofed] });
        assert.equal(reply.status, 200);
        const [request] = requestsOf(path);
        const passed = request.fields.filter(([, value]) => value.includes("evil")).map(([name]) => name);
        assert.deepEqual(passed, [], `${way.method} ${way.fields}`);
      }
    }
  });
}

test("what the gate says is there once, whoever says it too", async () => {
  for (const folder of folders) {
    const path = serve(folder, {});
    const evil = ["X-Forwarded-For", "x_forwarded_for", "X-Forwarded-Host", "X_FORWARDED_HOST", "X-Forwarded-Proto"];
    await askRaw(here, path, { fields: ["CF-Connecting-IP: 192.0.2.9", ...evil.map((name) => `${name}: evil`)] });
    const [request] = requestsOf(path);
    assert.equal(combined(request, "x-forwarded-for"), "192.0.2.9");
    assert.equal(combined(request, "x-forwarded-host"), "edge.example");
    assert.equal(combined(request, "x-forwarded-proto"), "http");
  }
});

test("what is not of the gate reaches the origin", async () => {
  for (const folder of ["/uncached/", "/cached/"]) {
    for (const way of WAYS) {
      const path = serve(folder, {});
      await askRaw(here, path, { ...way, fields: [...way.fields, ...HARMLESS.map((name) => `${name}: ${name}`)] });
      const [request] = requestsOf(path);
      for (const name of HARMLESS) assert.equal(combined(request, name), name, `${folder} ${way.method}`);
    }
  }
});

test("of what a route with a query forwards, the harmless reaches the origin", async () => {
  const path = serve("/named/", {});
  const fields = ["X-Trace: 1", "Cookie: a=1", "Accept: text/plain", "X-Custom: 1"];
  await askRaw(here, path, { fields });
  const [request] = requestsOf(path);
  assert.equal(combined(request, "x-trace"), "1");
  assert.equal(combined(request, "cookie"), "a=1");
  assert.equal(combined(request, "accept"), "text/plain");
  assert.equal(combined(request, "x-custom"), undefined);
});
