/** The value cache: one load for all callers, what is stale, what fails, and what is purged. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  clock,
  edge,
  edgeError,
  fails,
  freshPrefix,
  gate,
  hangingStore,
  rejection,
  startStore,
  T0,
  tapped,
  turn,
  until,
} from "./kit.mjs";

/** @import { CacheOptions, EntryOptions } from "@omnitrade/edge" */

const { Cache, Redis } = edge;
const { redis: server, tap, store } = await startStore();
const redis = new Redis({ ...store, timeout: "20s" });

/** @param {CacheOptions} [options] */
const local = (options) => new Cache(options);

/** A cache of a process of its own. @param {CacheOptions} options */
const shared = (options) => new Cache({ redis: new Redis({ ...store, timeout: "20s" }), timeout: "20s", ...options });

/** Two processes. @param {CacheOptions} [options] */
function worlds(options) {
  const keyPrefix = freshPrefix();
  return [shared({ keyPrefix, ...options }), shared({ keyPrefix, ...options })];
}

/** A loader that counts its calls. @param {(n: number) => any} [make] */
function counter(make = (n) => `value ${n}`) {
  const load = Object.assign(async () => make(++load.calls), { calls: 0 });
  return load;
}

/**
 * A loader that says what is kept.
 * @param {Partial<EntryOptions> | false} what
 * @param {() => any} load
 */
function keeping(what, load) {
  return (/** @type {import("@omnitrade/edge").LoadContext} */ { keep }) => {
    keep(what);
    return load();
  };
}

const minute = /** @type {const} */ ({ ttl: "1m" });

