/** Which route claims a request, and that no spelling of a path evades its limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, problem, rateLimit, setUp } from "./kit.mjs";

const names = ["rest", "recent", "order", "orders", "cancel", "trailing", "any", "beyond"];

const { gate, origin } = await setUp({
  edge: {
    default_limits: ["rest"],
    limits: Object.fromEntries(names.map((name) => [name, { by: "global", window: "60s", quota: 10_000 }])),
    routes: [
      { path: "/api/orders/{*all}", limits: ["orders"] },
      { path: "/api/orders/{id}", limits: ["order"] },
      { path: "/api/orders/{id}", methods: ["DELETE"], limits: ["cancel"] },
      { path: "/api/orders/recent", limits: ["recent"] },
      { path: "/__origin/echo/", limits: ["trailing"] },
      { path: "/any/{one}/{two}", limits: ["any"] },
      { path: "/ordérs/{id}/ΟΔΌΣ", limits: ["beyond"] },
    ],
  },
});

/** The limits that a request is counted against. @param {string} path @param {string} [method] */
async function claimedBy(path, method = "GET") {
  return Object.keys(rateLimit(await ask(gate, path, { method }))).join();
}

for (const [path, limit] of [
  ["/api/orders/recent", "recent"],
  ["/api/orders/recent?id=7", "recent"],
  ["/api/orders/7", "order"],
  ["/api/orders/7/fills", "orders"],
  ["/api/orders/recent/fills", "orders"],
  ["/api/orders", "orders"],
  ["/api/ordersx", "rest"],
  ["/api", "rest"],
  ["/", "rest"],
  ["/any/a/b", "any"],
  ["/any/a", "rest"],
  ["/any/a/b/c", "rest"],
]) {
  test(`the most specific path wins: ${path} is counted by ${limit}`, async () => {
    assert.equal(await claimedBy(path), limit);
  });
}

test("of two routes with one path the one that names the method wins", async () => {
  assert.equal(await claimedBy("/api/orders/7", "DELETE"), "cancel");
  assert.equal(await claimedBy("/api/orders/7", "POST"), "order");
  assert.equal(await claimedBy("/api/orders/recent", "DELETE"), "recent");
});

for (const path of [
  "/api/orders/recent/",
  "/api/orders/recent//",
  "//api/orders/recent",
  "/api///orders/recent",
  "/API/Orders/RECENT",
  "/api/orders/%72ecent",
  "/%61%70%69/orders/rec%65nt",
  "/api/orders/%52ECENT",
  "/./api/./orders/recent",
  "/api/x/../orders/recent",
  "/api/x/%2e%2e/orders/recent",
  "/api/x/.%2E/orders/recent",
  "/api/orders/recent/.",
  "/api/orders/x/../recent",
  "/../../api/orders/recent",
  "/api\\orders\\recent",
  "/api/orders/recent?",
  "/api/orders/recent#fragment",
  "/api/orders/recent;x=1",
  "/api/orders/recent%3Bx=1",
  "/api;a=b/orders/;/recent;/",
  "/;x/api/x;y/../orders/recent%3b",
]) {
  test(`no spelling slips past: ${path}`, async () => {
    assert.equal(await claimedBy(path), "recent");
  });
}

test("what the origin is asked for is what was counted", async () => {
  for (const path of ["/x/../__origin/echo", "/x/%2e%2e/__origin/echo", "/__origin/./echo", "/__origin/echo/"]) {
    const reply = await ask(gate, path);
    assert.equal(Object.keys(rateLimit(reply)).join(), "trailing", path);
    assert.match(JSON.parse(reply.text).path, /^\/__origin\/echo\/?$/);
  }
});

test("an escaped slash does not part a segment", async () => {
  assert.equal(await claimedBy("/api/orders/a%2Fb"), "order");
  assert.equal(await claimedBy("/api%2Forders/recent"), "rest");
});

for (const path of [
  "/%",
  "/%z",
  "/%zz",
  "/a%2",
  "/api/orders/%",
  "/api/orders/re%xcent",
  "/a/..;x/b",
  "/a/%2e%2e%3b/b",
]) {
  test(`a path that servers disagree about is refused: ${path}`, async () => {
    const seen = origin.counters.get().total;
    problem(await ask(gate, path), 400);
    assert.equal(origin.counters.get().total, seen);
  });
}

test("letters beyond ASCII match in either case", async () => {
  for (const path of ["/ordérs/7/οδός", "/ORDÉRS/7/ΟΔΌΣ", "/Ordérs/7/οΔός"]) {
    assert.equal(await claimedBy(encodeURI(path)), "beyond", path);
  }
  // The first segment is not UTF-8, but É in Latin-1.
  assert.equal(await claimedBy(`/ord%C9rs/7/${encodeURI("οδός")}`), "beyond");
  assert.equal(await claimedBy(encodeURI("/orders/7/οδός")), "rest");
});

test("bytes that are no UTF-8 are a path like another", async () => {
  assert.equal(await claimedBy("/api/orders/%ff%fe"), "order");
  assert.equal(await claimedBy("/api/orders/%00"), "order");
});

test("the health of the gate is open to all, and not counted", async () => {
  const reply = await ask(gate, "/__edge/health");
  assert.equal(reply.status, 200);
  assert.equal(reply.headers["content-type"], "application/json");
  assert.deepEqual(JSON.parse(reply.text), { status: "ok", store: "closed" });
  assert.equal(reply.headers["ratelimit-policy"], undefined);
  const head = await ask(gate, "/__edge/health", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.body.length, 0);
});

test("what the gate keeps for itself never reaches the origin", async () => {
  const seen = origin.counters.get().total;
  for (const path of [
    "",
    "/",
    "/x",
    "/health/x",
    "/metrics",
    "/../__edge/x",
    "/%68ealthy",
    "?x",
    ";x/health",
    "/health;x",
  ]) {
    problem(await ask(gate, `/__edge${path}`), 404);
  }
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
    const reply = await ask(gate, "/__edge/health", { method });
    problem(reply, 405);
    assert.match(String(reply.headers.allow), /GET/);
  }
  problem(await ask(gate, "/__edge/purge", { method: "POST", body: '{"tags":["x"]}' }), 404);
  assert.equal(origin.counters.get().total, seen);
  assert.equal((await ask(gate, "/__edgeways")).status, 404);
  assert.equal(origin.counters.of("/__edgeways"), 1, "that one is the origin's");
});
