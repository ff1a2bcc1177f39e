/** Other Redis clients as stores: the real libraries over a real Redis. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Redis as Upstash } from "@upstash/redis";
import { Redis as Ioredis } from "ioredis";
import { Redis as Ioredis5 } from "ioredis-5";
import { createClient } from "redis";
import { EdgeError, fromIoredis, fromNodeRedis, fromUpstash, RateLimiter, Redis } from "../support/package.mjs";
import { freePort, startRedis, startRestRedis } from "../support/servers.mjs";

/** @typedef {import("../../pkg/types/index.js").Store} Store */
/** @typedef {{ store: Store, end: () => unknown, stringNumbers?: boolean }} Client */

const redis = await startRedis();
const rest = await startRestRedis({ redisUrl: redis.url });
after(async () => {
  await rest.stop();
  await redis.stop();
});

/**
 * Each client, at an address.
 * @type {Record<string, (url: string) => Promise<Client>>}
 */
const CLIENTS = {
  "ioredis 6": async (url) => {
    const client = new Ioredis(url, { stringNumbers: true, retryStrategy: () => null });
    client.on("error", () => {});
    return { store: fromIoredis(client), end: () => client.disconnect() };
  },
  "ioredis 5": async (url) => {
    const client = new Ioredis5(url, { stringNumbers: true, retryStrategy: () => null });
    client.on("error", () => {});
    return { store: fromIoredis(client), end: () => client.disconnect() };
  },
  "node-redis 5": async (url) => ofNodeRedis(createClient({ url, socket: { reconnectStrategy: false } })),
  "node-redis 5, RESP 3": async (url) =>
    ofNodeRedis(createClient({ url, RESP: 3, socket: { reconnectStrategy: false } })),
};

/** @param {any} client */
async function ofNodeRedis(client) {
  client.on("error", () => {});
  await client.connect();
  return { store: fromNodeRedis(client), end: () => client.isOpen && client.destroy() };
}

/**
 * What a promise rejects with.
 * @param {Promise<unknown>} promise
 * @returns {Promise<import("../../pkg/types/index.js").EdgeError>}
 */
async function rejection(promise) {
  const error = await promise.then(
    (value) => assert.fail(`it did not fail, but is ${JSON.stringify(value)}`),
    (error) => error,
  );
  assert.ok(error instanceof EdgeError, `${error}`);
  assert.doesNotMatch(`${error.message}`, /127\.0\.0\.1|s3cret/);
  return error;
}

/** A script that no Redis knows yet. */
function newScript(lua = "return {KEYS[1], ARGV[1], {1, {false, 'ä'}}, 7}") {
  return { lua: `-- ${Math.random()}\n${lua}` };
}

/** @param {string} lua */
async function digest(lua) {
  return Buffer.from(await crypto.subtle.digest("SHA-1", Buffer.from(lua))).toString("hex");
}