for (const [where, make] of /** @type {const} */ ([
  ["here", (/** @type {CacheOptions} */ options) => local(options)],
  ["with a store", (/** @type {CacheOptions} */ options) => shared({ keyPrefix: freshPrefix(), ...options })],
])) {
  test(`a value is loaded once, and then found: ${where}`, async () => {
    const cache = make({});
    const load = counter();
    const all = await Promise.all(Array.from({ length: 20 }, () => cache.getOrSet("k", minute, load)));
    assert.deepEqual([load.calls, new Set(all)], [1, new Set(["value 1"])]);
    assert.equal(await cache.getOrSet("k", minute, load), "value 1");
    assert.equal(await cache.getOrSet("other", minute, load), "value 2");
    const entry = await cache.get("k");
    assert.deepEqual([entry?.value, entry?.fresh, Number(entry?.age) < 60_000], ["value 1", true, true]);
    assert.equal(await cache.get("none"), undefined);
  });

  test(`values come back as they went, and are copies: ${where}`, async () => {
    const cache = make({});
    const values = [
      ...["", "ä\u0000\n\u2028🦀\ud800", 0, -1.5, 1e300, true, false, null, [], {}, [1, [2, { a: null }]]],
      ...[{ toJSON: 1, __proto__: null, a: { b: "c" } }, "x".repeat(100_000)],
      ...[new Uint8Array(), new Uint8Array([0, 128, 255]), new Uint8Array(100_000).map((_, n) => n)],
    ];
    for (const [n, value] of values.entries()) {
      const options = n % 2 ? minute : { ...minute, tags: ["t"] };
      const given = structuredClone(value);
      for (let read = 0; read < 3; read++) {
        const got = await cache.getOrSet(`k${n}`, options, () => /** @type {any} */ (value));
        assert.deepEqual(JSON.parse(JSON.stringify(got)), JSON.parse(JSON.stringify(given)));
        assert.equal(got instanceof Uint8Array, value instanceof Uint8Array);
        if (got instanceof Uint8Array) assert.deepEqual(got, new Uint8Array(/** @type {any} */ (given)));
        // What a caller does to its copy is seen by no other one.
        if (got instanceof Uint8Array) got.fill(7);
        else if (Array.isArray(got)) got.push("mine");
        else if (got && typeof got === "object") got.mine = true;
      }
      const entry = await cache.get(`k${n}`);
      assert.deepEqual(JSON.parse(JSON.stringify(entry?.value)), JSON.parse(JSON.stringify(given)));
      await cache.set(`s${n}`, given, options);
      if (given instanceof Uint8Array) given.fill(9);
      const set = await cache.get(`s${n}`);
      if (given instanceof Uint8Array && given.length > 0) assert.notDeepEqual(set?.value, given);
    }
  });

  test(`undefined is returned, and not stored: ${where}`, async () => {
    const cache = make({});
    const load = counter(() => undefined);
    assert.equal(await cache.getOrSet("k", minute, load), undefined);
    assert.equal(await cache.getOrSet("k", minute, load), undefined);
    assert.deepEqual([load.calls, await cache.get("k")], [2, undefined]);
    const value = counter();
    assert.equal(await cache.getOrSet("k", minute, value), "value 1");
    assert.equal(await cache.getOrSet("k", minute, value), "value 1");
  });

  test(`what a loader throws reaches all who wait, and is not kept: ${where}`, async () => {
    const cache = make({});
    const thrown = { not: "even an error" };
    let calls = 0;
    const load = async () => {
      calls++;
      await turn();
      throw thrown;
    };
    const all = await Promise.all(Array.from({ length: 5 }, () => rejection(cache.getOrSet("k", minute, load))));
    assert.deepEqual([calls, all.every((each) => each === thrown)], [1, true]);
    assert.equal(await rejection(cache.getOrSet("k", minute, load)), thrown);
    assert.equal(calls, 2, "nobody waits after a failure");
    assert.equal(
      await rejection(
        cache.getOrSet("k", minute, () => {
          throw undefined;
        }),
      ),
      undefined,
      "thrown at once",
    );
    assert.equal(await cache.getOrSet("k", minute, () => 7), 7);
  });

  test(`a load that never settles holds nobody for longer than it may: ${where}`, async () => {
    const cache = make({ loadTimeout: 60 });
    /** @type {AbortSignal | undefined} */
    let signal;
    const hangs = cache.getOrSet("k", minute, (context) => {
      signal = context.signal;
      return new Promise(() => {});
    });
    const follower = cache.getOrSet("k", minute, () => "follower");
    const error = await fails(hangs, "timeout");
    assert.equal(signal?.aborted, true);
    assert.equal(await rejection(follower), error, "one load for all");
    assert.equal(await cache.getOrSet("k", minute, () => "next"), "next");
    const late = gate();
    await fails(
      cache.getOrSet("l", minute, () => late.promise.then(() => "late")),
      "timeout",
    );
    late.open();
    await turn();
    assert.equal(await cache.get("l"), undefined, "what comes too late is not kept");
  });

  test(`keep changes what is kept, and whether: ${where}`, async () => {
    const time = clock(Date.now());
    const cache = make({ now: time.now });
    const load = counter();
    await cache.getOrSet("no", minute, keeping(false, load));
    assert.equal(await cache.get("no"), undefined);
    await cache.getOrSet("no", minute, keeping(false, load));
    assert.equal(load.calls, 2);
    await cache.getOrSet("short", minute, keeping({ ttl: 300 }, load));
    assert.equal((await cache.get("short"))?.fresh, true);
    time.pass(300);
    assert.equal(await cache.get("short"), undefined);
    await cache.getOrSet("tagged", { ...minute, tags: ["a"] }, async ({ keep }) => {
      await turn();
      keep({ tags: ["b", "c"] });
      return load();
    });
    await cache.purge({ tags: ["a"] });
    assert.notEqual(await cache.get("tagged"), undefined, "tags in keep replace the others");
    await cache.purge({ tags: ["c"] });
    assert.equal(await cache.get("tagged"), undefined);
    await cache.getOrSet("again", minute, (context) => {
      context.keep(false);
      return keeping({ ttl: "1h" }, load)(context);
    });
    assert.notEqual(await cache.get("again"), undefined, "the last one counts");
    await fails(
      cache.getOrSet("wrong", minute, ({ keep }) => keep({ ttl: /** @type {any} */ ("soon") })),
      "config",
      false,
    );
  });

  test(`purges reach keys and tags, and nothing else: ${where}`, async () => {
    const cache = make({});
    const fill = async () => {
      for (const [key, tags] of Object.entries({ a: ["x"], b: ["x", "y"], c: ["y\n"], d: [] }))
        await cache.set(key, key, { ...minute, tags });
    };
    const left = async () =>
      (await Promise.all(["a", "b", "c", "d"].map((key) => cache.get(key))))
        .map((entry) => entry?.value ?? "-")
        .join("");
    await fill();
    assert.equal(await left(), "abcd");
    await cache.purge({ tags: ["y"] });
    assert.equal(await left(), "a-cd");
    await cache.purge({ tags: ["y\n", "x"] });
    assert.equal(await left(), "---d");
    await fill();
    await cache.purge({ keys: ["a", "d", "none"] });
    assert.equal(await left(), "-bc-");
    await cache.delete("b");
    assert.equal(await left(), "--c-");
    await cache.purge({ tags: [] });
    await cache.purge({ keys: [] });
    assert.equal(await left(), "--c-");
    await fill();
    assert.equal(await left(), "abcd", "what is set after a purge is kept");
  });

  test(`what is purged while it is loaded is not kept: ${where}`, async () => {
    for (const what of [{ tags: ["t"] }, { keys: ["k"] }]) {
      const cache = make({});
      const [begun, held] = [gate(), gate()];
      const loading = cache.getOrSet("k", { ...minute, tags: ["t"] }, async () => {
        begun.open();
        await held.promise;
        return "old";
      });
      await begun.promise;
      await cache.purge(what);
      held.open();
      assert.equal(await loading, "old");
      assert.equal(await cache.get("k"), undefined, JSON.stringify(what));
      assert.equal(await cache.getOrSet("k", { ...minute, tags: ["t"] }, () => "new"), "new");
    }
  });

  test(`a schema checks what is read, and what does not fit is loaded: ${where}`, async () => {
    const cache = make({});
    const seen = /** @type {unknown[]} */ ([]);
    const schema = {
      "~standard": {
        validate: (/** @type {any} */ value) => {
          seen.push(value);
          return value.version === 2 ? { value: { ...value, read: true } } : { issues: [{ message: "old" }] };
        },
      },
    };
    const load = counter((n) => ({ version: 2, n }));
    await cache.set("k", { version: 1 }, minute);
    const first = await cache.getOrSet("k", { ...minute, schema }, load);
    assert.deepEqual([first.version, first.n, load.calls], [2, 1, 1]);
    const second = await cache.getOrSet("k", { ...minute, schema }, load);
    assert.deepEqual([second, load.calls], [{ version: 2, n: 1, read: true }, 1]);
    assert.deepEqual(seen[0], { version: 1 });
    // A schema may take its time.
    const slow = {
      "~standard": {
        validate: async (/** @type {any} */ value) => {
          await turn();
          return { value: value.n * 10 };
        },
      },
    };
    assert.equal(await cache.getOrSet("k", { ...minute, schema: slow }, () => 0), 10);
    // One that nothing fits loads each time, and ends.
    const never = { "~standard": { validate: () => ({ issues: [] }) } };
    const more = counter();
    assert.equal(await cache.getOrSet("k", { ...minute, schema: never }, more), "value 1");
    assert.equal(await cache.getOrSet("k", { ...minute, schema: never }, more), "value 2");
    const both = await Promise.all([1, 2, 3].map(() => cache.getOrSet("k", { ...minute, schema: never }, more)));
    assert.equal(both.length, 3);
    // What makes it throw does not fit.
    const broken = {
      "~standard": {
        validate: () => {
          throw new Error("broken");
        },
      },
    };
    assert.equal(await cache.getOrSet("k", { ...minute, schema: broken }, () => 7), 7);
    assert.equal(await cache.getOrSet("new", { ...minute, schema: broken }, () => 1), 1);
  });

  test(`a ttl of nothing keeps nothing, and holds up nobody: ${where}`, async () => {
    const cache = make({ loadTimeout: "20s" });
    const load = counter();
    const started = Date.now();
    for (let n = 1; n <= 3; n++) assert.equal(await cache.getOrSet("k", { ttl: 0 }, load), `value ${n}`);
    assert.ok(Date.now() - started < 10_000, "nobody waits for a load that is over");
    assert.equal(await cache.get("k"), undefined);
  });

  test(`stale values are served while they are loaded anew: ${where}`, async () => {
    const time = clock(Date.now());
    const work = /** @type {Promise<unknown>[]} */ ([]);
    const cache = make({ now: time.now, waitUntil: (each) => void work.push(each) });
    /** @type {any[]} */
    const contexts = [];
    let n = 0;
    const options = /** @type {const} */ ({ ttl: 200, staleWhileRevalidate: 300 });
    const get = () =>
      cache.getOrSet("k", options, (context) => {
        contexts.push(context);
        return `value ${++n}`;
      });
    assert.equal(await get(), "value 1");
    assert.deepEqual(
      [contexts[0].background, contexts[0].stale, contexts[0].signal.aborted],
      [false, undefined, false],
    );
    time.pass(199);
    assert.equal(await get(), "value 1");
    assert.equal(n, 1);
    time.pass(1);
    assert.deepEqual([(await cache.get("k"))?.fresh, (await cache.get("k"))?.age], [false, 200]);
    assert.equal(await get(), "value 1", "stale");
    await until(() => n === 2);
    await Promise.all(work);
    assert.deepEqual([contexts[1].background, contexts[1].stale], [true, "value 1"]);
    assert.equal(await get(), "value 2");
    time.pass(500);
    assert.equal(await cache.get("k"), undefined, "too old");
    assert.equal(await get(), "value 3");
    assert.deepEqual([contexts[2].background, contexts[2].stale], [false, undefined]);
  });

  test(`stale-if-error is a hard ceiling: ${where}`, async () => {
    const time = clock(Date.now());
    const cache = make({ now: time.now });
    const options = /** @type {const} */ ({ ttl: 100, staleIfError: 400 });
    const down = async () => {
      throw new Error("down");
    };
    await cache.getOrSet("k", options, () => "old");
    time.pass(100);
    /** @type {any} */
    let context;
    const failing = cache.getOrSet("k", options, async (given) => {
      context = given;
      return down();
    });
    assert.equal(await failing, "old");
    assert.deepEqual([context.stale, context.background], ["old", false]);
    time.pass(399);
    assert.equal(await cache.getOrSet("k", options, down), "old");
    const slow = cache.getOrSet("k", options, async () => {
      time.pass(1);
      return down();
    });
    assert.equal((await rejection(slow)).message, "down", "a load that ends after the ceiling");
    assert.equal((await rejection(cache.getOrSet("k", options, down))).message, "down");
    assert.equal(await cache.getOrSet("k", options, () => "new"), "new");
    // The ceiling also limits what may be used while it is loaded anew.
    const both = /** @type {const} */ ({ ttl: 100, staleWhileRevalidate: 800, staleIfError: 200 });
    await cache.getOrSet("l", both, () => "old");
    time.pass(299);
    assert.equal((await cache.get("l"))?.value, "old");
    time.pass(1);
    assert.equal(await cache.get("l"), undefined);
    assert.equal(await cache.getOrSet("l", both, () => "new"), "new");
  });

  test(`a refresh that fails leaves what is stale, and is tried again: ${where}`, async () => {
    const time = clock(Date.now());
    const work = /** @type {Promise<unknown>[]} */ ([]);
    const cache = make({ now: time.now, waitUntil: (each) => void work.push(each) });
    const options = /** @type {const} */ ({ ttl: 100, staleWhileRevalidate: 600 });
    await cache.getOrSet("k", options, () => "old");
    time.pass(200);
    let tries = 0;
    const fails = async () => {
      tries++;
      throw new Error("down");
    };
    for (let n = 1; n <= 3; n++) {
      assert.equal(await cache.getOrSet("k", options, fails), "old");
      await until(() => tries === n);
      await Promise.all(work);
    }
    assert.equal(await cache.getOrSet("k", options, () => "new"), "old");
    await until(async () => (await cache.get("k"))?.value === "new");
  });
}

