/** Secrets in the digests of API keys: a rotation over one Redis, and what the log says of them. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { commandLine } from "../../scripts/lib/servers.mjs";
import { FORM } from "../support/gate.mjs";
import { ask, costOf, limiter, newClient, problem, rateLimit, startGateBefore, surroundings, until } from "./kit.mjs";

const around = await surroundings();
const { rest, store } = around;

const [OLD, NEW] = ["old-s3cret-0123456789", "new-s3cret-0123456789"];
const exact = "/__origin/status/201";
const leased = "/__origin/status/203";
const byAddress = "/__origin/status/207";

const plans = { pro: 1_000 };
const edge = {
  client: { keys: "registered" },
  limits: {
    client: { by: "client", window: "10m", quota: 5, keyed_quota: 50, plans },
    leased: { by: "client", window: "10m", quota: 5, plans, strategy: "lease" },
    ip: { by: "ip", window: "10m", quota: 1_000 },
  },
  routes: [
    { path: exact, limits: ["client"] },
    { path: leased, limits: ["leased"] },
    { path: byAddress, limits: ["ip"] },
  ],
};

/** @typedef {{ current?: string, previous?: string }} Secrets */

/** @param {Secrets} secrets */
const named = ({ current, previous }) => ({
  ...(current && { EDGE_KEY_SECRET: current }),
  ...(previous && { EDGE_KEY_SECRET_PREVIOUS: previous }),
});

/**
 * A gate with these secrets that has asked the store once.
 * @param {import("node:test").TestContext} t
 * @param {Secrets} secrets
 * @param {Record<string, unknown>} [changes] of the configuration
 */
async function gateWith(t, secrets, changes = {}) {
  const gate = await startGateBefore(around, { edge: { ...edge, ...changes }, vars: named(secrets) }, t);
  await ask(gate, byAddress, { headers: newClient() });
  return gate;
}

/**
 * Runs `omnitrade-edge keys …` on the gates' store.
 * @param {Secrets} secrets
 * @param {string[]} args
 * @param {string} [stdin]
 */
async function keys(secrets, args, stdin) {
  const own = { UPSTASH_REDIS_REST_URL: rest.url, UPSTASH_REDIS_REST_TOKEN: rest.token };
  const env = { ...process.env, ...own, ...named(secrets) };
  const run = promisify(execFile)(commandLine, ["keys", ...args, "--prefix", "ot"], { env });
  run.child.stdin?.end(stdin);
  return (await run).stdout.trim();
}

/**
 * The quota of a key at a gate, and what is left of it.
 * @param {{ url: string }} gate
 * @param {string} key
 */
async function told(gate, key, path = exact) {
  const reply = await ask(gate, path, { headers: { ...newClient(), "x-api-key": key } });
  const { q, r } = Object.values(rateLimit(reply))[0];
  return { q, left: r, by: limiter(reply) };
}

test("registered keys count through a whole rotation, whoever serves them", async (t) => {
  const pro = await keys({ current: OLD }, ["add", "--plan", "pro"]);
  const before = await gateWith(t, { current: OLD });
  assert.deepEqual(await told(before, pro), { q: 1_000, left: 999, by: "redis" });

  const [during, other] = [
    await gateWith(t, { current: NEW, previous: OLD }),
    await gateWith(t, { current: NEW, previous: OLD }),
  ];
  const both = { current: NEW, previous: OLD };
  const since = await keys(both, ["add", "--plan", "pro"]);
  // The window starts anew once, and is one window for all gates with the new secret.
  assert.deepEqual(await told(during, pro), { q: 1_000, left: 999, by: "redis" });
  assert.deepEqual(await told(other, pro), { q: 1_000, left: 998, by: "redis" });
  assert.equal((await told(during, since)).q, 1_000);
  assert.equal((await told(during, "made-up")).q, 5);
  assert.equal((await told(before, since)).q, 5, "a gate with the old secret alone does not know it");

  assert.equal(await keys(both, ["rotate"]), "moved 1 key");
  assert.deepEqual(await told(during, pro), { q: 1_000, left: 997, by: "redis" });
  const after = await gateWith(t, { current: NEW });
  assert.deepEqual(await told(after, pro), { q: 1_000, left: 996, by: "redis" });
  await keys({ current: NEW }, ["revoke", "--key-stdin"], pro);
  for (const gate of [during, after]) assert.equal((await told(gate, pro)).q, 5);
});

test("keys registered without a secret count beside it, and are moved", async (t) => {
  const key = await keys({}, ["add", "--plan", "pro"]);
  const without = await gateWith(t, {});
  assert.equal((await told(without, key)).q, 1_000);
  const strict = await gateWith(t, { current: NEW });
  assert.equal((await told(strict, key)).q, 5, "nobody said that such keys count");
  const during = await gateWith(t, { current: NEW, previous: "none" });
  assert.equal((await told(during, key)).q, 1_000);
  assert.equal(await keys({ current: NEW, previous: "none" }, ["rotate"]), "moved 1 key");
  for (const gate of [during, strict]) assert.equal((await told(gate, key)).q, 1_000);
});