for (const [name, connect] of Object.entries(CLIENTS)) {
  /** @type {Client} */
  let client;
  /** @type {Store} */
  let store;
  before(async () => {
    client = await connect(redis.url);
    store = client.store;
  });
  after(() => client.end());

  test(`${name}: texts, octets and numbers come back as they were`, async () => {
    for (const value of ["", "7", "ä\u0000\u{1f600}", "\ufeffmark", "[1]", "9007199254740993"]) {
      assert.equal(await store.command(["SET", "value", value]), "OK");
      assert.equal(await store.command(["GET", "value"]), value);
    }
    const octets = new Uint8Array([0, 128, 255, 10, 13]);
    await store.command(["SET", "value", octets.subarray(1, 4)]);
    const got = await store.command(["GET", "value"]);
    assert.deepEqual([got?.constructor, [.../** @type {any} */ (got)]], [Uint8Array, [128, 255, 10]]);
    assert.equal(await store.command(["GET", "none"]), null);
    assert.equal(await store.command(["SET", "number", 41]), "OK");
    assert.equal(await store.command(["INCR", "number"]), 42);
    await store.command(["SET", "number", "-9007199254740993"]);
    assert.equal(await store.command(["INCRBY", "number", 1]), "-9007199254740992");
    await store.command(["SET", "number", "9007199254740993"]);
    assert.equal(await store.command(["INCR", "number"]), "9007199254740994");
  });

  test(`${name}: arrays stay nested, and a map is a list`, async () => {
    await store.command(["DEL", "hash", "list"]);
    await store.command(["HSET", "hash", "a", "1", "b", new Uint8Array([255])]);
    const hash = /** @type {any} */ (await store.command(["HGETALL", "hash"]));
    assert.deepEqual(hash.slice(0, 3), ["a", "1", "b"]);
    assert.deepEqual([...hash[3]], [255]);
    await store.command(["RPUSH", "list", "x", "y"]);
    assert.deepEqual(await store.command(["LRANGE", "list", 0, -1]), ["x", "y"]);
    assert.deepEqual(await store.command(["MGET", "none", "hash-that-is-none"]), [null, null]);
  });

  test(`${name}: a script runs by its digest, and once by its source`, async () => {
    const { lua } = newScript();
    const script = { lua, sha1: await digest(lua) };
    const expected = ["key", "argument", [1, [null, "ä"]], 7];
    assert.deepEqual(await store.evaluate(script, ["key"], ["argument"]), expected);
    // It is known now: a wrong source would not be noticed.
    assert.deepEqual(await store.evaluate({ ...script, lua: "no Lua" }, ["key"], ["argument"]), expected);
    const octets = newScript("return {#ARGV[1], ARGV[1], ARGV[2]}");
    const reply = await store.evaluate(
      { ...octets, sha1: await digest(octets.lua) },
      [],
      [new Uint8Array([255, 0]), 5],
    );
    assert.deepEqual(/** @type {any} */ (reply)[0], 2);
    assert.deepEqual([.../** @type {any} */ (reply)[1]], [255, 0]);
    assert.equal(/** @type {any} */ (reply)[2], "5");
  });

  test(`${name}: what Redis refuses is an error with Redis's code`, async () => {
    await store.command(["SET", "text", "x"]);
    const wrong = await rejection(store.command(["LPUSH", "text", "s3cret"]));
    assert.deepEqual([wrong.code, wrong.redisCode, wrong.retryIsSafe(true)], ["command", "WRONGTYPE", false]);
    const unknown = await rejection(store.command(["NOSUCHCOMMAND", "s3cret"]));
    assert.equal(unknown.code, "command");
    const { lua } = newScript("return redis.call('LPUSH', KEYS[1], 's3cret')");
    const failed = await rejection(store.evaluate({ lua, sha1: await digest(lua) }, ["text"], []));
    assert.deepEqual([failed.code, failed.mayHaveRun], ["command", true]);
  });

  test(`${name}: a call that is aborted rejects at once`, async () => {
    const before = await rejection(store.command(["GET", "text"], { signal: AbortSignal.abort() }));
    assert.deepEqual([before.code, before.mayHaveRun], ["aborted", false]);
    const other = await connect(redis.url);
    const controller = new AbortController();
    const blocked = rejection(other.store.command(["BLPOP", "nothing-comes", 0], { signal: controller.signal }));
    setTimeout(() => controller.abort(), 20);
    const during = await blocked;
    assert.deepEqual([during.code, during.mayHaveRun], ["aborted", true]);
    await other.end();
  });

  test(`${name}: a Redis that is gone is unreachable`, async () => {
    const own = await startRedis();
    const { store, end } = await connect(own.url);
    assert.equal(await store.command(["SET", "a", "b"]), "OK");
    await own.stop();
    const error = await rejection(store.command(["GET", "a"], { signal: AbortSignal.timeout(10_000) }));
    assert.equal(error.code, "unreachable");
    await end();
  });

  test(`${name}: a limiter counts in it`, async () => {
    const options = {
      quota: 2,
      window: /** @type {const} */ ("1m"),
      redis: store,
      timeout: /** @type {const} */ ("10s"),
    };
    const make = () => new RateLimiter({ ...options, name: `of-${name.replaceAll(/\W/g, "-")}` });
    const results = [await make().limit("a"), await make().limit("a"), await make().limit("a")];
    const told = results.map(({ success, remaining, source }) => [success, remaining, source]);
    assert.deepEqual(told, [
      [true, 1, "redis"],
      [true, 0, "redis"],
      [false, 0, "redis"],
    ]);
  });
}

test("an integer that ioredis has rounded is an error, not another number", async (t) => {
  const client = new Ioredis(redis.url);
  t.after(() => client.disconnect());
  const store = fromIoredis(client);
  await store.command(["SET", "large", "9007199254740993"]);
  assert.equal((await rejection(store.command(["INCR", "large"]))).code, "protocol");
  assert.equal(await store.command(["INCR", "small"]), 1);
});

test("a client that is wrong is a mistake that is told at once", async () => {
  for (const make of [fromIoredis, fromNodeRedis, fromUpstash]) {
    assert.throws(() => make(/** @type {any} */ ({})), { name: "EdgeError", code: "config" });
    assert.throws(() => make(/** @type {any} */ (undefined)), { name: "EdgeError", code: "config" });
  }
  const client = new Ioredis(redis.url);
  const store = fromIoredis(client);
  for (const command of [[], "GET", ["GET", {}], ["GET", Number.NaN]]) {
    assert.equal((await rejection(store.command(/** @type {any} */ (command)))).code, "config");
  }
  client.disconnect();
});

test("nothing listens: a client that gives up says that nothing ran", async () => {
  const client = createClient({ url: `redis://127.0.0.1:${await freePort()}`, disableOfflineQueue: true });
  client.on("error", () => {});
  const error = await rejection(fromNodeRedis(client).command(["SET", "a", "b"]));
  assert.deepEqual([error.code, error.mayHaveRun], ["unreachable", false]);
});

test("@upstash/redis gives its address and token to our own client", async () => {
  const upstash = new Upstash({ url: rest.url, token: rest.token });
  const store = fromUpstash(upstash);
  assert.ok(store instanceof Redis);
  assert.equal(await store.command(["SET", "json", '{"a":1}']), "OK");
  // It parses replies as JSON; ours does not.
  assert.deepEqual([await upstash.get("json"), await store.command(["GET", "json"])], [{ a: 1 }, '{"a":1}']);
  await store.command(["SET", "octets", new Uint8Array([0, 255])]);
  assert.deepEqual([.../** @type {any} */ (await store.command(["GET", "octets"]))], [0, 255]);
  const wrong = fromUpstash(new Upstash({ url: rest.url, token: "another" }));
  assert.equal((await rejection(wrong.command(["GET", "json"]))).code, "unauthorised");
  const script = newScript();
  assert.deepEqual(await store.evaluate({ ...script, sha1: await digest(script.lua) }, ["k"], ["v"]), [
    ...["k", "v"],
    [1, [null, "ä"]],
    7,
  ]);
});