test("one load for all processes, and each has its own copy", async () => {
  const caches = [...worlds(), shared({ keyPrefix: freshPrefix() })];
  const keyPrefix = freshPrefix();
  const five = Array.from({ length: 5 }, () => shared({ keyPrefix }));
  let calls = 0;
  const load = async () => {
    calls++;
    await sleep(150);
    return { n: calls };
  };
  const all = await Promise.all(five.flatMap((cache) => [1, 2].map(() => cache.getOrSet("k", minute, load))));
  assert.equal(calls, 1);
  assert.ok(all.every(({ n }) => n === 1));
  assert.equal(caches.length, 3);
});

test("another process loads as soon as a loader has failed", async () => {
  const [one, two] = worlds({ loadTimeout: "19s" });
  const held = gate();
  const failing = rejection(
    one.getOrSet("k", minute, () => held.promise.then(() => Promise.reject(new Error("down")))),
  );
  await until(async () => (await store.keys()).length > 0);
  const other = two.getOrSet("k", minute, () => "loaded");
  await sleep(50);
  const started = Date.now();
  held.open();
  assert.equal((await failing).message, "down");
  assert.equal(await other, "loaded");
  assert.ok(Date.now() - started < 10_000);
});

test("nobody waits for a value that is not kept", async () => {
  for (const load of [() => undefined, keeping(false, () => "v"), keeping({ ttl: 0 }, () => "v")]) {
    const [one, two] = worlds({ loadTimeout: "19s" });
    const started = Date.now();
    await one.getOrSet("k", minute, load);
    assert.equal(await two.getOrSet("k", minute, () => "two"), "two");
    assert.ok(Date.now() - started < 10_000);
  }
});

