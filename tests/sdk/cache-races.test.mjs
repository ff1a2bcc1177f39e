/**
 * The value cache when things happen at once: purges, sets and loads, here and in other processes,
 * and who may load meanwhile.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { clock, edge, edgeError, freshPrefix, gate, hangingStore, startStore, tapped, turn, until } from "./kit.mjs";

/** @import { CacheOptions, EntryOptions, LoadContext } from "@omnitrade/edge" */

const { Cache, Redis } = edge;
const { store } = await startStore();
const client = () => tapped(new Redis({ ...store, timeout: "20s" }));

/** A cache of a process of its own. @param {CacheOptions} options */
const shared = (options) => new Cache({ redis: client(), timeout: "20s", ...options });

const minute = /** @type {const} */ ({ ttl: "1m" });
const tagged = { ...minute, tags: ["t"] };

/** A loader that is held up, and what it brings. @param {unknown} value */
function slowly(value) {
  const [begun, held] = [gate(), gate()];
  const load = Object.assign(
    async () => {
      load.calls++;
      begun.open();
      await held.promise;
      return value;
    },
    { calls: 0, begun: begun.promise, end: held.open },
  );
  return load;
}

/** @typedef {InstanceType<typeof Cache>} AnyCache */

/**
 * What ends what was begun before it.
 * @type {Record<string, (cache: AnyCache) => Promise<void>>}
 */
const ends = {
  "a purge of its tag": (cache) => cache.purge({ tags: ["t"] }),
  "a purge of its key": (cache) => cache.purge({ keys: ["k"] }),
  "a delete": (cache) => cache.delete("k"),
};

for (const [where, make] of /** @type {const} */ ([
  ["here", (/** @type {CacheOptions} */ options) => new Cache(options)],
  ["with a store", (/** @type {CacheOptions} */ options) => shared({ keyPrefix: freshPrefix(), ...options })],
])) {
  for (const [what, end] of Object.entries(ends)) {
    test(`who comes after ${what} joins no load from before: ${where}`, async () => {
      for (const isAwaited of [true, false]) {
        const cache = make({});
        await cache.set("k", "stale", { ttl: 1, staleIfError: "1m", tags: ["old"] });
        await sleep(5);
        const old = slowly("old");
        const loading = cache.getOrSet("k", tagged, old);
        await old.begun;
        const waiting = cache.getOrSet("k", tagged, () => "mine");
        const ending = end(cache);
        if (isAwaited) await ending;
        const later = cache.getOrSet("k", tagged, () => "new");
        await sleep(20);
        old.end();
        assert.equal(await later, "new");
        assert.equal(await loading, "old", "it was asked for before");
        assert.ok(["old", "mine", "new"].includes(await waiting));
        await ending;
        await turn();
        assert.equal((await cache.get("k"))?.value, "new");
      }
    });
  }

  test(`a value that was set is not lost to a load from before: ${where}`, async () => {
    for (const options of [{}, { l1Size: 0 }]) {
      const cache = make(options);
      const old = slowly("old");
      const loading = cache.getOrSet("k", tagged, old);
      await old.begun;
      await cache.set("k", "set", tagged);
      const isKept = where !== "here" || options.l1Size !== 0;
      const later = cache.getOrSet("k", tagged, () => "loaded");
      await sleep(20);
      old.end();
      assert.equal(await later, isKept ? "set" : "loaded");
      assert.equal(await loading, "old");
      await sleep(20);
      if (isKept) assert.equal((await cache.get("k"))?.value, "set");
    }
  });

  test(`a failed load brings nothing that was purged to who comes later: ${where}`, async () => {
    const cache = make({});
    await cache.set("k", "stale", { ttl: 1, staleWhileRevalidate: "1m", tags: ["old"] });
    await sleep(5);
    const [begun, held] = [gate(), gate()];
    const fails = async () => {
      begun.open();
      await held.promise;
      throw new Error("down");
    };
    assert.equal(await cache.getOrSet("k", minute, fails), "stale");
    await begun.promise;
    await cache.purge({ tags: ["old"] });
    const later = cache.getOrSet("k", minute, () => "new");
    await sleep(20);
    held.open();
    assert.equal(await later, "new");
  });

  test(`a tag that is named after its purge is purged all the same: ${where}`, async () => {
    const cache = make({});
    const [begun, purged] = [gate(), gate()];
    const loading = cache.getOrSet("k", minute, async ({ keep }) => {
      begun.open();
      await purged.promise;
      keep({ tags: ["late"] });
      return "old";
    });
    await begun.promise;
    await cache.purge({ tags: ["late"] });
    const later = cache.getOrSet("k", minute, () => "new");
    await sleep(5);
    purged.open();
    assert.equal(await loading, "old");
    assert.equal(await later, "new");
    assert.equal((await cache.get("k"))?.value, "new");
  });
}

