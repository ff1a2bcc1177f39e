/**
 * Values under a limit's key that are not states of this version: they are taken for empty and
 * logged, and clients are not affected.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, limiter, newClient, rateLimit, setUp, until } from "./kit.mjs";

const exact = "/__origin/status/201";
const leased = "/__origin/status/202";
const dear = "/__origin/status/203";
const LINE =
  /"detail":"store: 1 states of limits could not be read, and were taken for empty","event":"states_unreadable"\}$/;

const { gate, store } = await setUp({
  isolates: 2,
  edge: {
    limits: {
      exact: { by: "ip", window: "60s", quota: 1_000 },
      leased: { by: "ip", window: "60s", quota: 1_000, strategy: "lease" },
    },
    routes: [
      { path: exact, limits: ["exact"] },
      { path: leased, limits: ["leased"] },
      { path: dear, limits: ["exact"], cost: 1_000 },
    ],
  },
});

/**
 * Sets a value, with a lifetime such as the gate gives.
 * @param {string} key
 * @param {string} text
 */
const put = (key, text) => store.run("SET", key, text, "PX", 60_000);

/** @param {Record<string, string>} client */
const keyOf = (client, limit = "exact") => `ot:l:${limit}:${client["cf-connecting-ip"]}`;

const now = Date.now();
const bucket = Math.floor(now / 2_000);
for (const [what, text] of [
  ["a state of the first version", `1 ${now} 2000 ${bucket} 1000`],
  ["one of a version to come", `3 abc ${now} 2000 ${bucket} 1 1000 1000;0::`],
  ["nothing", ""],
  ["words", "hello there"],
  ["a cache entry", `1 ${now} ${now} {"k":"GET"}\nbody`],
  ["a number", "1000"],
  ["bytes", "\u0000\u0001\u00ff".repeat(50)],
  ["a state cut short", `2 abc ${now} 2000 ${bucket} 1 1000`],
  ["numbers too large", `2 abc ${"9".repeat(300)} 2000 ${bucket} 1 1000 1000;0::`],
  ["no width", `2 abc ${now} 0 ${bucket} 1 1000 1000;0::`],
  ["negative counts", `2 abc ${now} 2000 ${bucket} 1 -5 -5;0::`],
  ["more sub-buckets than there are", `2 abc ${now} 2000 ${bucket} 5000 5 5;0::`],
]) {
  test(`${what}: taken for empty, and said once`, async () => {
    const client = newClient();
    await put(keyOf(client), text);
    gate.clearLogs();
    for (const [n, isolate] of gate.isolates.entries()) {
      const reply = await ask(isolate, exact, { headers: client });
      assert.equal(reply.status, 201);
      assert.equal(limiter(reply), "redis");
      assert.equal(rateLimit(reply).exact.r, 999 - n);
    }
    const logs = await until(() => gate.logs().length > 0 && gate.logs());
    assert.equal(logs.length, 1, logs.join("\n"));
    assert.match(logs[0], LINE);
    assert.ok(!logs[0].includes(client["cf-connecting-ip"]), "without whose it is");
  });
}

test("another type of value: taken for empty", async () => {
  const client = newClient();
  await store.run("HSET", keyOf(client), "a", "b");
  const reply = await ask(gate, exact, { headers: client });
  assert.equal(reply.status, 201);
  assert.equal(limiter(reply), "redis");
  assert.equal(rateLimit(reply).exact.r, 999);
});

test("a state damaged in any way fails no request and no call of the store", async () => {
  const seed = Date.now() % 2 ** 31;
  const random = lcg(seed);
  gate.clearLogs();
  for (let n = 0; n < 200; n++) {
    // No isolate remembers anything about this client.
    const client = newClient();
    const time = Date.now();
    const at = Math.floor(time / 2_000);
    const sound = `2 ${(time % 2 ** 24).toString(16)} ${time} 2000 ${at - 2} 4 10 1 2 3 4;100:abcdef:`;
    for (const limit of ["exact", "leased"]) await put(keyOf(client, limit), damage(sound, random));
    for (const path of [exact, leased, leased, dear]) {
      const reply = await ask(gate, path, { headers: client });
      assert.ok([201, 202, 203, 429].includes(reply.status), `seed ${seed}: ${reply.status} ${reply.text}`);
      assert.notEqual(limiter(reply), "local", `seed ${seed}: ${gate.logs().at(-1)}`);
    }
  }
  const others = gate.logs().filter((line) => !/could not be read/.test(line));
  assert.deepEqual(others, [], `seed ${seed}`);
});

/** A small generator of numbers from 0 to 1. @param {number} seed */
function lcg(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}

/**
 * Changes a word or two, or some characters.
 * @param {string} text
 * @param {() => number} random
 */
function damage(text, random) {
  const pick = (/** @type {number} */ n) => Math.min(Math.floor(random() * n), n - 1);
  const words = text.split(" ");
  for (let times = 1 + pick(2); times > 0; times--) {
    const at = 1 + pick(words.length - 1);
    const others = [
      "0",
      "1",
      "7",
      "999",
      "9007199254740991",
      "9007199254740992",
      "x",
      "",
      words[at].slice(1),
      `${words[at]}0`,
    ];
    // Most often the new word replaces one; otherwise it is inserted before one, or the word is
    // removed.
    const way = random();
    words.splice(at, way < 0.2 ? 0 : 1, ...(way > 0.8 ? [] : [others[pick(others.length)]]));
  }
  return words.join(" ");
}