test("a purge is seen by other processes within about a second", async () => {
  const [one, two] = worlds();
  const options = { ...minute, tags: ["t"] };
  for (const [n, what] of [{ tags: ["t"] }, { keys: ["k1"] }].entries()) {
    const key = `k${n}`;
    await one.set(key, `old ${n}`, options);
    assert.equal(await two.getOrSet(key, options, () => "not"), `old ${n}`);
    await one.purge(what);
    assert.equal(await one.get(key), undefined, "here at once");
    const purged = Date.now();
    assert.equal(
      await until(() => two.getOrSet(key, options, () => `new ${n}`).then((v) => v === `new ${n}` && v)),
      `new ${n}`,
    );
    assert.ok(Date.now() - purged < 5_000);
    // It is written while the caller goes on.
    await until(async () => (await one.get(key))?.value === `new ${n}`);
  }
});

test("a purge elsewhere while a value is loaded makes it void", async () => {
  const [one, two] = worlds();
  const held = gate();
  let loads = 0;
  const options = { ...minute, tags: ["t"] };
  const loading = one.getOrSet("k", options, async () => {
    loads++;
    await held.promise;
    return "old";
  });
  await until(() => loads === 1);
  await two.purge({ tags: ["t"] });
  held.open();
  assert.equal(await loading, "old");
  assert.equal(await two.get("k"), undefined);
  assert.equal(await two.getOrSet("k", options, () => "new"), "new");
});