test("from the call of a purge on, nothing older is read from the store", async () => {
  for (const what of [{ tags: ["t"] }, { keys: ["k"] }]) {
    const [keyPrefix, link, held] = [freshPrefix(), client(), gate()];
    await shared({ keyPrefix }).set("k", "old", tagged);
    const cache = shared({ keyPrefix, redis: link });
    // Its commands are on their way for a while.
    link.before = ([name]) => (name === "SET" || name === "DEL") && held.promise;
    const purging = cache.purge(what);
    assert.equal(await cache.get("k"), undefined);
    const loading = cache.getOrSet("k", tagged, () => "new");
    await sleep(50);
    held.open();
    assert.equal(await loading, "new");
    await purging;
    assert.notEqual((await cache.get("k"))?.value, "old");
  }
});

test("a set after a purge that nobody waited for is kept", async () => {
  const cache = shared({ keyPrefix: freshPrefix() });
  await cache.set("k", "old", tagged);
  const purging = cache.purge({ tags: ["t"] });
  await cache.set("k", "new", tagged);
  assert.equal((await cache.get("k"))?.value, "new");
  await purging;
});

test("a purge while the epochs for a set are read makes it void", async () => {
  const [keyPrefix, link, held] = [freshPrefix(), client(), gate()];
  const cache = shared({ keyPrefix, redis: link });
  link.after = async (reply, [name]) => {
    if (name === "MGET") await held.promise;
    return reply;
  };
  const setting = cache.set("k", "old", tagged);
  await until(() => link.calls > 0);
  await sleep(30);
  await cache.purge({ tags: ["t"] });
  held.open();
  await setting;
  assert.equal(await cache.get("k"), undefined);
});

test("a purge during a load is seen whatever tags were remembered", async () => {
  for (const isLate of [false, true]) {
    const [keyPrefix, link] = [freshPrefix(), client()];
    const [one, two] = [shared({ keyPrefix, redis: link }), shared({ keyPrefix })];
    await one.set("k", "stale", { ttl: 1, staleIfError: "1m", tags: ["old"] });
    await sleep(5);
    const load = async (/** @type {LoadContext} */ { keep }) => {
      await two.purge({ tags: ["t", "old"] });
      keep({ tags: [isLate ? "old" : "t"] });
      return "loaded";
    };
    const options = isLate ? minute : tagged;
    assert.equal(await one.getOrSet("k", options, load), "loaded");
    await sleep(30);
    assert.equal(await two.get("k"), undefined, `named late: ${isLate}`);
  }
});

test("a slow load is none for who comes after a purge elsewhere", async () => {
  for (const what of [{ tags: ["t"] }, { keys: ["k"] }]) {
    const [keyPrefix, time] = [freshPrefix(), clock(Date.now())];
    const [one, two] = [1, 2].map(() => shared({ keyPrefix, now: time.now }));
    const old = slowly("old");
    const loading = two.getOrSet("k", tagged, old);
    await old.begun;
    await one.purge(what);
    time.pass(1_001);
    const later = two.getOrSet("k", tagged, () => "new");
    await sleep(20);
    old.end();
    assert.equal(await loading, "old");
    assert.equal(await later, "new");
  }
});

test("a slow load is for all who come while nothing is purged", async () => {
  const [time, link] = [clock(Date.now()), client()];
  const cache = shared({ keyPrefix: freshPrefix(), redis: link, now: time.now });
  const load = slowly("value");
  const calls = [];
  for (let n = 0; n < 20; n++) {
    calls.push(cache.getOrSet("k", minute, load));
    await load.begun;
    time.pass(150);
  }
  load.end();
  assert.deepEqual(new Set(await Promise.all(calls)), new Set(["value"]));
  assert.equal(load.calls, 1);
  assert.ok(link.calls < 10, `${link.calls} calls`);
});

test("what another load learns late is not taken for what one began with", async () => {
  const [keyPrefix, link, held] = [freshPrefix(), client(), gate()];
  const cache = shared({ keyPrefix, redis: link });
  await cache.delete("a");
  link.after = async (reply, [name]) => {
    if (name === "MGET") await held.promise;
    return reply;
  };
  const failing = cache.getOrSet("a", minute, ({ keep }) => {
    keep({ tags: ["late"] });
    throw new Error("down");
  });
  await assert.rejects(failing, /down/);
  const other = slowly("value");
  const loading = cache.getOrSet("b", minute, other);
  await other.begun;
  held.open();
  await sleep(50);
  other.end();
  await loading;
  assert.equal((await until(() => shared({ keyPrefix }).get("b")))?.value, "value");
});

