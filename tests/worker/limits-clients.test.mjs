/** The subjects of limits: keys, addresses, networks, and clients that have none of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, newClient, quotaExceeded, rateLimit, setUp, until } from "./kit.mjs";

const perClient = "/__origin/status/201";
const perIp = "/__origin/status/202";
const perKey = "/__origin/status/203";
const perRoute = "/__origin/status/{code}";
const global = "/__origin/status/204";

const { gate } = await setUp({
  edge: {
    limits: {
      client: { by: "client", window: "60s", quota: 5, keyed_quota: 50 },
      ip: { by: "ip", window: "60s", quota: 12 },
      key: { by: "api-key", window: "60s", quota: 3 },
      route: { by: "route", window: "60s", quota: 20 },
      global: { by: "global", window: "60s", quota: 20 },
    },
    routes: [
      { path: perClient, limits: ["client", "ip"] },
      { path: perIp, limits: ["ip"] },
      { path: perKey, limits: ["key"] },
      { path: perRoute, limits: ["route"] },
      { path: global, limits: ["global"] },
      { path: "/__origin/echo", limits: ["global"] },
    ],
  },
});

/** @param {string} path @param {Record<string, string>} headers @param {string} limit */
async function left(path, headers, limit) {
  return rateLimit(await ask(gate, path, { headers }))[limit]?.r;
}

test("anonymous clients are told apart by their address", async () => {
  const [one, two] = [newClient(), newClient()];
  for (let n = 4; n >= 0; n--) assert.equal(await left(perClient, one, "client"), n);
  quotaExceeded(await ask(gate, perClient, { headers: one }));
  assert.equal(await left(perClient, two, "client"), 4);
});

test("a key tells clients apart wherever they are, with a quota of its own", async () => {
  const headers = { ...newClient(), "x-api-key": "alpha" };
  const reply = await ask(gate, perClient, { headers });
  assert.equal(rateLimit(reply).client.q, 50);
  assert.equal(rateLimit(reply).client.r, 49);
  assert.equal(await left(perClient, { ...newClient(), "x-api-key": "alpha" }, "client"), 48);
  assert.equal(await left(perClient, { ...newClient(), "x-api-key": "beta" }, "client"), 49);
});

test("made-up keys are bounded by the address they come from", async () => {
  const address = newClient();
  for (let n = 0; n < 12; n++) {
    assert.equal((await ask(gate, perClient, { headers: { ...address, "x-api-key": `made-up ${n}` } })).status, 201);
  }
  for (let n = 12; n < 20; n++) {
    const refused = await ask(gate, perClient, { headers: { ...address, "x-api-key": `made-up ${n}` } });
    assert.deepEqual(quotaExceeded(refused)["violated-policies"], ["ip"]);
  }
});

test("an empty key is no key", async () => {
  for (const key of ["", " ", "\t"]) {
    const reply = await ask(gate, perClient, { headers: { ...newClient(), "x-api-key": key } });
    assert.equal(rateLimit(reply).client.q, 5, JSON.stringify(key));
  }
});

test("a limit by key does not apply without one", async () => {
  const reply = await ask(gate, perKey, { headers: newClient() });
  assert.equal(reply.status, 203);
  assert.equal(reply.headers["x-edge-limiter"], "none");
  assert.equal(await left(perKey, { "x-api-key": "gamma" }, "key"), 2);
  assert.equal(await left(perKey, { "x-api-key": "gamma" }, "key"), 1);
});

test("one IPv6 network of /64 is one client, the next is another", async () => {
  const from = (/** @type {string} */ ip) => left(perIp, { "cf-connecting-ip": ip }, "ip");
  assert.equal(await from("2001:db8:1:2::1"), 11);
  assert.equal(await from("2001:db8:1:2:ffff:ffff:ffff:ffff"), 10);
  assert.equal(await from("2001:0DB8:0001:0002:0000:0000:0000:0001"), 9);
  assert.equal(await from("2001:db8:1:3::1"), 11);
});

test("an IPv4 address written as IPv6 is that IPv4 address", async () => {
  const from = (/** @type {string} */ ip) => left(perIp, { "cf-connecting-ip": ip }, "ip");
  assert.equal(await from("192.0.2.77"), 11);
  assert.equal(await from("::ffff:192.0.2.77"), 10);
  assert.equal(await from("::ffff:c000:24d"), 9);
});

test("no address and what is none share one subject, and are never unlimited", async () => {
  const texts = ["bogus", "192.0.2.1, 192.0.2.2", "192.0.2.1:x", "999.1.1.1", "fe80::1%", "", "x".repeat(8_000)];
  assert.equal(await left(perIp, {}, "ip"), 11);
  for (const [n, text] of texts.entries()) {
    assert.equal(await left(perIp, { "cf-connecting-ip": text }, "ip"), 10 - n, text.slice(0, 30));
  }
  const spoofed = { "x-forwarded-for": "192.0.2.9", "x-real-ip": "192.0.2.9", forwarded: "for=192.0.2.9" };
  assert.equal(await left(perIp, spoofed, "ip"), 3, "no other header names the client");
});

test("a limit by route counts all on that route, whatever its parameters", async () => {
  assert.equal(await left("/__origin/status/250", newClient(), "route"), 19);
  assert.equal(await left("/__origin/status/251", newClient(), "route"), 18);
});

test("a global limit counts everybody on every route that has it", async () => {
  assert.equal(await left(global, newClient(), "global"), 19);
  assert.equal(await left("/__origin/echo", newClient(), "global"), 18);
});

test("an address is the same with a port, in brackets and with a zone", async () => {
  /** @param {string} address */
  const leftFor = (address) => left(perIp, { "cf-connecting-ip": address }, "ip");
  assert.equal(await leftFor("198.51.100.9"), 11);
  assert.equal(await leftFor("198.51.100.9:4711"), 10);
  assert.equal(await leftFor("2001:db8:9::1"), 11);
  assert.equal(await leftFor("[2001:db8:9::1]"), 10);
  assert.equal(await leftFor("[2001:db8:9::2%25eth0]:80"), 9);
  assert.equal(await leftFor("2001:db8:9::3%eth0"), 8);
});

test("a header that holds no address is logged once, without its value", async () => {
  const chain = (/** @type {number} */ n) => ({ "cf-connecting-ip": `198.51.100.${n}, 198.51.100.10` });
  const first = Number(await left(perIp, chain(1), "ip"));
  assert.equal(await left(perIp, chain(2), "ip"), first - 1, "a chain is no address");
  const lines = await until(() => {
    const lines = gate.logs().filter((line) => line.includes("client.ip_header"));
    return lines.length > 0 && lines;
  });
  assert.equal(lines.length, 1);
  assert.match(lines[0], /cf-connecting-ip is there and does not hold one address/);
  assert.doesNotMatch(lines[0], /198\.51/);
});