test("tags named in keep are purged by other processes", async () => {
  const [one, two] = worlds();
  await one.getOrSet(
    "k",
    minute,
    keeping({ tags: ["late"] }, () => "v"),
  );
  assert.equal(await two.getOrSet("k", minute, () => "not"), "v", "it is kept in the store");
  await two.purge({ tags: ["late"] });
  assert.equal(await two.get("k"), undefined);
  await until(async () => (await one.get("k")) === undefined);
});

test("a purge of tags that a caller does not name is seen by it", async () => {
  const [one, two] = worlds();
  await one.set("k", "old", { ...minute, tags: ["x"] });
  await one.purge({ tags: ["x"] });
  assert.equal(await two.getOrSet("k", { ...minute, tags: ["y"] }, () => "new"), "new");
  await one.set("l", "value", { ...minute, tags: ["x"] });
  assert.equal(await two.getOrSet("l", { ...minute, tags: ["y"] }, () => "not"), "value");
});

test("what is stored is what the crate stores and reads", async () => {
  // `tests/value_cache/stored.rs` holds the crate to the same texts.
  const path = new URL("../value_cache/npm-values.json", import.meta.url);
  const { now, values } = JSON.parse(readFileSync(path, "utf8"));
  for (const { key, ttl, swr, sie, tags, json, bytes, stored_key, text } of values) {
    const value = bytes ? new Uint8Array(bytes) : json;
    const writes = /** @type {any[]} */ ([]);
    const own = /** @type {any} */ ({
      /** @param {string[]} command */
      command: async (command) => {
        if (command[0] === "SET") writes.push(command.slice(1, 3));
        return command[0] === "MGET" ? command.slice(1).map((name) => (name === stored_key ? text : null)) : "OK";
      },
      evaluate: async () => null,
    });
    const options = { ttl, staleWhileRevalidate: swr, ...(sie === null ? {} : { staleIfError: sie }), tags };
    await new Cache({ redis: own, now: () => now }).set(key, value, options);
    assert.deepEqual(writes, [[stored_key, text]]);
    assert.deepEqual((await new Cache({ redis: own, now: () => now }).get(key))?.value, value);
  }
});

test("a purge of many takes few calls", async () => {
  const [one, two] = worlds();
  const names = Array.from({ length: 2_000 }, (_, n) => `name ${n}`);
  await one.set(names[1_999], 1, { ...minute, tags: [names[7]] });
  const before = tap.calls;
  await one.purge({ tags: names });
  await one.purge({ keys: names });
  assert.ok(tap.calls - before <= 6, `${tap.calls - before} calls`);
  assert.equal(await two.get(names[1_999]), undefined);
});

test("a store of one's own that says anything holds up nobody", async () => {
  for (const reply of [
    undefined,
    null,
    7,
    "OK",
    [],
    [1],
    [1, null, null, 0],
    [[[]]],
    { a: 1 },
    [1, null, null, 0, "text", 1, "-"],
    [1, null, null, 0, 1, 3, "-"],
  ]) {
    const own = /** @type {any} */ ({ command: async () => reply, evaluate: async () => reply });
    const cache = new Cache({ redis: own, timeout: "5s", loadTimeout: 300 });
    assert.equal(await cache.getOrSet("k", minute, () => "loaded"), "loaded", JSON.stringify(reply));
    assert.equal(await cache.getOrSet("k", minute, () => "again"), "loaded");
    assert.equal(await cache.get("none"), undefined);
    await cache.set("s", 1, minute);
    await cache.purge({ keys: ["k"] });
    assert.equal(await cache.getOrSet("k", minute, () => "anew"), "anew");
  }
});

test("keep after the load is over changes nothing", async () => {
  const [one, two] = worlds({ loadTimeout: 50 });
  /** @type {any} */
  let late;
  await one.getOrSet("a", minute, ({ keep }) => {
    late = keep;
    return "a";
  });
  const held = gate();
  const loading = one.getOrSet("b", { ...minute, tags: ["t"] }, () => held.promise.then(() => "b"));
  await turn();
  late({ tags: ["other"] });
  await sleep(10);
  held.open();
  await loading;
  assert.equal((await until(() => two.get("b")))?.value, "b");
  await two.purge({ tags: ["t"] });
  assert.equal(await two.get("b"), undefined);
});