/**
 * Several processes that want one value at the same time, and how many of them load at once.
 * @param {AnyCache[]} caches
 * @param {EntryOptions & { schema?: any }} options
 * @param {(n: number) => unknown} make
 */
async function loadsAtOnce(caches, options, make) {
  let [now, most, calls] = [0, 0, 0];
  const load = async () => {
    calls++;
    most = Math.max(most, ++now);
    await sleep(60);
    now--;
    return make(calls);
  };
  const values = await Promise.all(caches.map((cache) => cache.getOrSet("k", options, load)));
  return { values, most, calls };
}

test("what grows stale on its way from the store is loaded with the lease", async () => {
  for (const grace of [{ staleIfError: "1m" }, { staleWhileRevalidate: "1m" }, {}]) {
    const [keyPrefix, time] = [freshPrefix(), clock(Date.now())];
    const options = /** @type {EntryOptions} */ ({ ttl: 1_000, ...grace });
    const links = [client(), client(), client()];
    const caches = links.map((redis) => shared({ keyPrefix, redis, now: time.now, l1Size: 0 }));
    // Their clocks agree with the store's.
    await Promise.all(caches.map((cache) => cache.getOrSet("first", options, () => 1)));
    await caches[0].set("k", "old", options);
    time.pass(999);
    const all = gate();
    let answers = 0;
    for (const link of links) {
      link.after = async (reply) => {
        if (++answers === links.length) {
          time.pass(1);
          all.open();
        }
        await all.promise;
        return reply;
      };
    }
    const { values, most } = await loadsAtOnce(caches, options, () => "new");
    await until(async () => (await caches[0].get("k"))?.value === "new");
    assert.ok(most <= 1, `${most} loads at once`);
    if (!("staleWhileRevalidate" in grace)) assert.deepEqual(new Set(values), new Set(["new"]));
  }
});

test("what a schema refuses is loaded by one at a time", async () => {
  const keyPrefix = freshPrefix();
  const caches = [1, 2, 3].map(() => shared({ keyPrefix }));
  const schema = {
    "~standard": {
      validate: (/** @type {any} */ value) => (value.version === 2 ? { value } : { issues: [{ message: "old" }] }),
    },
  };
  await caches[0].set("k", { version: 1 }, minute);
  const { most, calls } = await loadsAtOnce(caches, { ...minute, schema }, () => ({ version: 2 }));
  assert.deepEqual([most, calls], [1, 1]);
});

test("garbage in the store is loaded by one at a time", async () => {
  const [keyPrefix, redis] = [freshPrefix(), client()];
  const caches = [1, 2, 3].map(() => shared({ keyPrefix }));
  await caches[0].set("k", "value", minute);
  const key = (await store.keys()).find((/** @type {string} */ name) => name.startsWith(`${keyPrefix}:v:`));
  const text = String(await redis.command(["GET", String(key)]));
  await redis.command(["SET", String(key), `${text}garbage`]);
  const others = caches.map(() => shared({ keyPrefix }));
  const { most, calls } = await loadsAtOnce(others, minute, () => "loaded");
  assert.deepEqual([most, calls], [1, 1]);
});

test("within a load, a store that fails is waited for once", async () => {
  for (const options of [minute, tagged]) {
    for (const late of [[], ["late"]]) {
      const link = tapped(hangingStore);
      const cache = new Cache({ redis: link, timeout: 40 });
      let before = 0;
      const load = async (/** @type {LoadContext} */ { keep }) => {
        before = link.calls;
        if (late.length > 0) keep({ tags: late });
        return "value";
      };
      assert.equal(await cache.getOrSet("k", options, load), "value");
      const names = link.seen.map(({ name }) => name);
      assert.deepEqual([before, names.filter((name) => name === "MGET")], [1, []]);
    }
  }
});

test("within a load, epochs that cannot be read are asked for once", async () => {
  const [keyPrefix, link] = [freshPrefix(), client()];
  await shared({ keyPrefix }).set("k", "old", { ttl: 1, staleIfError: "1m", tags: ["x"] });
  await sleep(5);
  const cache = shared({ keyPrefix, redis: link });
  link.before = ([name]) => {
    if (name === "MGET") throw edgeError("unreachable", false);
  };
  const load = (/** @type {LoadContext} */ { keep }) => {
    keep({ tags: ["late"] });
    return "value";
  };
  assert.equal(await cache.getOrSet("k", tagged, load), "value");
  assert.equal(link.seen.filter(({ name }) => name === "MGET").length, 1);
  link.before = () => {};
  await sleep(30);
  assert.notEqual((await shared({ keyPrefix }).get("k"))?.value, "value", "it is not kept there");
});