test("a rotation takes no command more, and leases go on", async (t) => {
  const key = await keys({ current: OLD }, ["add", "--plan", "pro"]);
  const gate = await gateWith(t, { current: NEW, previous: OLD });
  for (const sent of [key, "made-up-by-somebody"]) {
    assert.deepEqual(await costOf(around, () => told(gate, sent)), { evalsha: 1, mget: 1, set: 1, calls: 1 });
  }
  for (let n = 0; n < 20; n++) await told(gate, key, leased);
  await until(async () => (await told(gate, key, leased)).by === "lease", { every: 1 });
});

test("what the store holds of a key cannot be made without the secret", async (t) => {
  const key = "a-key-that-could-be-guessed";
  const digests = async () => (await store.keys()).map((name) => name.split(":").at(-1) ?? "");
  const [before, all] = [
    await digests(),
    async () => JSON.stringify(await Promise.all((await store.keys()).map(text))),
  ];
  await keys({}, ["add", "--key-stdin"], key);
  const [open, ...others] = (await digests()).filter((digest) => !before.includes(digest) && digest !== "index");
  assert.deepEqual([open.length, others], [32, []], "its digest without a secret");
  await keys({}, ["revoke", "--key-stdin"], key);

  await keys({ current: NEW }, ["add", "--key-stdin", "--plan", "pro"], key);
  const gate = await gateWith(t, { current: NEW });
  for (const path of [exact, leased]) assert.equal((await told(gate, key, path)).q, 1_000);
  const held = await all();
  for (const hidden of [key, open, NEW]) assert.ok(!held.includes(hidden), hidden);
});

/** A key of the store and its value. @param {string} name */
async function text(name) {
  const type = await store.run("TYPE", name);
  return `${name} ${type === "hash" ? await store.run("HGETALL", name) : await store.run("GET", name)}`;
}

test("the log of an isolate advises a secret once, where keys are counted", async (t) => {
  const advice = /configuration: EDGE_KEY_SECRET: not set, so .* set EDGE_KEY_SECRET_PREVIOUS to "none" first$/;
  const gate = await gateWith(t, {});
  for (let n = 0; n < 3; n++) await told(gate, "made-up");
  const lines = await until(() => gate.logs().length > 0 && gate.logs());
  assert.equal(lines.length, 1, lines.join("\n"));
  assert.match(lines[0], advice);

  const nobody = { client: { keys: "any", api_key_header: [] } };
  for (const [secrets, changes] of /** @type {[Secrets, Record<string, unknown>][]} */ ([
    [{ current: NEW }, {}],
    [{ current: NEW, previous: OLD }, {}],
    [{}, nobody],
  ])) {
    const quiet = await gateWith(t, secrets, changes);
    for (let n = 0; n < 3; n++) await ask(quiet, exact, { headers: newClient() });
    assert.deepEqual(quiet.logs(), []);
  }
  const local = await startGateBefore({ origin: around.origin }, { edge }, t);
  await told(local, "made-up");
  assert.deepEqual(local.logs(), [], "without a store nobody can read it");
});

test("a secret that is no secret stops the gate, and the log names it alone", async (t) => {
  const isWorker = FORM === "worker";
  const wrong = /** @type {[Record<string, unknown>, string][]} */ ([
    [{ EDGE_KEY_SECRET: "s3cret-01234567" }, "EDGE_KEY_SECRET: expected a random text of at least 16 characters"],
    [
      { EDGE_KEY_SECRET: NEW, EDGE_KEY_SECRET_PREVIOUS: "s3cret" },
      'EDGE_KEY_SECRET_PREVIOUS: expected a random text of at least 16 characters, or "none" if',
    ],
    [{ EDGE_KEY_SECRET: { s3cret: NEW } }, "EDGE_KEY_SECRET: expected a text"],
  ]);
  for (const [vars, said] of isWorker ? wrong : []) {
    const gate = await startGateBefore(around, { edge, vars }, t);
    problem(await ask(gate, exact), 500);
    const lines = await until(() => gate.logs().length > 0 && gate.logs());
    assert.equal(lines.length, 1);
    assert.ok(lines[0].includes(`configuration: ${said}`), lines[0]);
    assert.ok(!/s3cret/.test(lines[0]), lines[0]);
  }
  // What a pipe or a file adds is not part of a secret.
  const key = await keys({ current: NEW }, ["add", "--plan", "pro"]);
  const spaced = await gateWith(t, { current: `${NEW}\n` });
  assert.equal((await told(spaced, key)).q, 1_000);
});