test("reads that end after a purge bring nothing back", async () => {
  const keyPrefix = freshPrefix();
  await shared({ keyPrefix }).set("k", "old", minute);
  const slow = tapped(new Redis({ ...store, timeout: "20s" }));
  const cache = shared({ keyPrefix, redis: slow });
  for (const read of [() => cache.get("k"), () => cache.getOrSet("k", minute, () => "new")]) {
    await shared({ keyPrefix }).set("k", "old", minute);
    const held = gate();
    slow.after = async (reply) => {
      await held.promise;
      return reply;
    };
    const calls = slow.calls;
    const reading = read();
    await until(() => slow.calls > calls);
    await sleep(20);
    slow.after = (reply) => reply;
    await cache.purge({ keys: ["k"] });
    held.open();
    await reading;
    assert.notEqual((await cache.get("k"))?.value, "old");
  }
});

test("a key that was deleted elsewhere is forgotten for good", async () => {
  const failing = tapped(new Redis({ ...store, timeout: "20s" }));
  const keyPrefix = freshPrefix();
  const [one, two] = [shared({ keyPrefix, redis: failing }), shared({ keyPrefix })];
  await one.set("k", "old", minute);
  await two.delete("k");
  await until(async () => (await one.get("k")) === undefined);
  failing.before = () => {
    throw edgeError("unreachable", false);
  };
  assert.equal(await one.get("k"), undefined);
  assert.equal(await one.getOrSet("k", minute, () => "new"), "new");
});

test("values of many keys at once reach the callers that asked", async () => {
  const [one, two] = worlds();
  const keys = Array.from({ length: 40 }, (_, n) => `key ${n}`);
  await Promise.all(keys.map((key) => one.set(key, key, minute)));
  assert.deepEqual(await Promise.all(keys.map((key) => two.getOrSet(key, minute, () => "not"))), keys);
  const three = shared({ keyPrefix: freshPrefix() });
  const loaded = await Promise.all(keys.map((key) => three.getOrSet(key, minute, async () => key)));
  assert.deepEqual(loaded, keys);
  const [four, five] = worlds();
  await Promise.all(keys.map((key) => four.set(key, key, minute)));
  const entries = await Promise.all(keys.map((key) => five.get(key)));
  assert.deepEqual(
    entries.map((entry) => entry?.value),
    keys,
  );
});

test("many large values at once are read from the store", async () => {
  const [one, two] = worlds();
  const keys = Array.from({ length: 12 }, (_, n) => `key ${n}`);
  const large = "x".repeat(1_200_000);
  await Promise.all(keys.map((key) => one.set(key, large, minute)));
  let loads = 0;
  const read = await Promise.all(keys.map((key) => two.getOrSet(key, minute, () => `${++loads}`)));
  assert.ok(read.every((value) => value === large));
  assert.equal(loads, 0);
  await one.purge({ keys });
});

test("a value that is too large for the store is loaded each time", async () => {
  const errors = /** @type {any[]} */ ([]);
  const [one, two] = worlds({ onError: (error) => void errors.push(error) });
  const huge = "x".repeat(7_000_000);
  const load = counter(() => huge);
  assert.equal((await one.getOrSet("k", minute, load)).length, huge.length);
  const started = Date.now();
  for (let n = 0; n < 4; n++) assert.equal((await two.getOrSet("k", minute, load)).length, huge.length);
  assert.ok(Date.now() - started < 15_000);
  assert.deepEqual(errors, [], "it is no failure of the store");
});

test("garbage in the store, and values of other versions, are a miss", async () => {
  const keyPrefix = freshPrefix();
  const errors = /** @type {any[]} */ ([]);
  const make = () => shared({ keyPrefix, onError: (error) => void errors.push(error) });
  const options = { ...minute, tags: ["t"] };
  const utf8 = new TextEncoder();
  const head = (/** @type {string} */ text) => `${text.split("\n")[0]}\n`;
  /** @type {((text: string) => string | Uint8Array)[]} */
  const spoil = [
    ...["", "x", "{}", "null", '{"a":"value"}'].map((garbage) => () => garbage),
    (text) => head(text).trimEnd(),
    head,
    (text) => text.slice(0, -1),
    (text) => `${text}x`,
    (text) => text.replace("value", "wrong"),
    (text) => text.replace(/^2/, "1"),
    (text) => text.replace(/^2/, "3"),
    (text) => text.replace(/^2 /, "22 "),
    () => "2 9999999999999 9999999999999 1 - -,- 9 9 9\n",
    () => "2 9999999999999 9999999999999 1 - -,- ",
    () => "2 9999999999999999999999 1 1 - -,- 1 1\n",
    (text) => new Uint8Array([...utf8.encode(text), 0xff]),
    (text) => new Uint8Array([...utf8.encode(head(text)), 0xff, 0xfe]),
    () => new Uint8Array([0xff]),
  ];
  const started = Date.now();
  for (const [n, spoiled] of spoil.entries()) {
    const known = new Set(await store.keys());
    await make().getOrSet(`k${n}`, options, () => ({ a: "value" }));
    const isNew = (/** @type {string} */ key) => key.startsWith(`${keyPrefix}:v:`) && !known.has(key);
    const key = await until(async () => (await store.keys()).find(isNew));
    const garbage = spoiled(String(await redis.command(["GET", key])));
    await redis.command(["SET", key, garbage]);
    assert.equal(await make().get(`k${n}`), undefined, `${garbage}`);
    const load = counter();
    assert.equal(await make().getOrSet(`k${n}`, options, load), "value 1", `${garbage}`);
    // It is written while the caller goes on.
    await until(async () => String(await redis.command(["GET", key])).includes("value 1"));
    assert.equal(await make().getOrSet(`k${n}`, options, load), "value 1", "it is mended");
    if (n > 0) continue;
    await redis.command(["DEL", key]);
    await redis.command(["LPUSH", key, "x"]);
    assert.equal(await make().get(`k${n}`), undefined, "a value of another type");
  }
  assert.deepEqual(errors, [], "the store does not fail");
  assert.ok(Date.now() - started < 9_000, "nobody waits for a load that is over");
});

