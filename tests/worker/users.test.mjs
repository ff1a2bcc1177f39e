/** Users: tokens that an issuer has signed, verified with the keys that it publishes. */
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, costOf, limiter, listen, newClient, rateLimit, setUp, startGateBefore, until } from "./kit.mjs";

const ISSUER = "https://login.example";
const AUDIENCE = "omnitrade";
const path = "/__origin/status/201";

/** @typedef {"RS256" | "ES256" | "EdDSA"} Algorithm */

/** @typedef {import("node:crypto").KeyObject} KeyObject */
/** @typedef {{ alg: Algorithm, kid?: string, privateKey: KeyObject, jwk: object }} Key */

/** @param {Algorithm} alg @returns {Key} */
function newKey(alg, kid = `${alg}-${Math.random()}`) {
  const { privateKey, publicKey } =
    alg === "RS256"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : alg === "ES256"
        ? generateKeyPairSync("ec", { namedCurve: "P-256" })
        : generateKeyPairSync("ed25519");
  return { alg, kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" } };
}

/** @returns {Key} */
function newNamelessKey() {
  const key = newKey("ES256");
  return { ...key, kid: undefined, jwk: { ...key.jwk, kid: undefined } };
}

const encoded = (/** @type {unknown} */ value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/**
 * @param {Key} key
 * @param {Record<string, unknown>} [claims]
 */
function token({ alg, kid, privateKey }, claims) {
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const all = { iss: ISSUER, aud: AUDIENCE, sub: `user-${Math.random()}`, exp, ...claims };
  const signed = `${encoded({ alg, kid, typ: "JWT" })}.${encoded(all)}`;
  const hash = alg === "EdDSA" ? null : "sha256";
  const signature = sign(hash, Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

/** An issuer, which publishes the keys that are in `keys`. */
async function startIssuer() {
  const issuer = {
    url: "",
    keys: [newKey("RS256"), newKey("ES256"), newKey("EdDSA")],
    maxAge: 3600,
    /** @type {"hang" | number | null} */
    fault: null,
    fetches: 0,
  };
  const server = createServer((_request, response) => {
    issuer.fetches++;
    if (issuer.fault === "hang") return;
    response.writeHead(issuer.fault ?? 200, { "cache-control": `public, max-age=${issuer.maxAge}` });
    response.end(JSON.stringify({ keys: issuer.keys.map((key) => key.jwk) }));
  });
  issuer.url = `${await listen(server)}/keys`;
  return issuer;
}

/** @param {{ url: string }} issuer */
const edgeOf = (issuer) => ({
  client: {
    api_key_header: ["x-api-key", "authorization"],
    jwt: { jwks: issuer.url, issuer: ISSUER, audience: AUDIENCE, plan_claim: "plan" },
  },
  limits: {
    user: { by: "user", window: "10m", quota: 3, keyed_quota: 50, plans: { pro: 1_000 } },
    client: { by: "client", window: "10m", quota: 3, keyed_quota: 50 },
    ip: { by: "ip", window: "10m", quota: 20 },
  },
  routes: [
    { path, limits: ["user"] },
    { path: "/__origin/status/202", limits: ["client"] },
    { path: "/__origin/status/203", limits: ["user", "ip"] },
    { path: "/__origin/echo", limits: ["user"] },
  ],
});

const issuer = await startIssuer();
const setup = await setUp({ edge: edgeOf(issuer), isolates: 2 });
const [first, second] = setup.gate.isolates;

/**
 * @param {string} bearer
 * @param {Record<string, string>} [more]
 */
const signedIn = (bearer, more) => ({ ...newClient(), authorization: `Bearer ${bearer}`, ...more });

/**
 * The quota that a request with this token has, and what is left of it.
 * @param {string} bearer
 * @param {{ url: string }} isolate
 */
async function quotaOf(bearer, isolate = first) {
  const reply = await ask(isolate, path, { headers: signedIn(bearer) });
  const { q, r } = rateLimit(reply).user;
  return [q, r];
}

test("users are recognised by tokens of each algorithm, from the first on", async () => {
  for (const key of issuer.keys) {
    const user = `by-${key.alg}`;
    assert.deepEqual(await quotaOf(token(key, { sub: user })), [50, 49], key.alg);
    assert.deepEqual(await quotaOf(token(key, { sub: user, jti: 2 })), [50, 48], "the next token");
    assert.deepEqual(await quotaOf(token(key, { sub: user, jti: 3 }), second), [50, 47], "another isolate");
  }
  assert.deepEqual(await quotaOf(token(issuer.keys[0], { plan: "pro" })), [1_000, 999]);
  assert.equal(issuer.fetches, 2, "one by each isolate");
});

test("a token that does not verify counts as none and reaches the origin", async () => {
  const [rsa, ec, ed] = issuer.keys;
  const past = Math.floor(Date.now() / 1000) - 1;
  const right = token(ec, { sub: "eve" });
  const [head, claims, signature] = right.split(".");
  const other = encoded({ iss: ISSUER, aud: AUDIENCE, sub: "alice", exp: past + 3600 });
  for (const [what, wrong] of Object.entries({
    expired: token(rsa, { exp: past }),
    "of another issuer": token(ed, { iss: "https://login.example.com" }),
    "for others": token(ec, { aud: ["others"] }),
    "without an end": token(ec, { exp: undefined }),
    "other claims": `${head}.${other}.${signature}`,
    "another signature": `${head}.${claims}.${Buffer.alloc(64, 1).toString("base64url")}`,
    "a short signature": `${head}.${claims}.AAAA`,
    "a short signature of Ed25519": `${token(ed).split(".", 2).join(".")}.AAAA`,
    "signed by another key with this name": token(newKey("ES256", ec.kid)),
    "of a key that the issuer does not have": token(newKey("ES256")),
    "not signed": `${encoded({ alg: "none" })}.${claims}.`,
    "no token": "opaque",
  })) {
    assert.deepEqual(await quotaOf(wrong), [3, 2], what);
    assert.deepEqual(await quotaOf(wrong), [3, 2], `${what}, again, from another address`);
    const echo = await ask(first, "/__origin/echo", { headers: signedIn(wrong) });
    assert.equal(JSON.parse(echo.text).headers.authorization, `Bearer ${wrong}`);
  }
  const warnings = setup.gate.logs().filter((line) => line.includes("client.jwt"));
  assert.deepEqual(warnings, [], "no token makes the keys look wrong");
});

test("a key in a header comes before the token unless the limit counts users", async () => {
  const bearer = token(issuer.keys[1]);
  const headers = { ...newClient(), "x-api-key": `k-${Math.random()}`, authorization: `Bearer ${bearer}` };
  assert.deepEqual(await quotaOf(bearer), [50, 49]);
  assert.equal(rateLimit(await ask(first, path, { headers })).user.r, 48, "the user");
  const byClient = await ask(first, "/__origin/status/202", { headers });
  assert.equal(rateLimit(byClient).client.r, 49, "the key");
});

test("a token is verified once, at no store call, and never written", async () => {
  const bearer = token(issuer.keys[0], { sub: "secret-user" });
  const headers = signedIn(bearer);
  const cost = await costOf(setup, async () => {
    for (let n = 0; n < 5; n++) assert.equal((await ask(first, path, { headers })).status, 201);
  });
  assert.deepEqual(cost, { evalsha: 5, mget: 5, set: 5, calls: 5 });
  const keys = await setup.store.keys();
  const values = await Promise.all(keys.map((key) => setup.store.run("GET", key).catch(() => "")));
  const kept = [...keys, ...values, ...setup.gate.logs()].join("\n");
  for (const part of [...bearer.split("."), "secret-user"]) assert.ok(!kept.includes(part), part);
});

test("keys are rotated, and nobody is refused", async () => {
  const own = await startIssuer();
  const gate = await startGateBefore(setup, { edge: edgeOf(own) });
  const [old] = own.keys;
  const users = Array.from({ length: 20 }, (_, n) => ({ sub: `rotated-${n}` }));
  const all = async (/** @type {Key} */ key) => {
    const replies = users.map((user) => ask(gate, path, { headers: signedIn(token(key, user)) }));
    return (await Promise.all(replies)).map((reply) => [reply.status, rateLimit(reply).user.q]);
  };
  const served = users.map(() => [201, 50]);
  assert.deepEqual(await all(old), served);
  own.keys = [newKey("RS256")];
  assert.deepEqual(await all(own.keys[0]), served);
  assert.equal(own.fetches, 2);
  own.keys = [newKey("EdDSA"), ...own.keys];
  assert.deepEqual(await all(own.keys[1]), served, "the new key is published before it is used");
  assert.deepEqual(await all(own.keys[0]), served);
  assert.equal(own.fetches, 3);
});

test("keys without names are rotated, and users count as such again", async () => {
  const own = await startIssuer();
  own.keys = [newNamelessKey()];
  const gate = await startGateBefore(setup, { edge: edgeOf(own) });
  assert.deepEqual(await quotaOf(token(own.keys[0]), gate), [50, 49]);
  own.keys = [newNamelessKey()];
  const bearer = token(own.keys[0]);
  await until(async () => (await quotaOf(bearer, gate))[0] === 50);
  assert.equal(own.fetches, 2);
});

test("a fetch for an unknown key that fails is repeated", async () => {
  const own = await startIssuer();
  const gate = await startGateBefore(setup, { edge: edgeOf(own) });
  assert.deepEqual(await quotaOf(token(own.keys[0]), gate), [50, 49]);
  own.fault = 503;
  assert.deepEqual(await quotaOf(token(newKey("ES256")), gate), [50, 49], "by its digest");
  own.fault = null;
  await until(async () => (await quotaOf(token(newKey("ES256")), gate))[0] === 3);
});

test("stale keys are used while others are fetched", async () => {
  const own = await startIssuer();
  own.maxAge = 1;
  const gate = await startGateBefore(setup, { edge: edgeOf(own) });
  const [key] = own.keys;
  assert.deepEqual(await quotaOf(token(key), gate), [50, 49]);
  await sleep(1_100);
  own.fault = "hang";
  const start = Date.now();
  assert.deepEqual(await quotaOf(token(key), gate), [50, 49]);
  assert.ok(Date.now() - start < 5_000, "it does not wait for the issuer");
  await until(() => own.fetches === 2);
});

for (const fault of /** @type {const} */ ([503, "hang"])) {
  test(`without keys tokens count by digest, with one warning: ${fault}`, async () => {
    const own = await startIssuer();
    own.fault = fault;
    const gate = await startGateBefore(setup, { edge: edgeOf(own) });
    const bearer = token(own.keys[0]);
    assert.deepEqual(await quotaOf(bearer, gate), [50, 49]);
    assert.deepEqual(await quotaOf(bearer, gate), [50, 48], "from another address");
    assert.deepEqual(await quotaOf(token(own.keys[0]), gate), [50, 49]);
    await until(() => gate.logs().some((line) => line.includes("client.jwt.jwks: the keys cannot be fetched")));
    own.fault = null;
    // A token of no key at all tells when the keys are there: it counts as none then.
    await until(async () => (await quotaOf(token(newKey("ES256")), gate))[0] === 3);
    assert.deepEqual(await quotaOf(bearer, gate), [50, 49], "now by the user");
    const warnings = gate.logs().filter((line) => line.includes("client.jwt"));
    assert.equal(warnings.length, 1, warnings.join("\n"));
    assert.ok(!warnings[0].includes(own.url));
  });
}

test("who makes up tokens is held by the address, and others are not", async () => {
  const both = "/__origin/status/203";
  const address = newClient();
  const honest = signedIn(token(issuer.keys[0]));
  let refused = 0;
  const before = issuer.fetches;
  for (let n = 0; n < 60; n++) {
    const made = token(newKey("EdDSA", n % 2 ? issuer.keys[2].kid : `made-up-${n}`));
    const reply = await ask(first, both, { headers: { ...address, authorization: `Bearer ${made}` } });
    if (reply.status === 429) refused++;
    if (n % 3 === 0) assert.equal((await ask(first, both, { headers: honest })).status, 203);
  }
  assert.equal(refused, 57, "it has the quota of an address without a token");
  assert.ok(issuer.fetches - before <= 6, `${issuer.fetches - before} fetches of the keys`);
  const blocked = await ask(first, both, { headers: { ...address, authorization: "Bearer x" } });
  assert.equal(limiter(blocked), "blocked");
});