test("a value that has gone is loaded at once", async () => {
  const [one, two] = worlds({ loadTimeout: "19s" });
  const started = Date.now();
  assert.equal(await one.getOrSet("short", { ttl: 30 }, () => 1), 1);
  await one.getOrSet("deleted", minute, () => 1);
  await one.getOrSet("purged", { ...minute, tags: ["t"] }, () => 1);
  await until(async () => (await two.get("deleted"))?.value === 1 && (await two.get("purged"))?.value === 1);
  await one.delete("deleted");
  await one.purge({ tags: ["t"] });
  await until(async () => (await one.get("short")) === undefined);
  for (const key of ["short", "deleted", "purged"]) {
    assert.equal(await one.getOrSet(key, { ...minute, tags: ["t"] }, () => 2), 2, key);
  }
  assert.ok(Date.now() - started < 15_000, "nobody waits for a load that is over");
});

test("while the store hangs or refuses, loads go on and onError hears", async (t) => {
  t.after(() => {
    tap.fault = null;
  });
  for (const fault of /** @type {const} */ (["hang", "reset", "nonsense", 500, 401, 429])) {
    const errors = /** @type {any[]} */ ([]);
    const cache = new Cache({
      ...{ redis: new Redis(store), keyPrefix: freshPrefix(), timeout: 60 },
      onError: (error) => void errors.push(error),
    });
    tap.fault = fault;
    const load = counter();
    assert.equal(await cache.getOrSet("k", minute, load), "value 1", `${fault}`);
    assert.ok(errors.length >= 1, `${fault}`);
    for (let n = 0; n < 5; n++) assert.equal(await cache.getOrSet("k", minute, load), "value 1");
    assert.equal((await cache.get("k"))?.value, "value 1");
    for (let n = 0; n < 5; n++) await cache.getOrSet(`k${n}`, minute, load);
    assert.equal(load.calls, 6);
    assert.ok(errors.length <= 12, `${errors.length} errors: the store is not asked each time`);
    for (const error of errors) {
      assert.ok(error instanceof edge.EdgeError);
      assert.ok(!error.message.includes(store.token));
    }
    await fails(cache.set("k", 1, minute), errors[0].code === "timeout" ? "timeout" : errors[0].code).catch(() => {});
    await rejection(cache.purge({ keys: ["k"] }));
    assert.equal(await cache.getOrSet("k", minute, load), "value 7", "purged here all the same");
    tap.fault = null;
  }
});

test("get does not wait for a store that is known to fail", async () => {
  const slow = tapped(hangingStore);
  const cache = new Cache({ redis: slow, timeout: 30 });
  for (let n = 0; n < 20; n++) assert.equal(await cache.get(`k${n}`), undefined);
  assert.ok(slow.calls <= 4, `${slow.calls} calls`);
});

test("a store that comes back is used again", async () => {
  const [one, two] = worlds();
  await one.getOrSet("k", minute, () => "before");
  await server.kill();
  assert.equal(await one.getOrSet("other", minute, () => "meanwhile"), "meanwhile");
  await server.restart();
  await until(async () => {
    await one.getOrSet("third", { ttl: 1 }, () => "x");
    await one.set("back", 1, minute);
    return (await two.get("back"))?.value === 1;
  });
});

test("a caller's own functions that throw harm no call", async (t) => {
  const said = t.mock.method(console, "error", () => {});
  const throws = () => {
    throw new Error("mine");
  };
  const cache = new Cache({ redis: hangingStore, timeout: 20, onError: throws, waitUntil: throws });
  assert.equal(await cache.getOrSet("k", minute, () => 1), 1);
  assert.equal(await cache.getOrSet("k", minute, () => 2), 1);
  await until(() => said.mock.callCount() >= 3);
  await sleep(60);
});

test("what is held here is bounded", async () => {
  const cache = local({ l1Size: 100_000 });
  for (let n = 0; n < 500; n++) await cache.set(`k${n}`, "x".repeat(1_000), minute);
  let held = 0;
  for (let n = 0; n < 500; n++) held += (await cache.get(`k${n}`)) ? 1 : 0;
  assert.ok(held > 20 && held <= 100, `${held} are held`);
  await cache.set("large", "x".repeat(60_000), minute);
  assert.equal(await cache.get("large"), undefined, "one value does not displace most others");
  const none = local({ l1Size: 0 });
  const load = counter();
  await none.getOrSet("k", minute, load);
  await none.getOrSet("k", minute, load);
  assert.equal(load.calls, 2);
  const [one, two] = worlds({ l1Size: 0 });
  await one.set("k", "v", minute);
  assert.equal((await two.get("k"))?.value, "v", "the store has it");
  assert.equal(await two.getOrSet("k", minute, () => "not"), "v");
});

test("subjects of any spelling are keys of their own", async () => {
  const [one, two] = worlds();
  const keys = [
    "",
    " ",
    "a\n",
    "a\nb",
    "\u0000",
    "ä",
    "a\u0308",
    "🦀",
    "__proto__",
    "constructor",
    "x".repeat(100_000),
  ];
  for (const key of keys) await one.set(key, key, minute);
  for (const key of keys) {
    assert.equal((await one.get(key))?.value, key);
    assert.equal((await two.get(key))?.value, key);
  }
  for (const key of await store.keys()) assert.ok(!key.includes("constructor"), "keys stand there as digests");
  await fails(one.get("\ud800"), "config", false);
});

test("a wrong option or argument names its field", async () => {
  for (const [options, field] of /** @type {[any, string][]} */ ([
    [{ l1Size: -1 }, "l1Size"],
    [{ l1Size: 1.5 }, "l1Size"],
    [{ keyPrefix: "a:b" }, "keyPrefix"],
    [{ timeout: 0 }, "timeout"],
    [{ loadTimeout: "x" }, "loadTimeout"],
    [{ redis: {} }, "redis"],
    [{ waitUntil: 1 }, "waitUntil"],
    [{ now: 1 }, "now"],
    [{ onError: 1 }, "onError"],
  ])) {
    const error = await fails(() => new Cache(options), "config", false);
    assert.ok(error.message.startsWith(`${field}: `), error.message);
  }
  const cache = /** @type {any} */ (local());
  const load = () => 1;
  for (const [call, field] of /** @type {[() => any, string][]} */ ([
    [() => cache.getOrSet(7, minute, load), "key"],
    [() => cache.getOrSet("k", undefined, load), "options"],
    [() => cache.getOrSet("k", {}, load), "ttl"],
    [() => cache.getOrSet("k", { ttl: -1 }, load), "ttl"],
    [() => cache.getOrSet("k", { ttl: "x" }, load), "ttl"],
    [() => cache.getOrSet("k", { ttl: 1, staleWhileRevalidate: "x" }, load), "staleWhileRevalidate"],
    [() => cache.getOrSet("k", { ttl: 1, staleIfError: {} }, load), "staleIfError"],
    [() => cache.getOrSet("k", { ttl: 1, tags: "t" }, load), "tags"],
    [() => cache.getOrSet("k", { ttl: 1, tags: [""] }, load), "tags"],
    [() => cache.getOrSet("k", { ttl: 1, tags: [1] }, load), "tags"],
    [() => cache.getOrSet("k", minute), "load"],
    [() => cache.getOrSet("k", minute, () => 7n), "value"],
    [() => cache.getOrSet("k", minute, () => () => 1), "value"],
    [() => cache.get(), "key"],
    [() => cache.set("k", undefined, minute), "value"],
    [() => cache.set("k", 1), "options"],
    [() => cache.delete(), "key"],
    [() => cache.purge(), "purge"],
    [() => cache.purge({}), "purge"],
    [() => cache.purge({ tags: ["a"], keys: ["b"] }), "purge"],
    [() => cache.purge({ tags: "a" }), "tags"],
    [() => cache.purge({ keys: [1] }), "key"],
    [() => cache.purge({ keys: 1 }), "keys"],
    [() => cache.purge({ keys: "abc" }), "keys"],
  ])) {
    const error = await fails(call, "config", false);
    assert.ok(error.message.startsWith(field), `${field}: ${error.message}`);
  }
});

test("a value lives by its cache's clock", async () => {
  const time = clock(T0);
  const cache = local({ now: time.now });
  await cache.set("k", "v", { ttl: "1h" });
  time.pass(3_599_999);
  assert.deepEqual(await cache.get("k"), { value: "v", age: 3_599_999, fresh: true });
  time.pass(1);
  assert.equal(await cache.get("k"), undefined);
});
