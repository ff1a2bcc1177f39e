/** The limiter over a real Redis: counted together, in few calls, and what is left if it fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  choices,
  clock,
  edge,
  edgeError,
  fails,
  freshPrefix,
  gate,
  hangingStore,
  rejection,
  seed,
  startStore,
  tapped,
  times,
  turn,
  until,
} from "./kit.mjs";

/** @import { LimiterOptions, LimitResult, Store } from "@omnitrade/edge" */

const { RateLimiter, Redis, EdgeError } = edge;
const { redis: server, tap, store } = await startStore();

/** Each is a process of its own: none knows what another remembers. */
const world = () => new Redis({ ...store, timeout: "20s" });

/** @param {Partial<LimiterOptions>} options */
const make = (options) =>
  new RateLimiter({ quota: 5, window: "1m", timeout: "20s", redis: world(), keyPrefix: freshPrefix(), ...options });

/** A clock near the store's, which decides whose is wrong. */
const near = () => clock(Date.now());

test("several processes count together, and refuse together", async () => {
  const keyPrefix = freshPrefix();
  const [one, two] = [make({ keyPrefix }), make({ keyPrefix })];
  for (let n = 4; n >= 0; n--) {
    const result = await (n % 2 ? one : two).limit("a");
    assert.deepEqual([result.success, result.remaining, result.source], [true, n, "redis"]);
    assert.equal(result.reason, undefined);
  }
  for (const limiter of [one, two]) {
    const refused = await limiter.limit("a");
    assert.deepEqual([refused.success, refused.remaining, refused.source], [false, 0, "redis"]);
    const again = limiter.limitNow("a");
    assert.deepEqual([again?.success, again?.source, again?.reason], [false, "blocked", "cacheBlock"]);
    assert.ok(Math.abs(Number(again?.reset) - refused.reset) <= 1);
  }
});

test("random calls of two processes never exceed the quota", async (t) => {
  const number = seed();
  t.diagnostic(`SEED=${number}`);
  const pick = choices(number);
  for (let run = 0; run < times(8); run++) {
    const keyPrefix = freshPrefix();
    const [window, quota] = [pick.one([40, 200, 400]), pick.between(1, 10)];
    const limiters = [1, 2].map(() => make({ keyPrefix, window, quota, name: "n" }));
    const taken = /** @type {{ from: number, to: number, cost: number }[]} */ ([]);
    await Promise.all(
      pick.list(40, async () => {
        await new Promise((resolve) => setTimeout(resolve, pick.between(0, 600)));
        const cost = pick.between(0, 3);
        const from = Date.now();
        const { success, remaining } = await pick.one(limiters).limit("a", { cost });
        assert.ok(remaining >= 0 && remaining <= quota);
        if (success) taken.push({ from, to: Date.now(), cost });
      }),
    );
    for (const { from } of taken) {
      // Those that certainly lie in the window that begins now.
      const within = taken.filter((other) => other.from >= from && other.to < from + window);
      const sum = within.reduce((sum, { cost }) => sum + cost, 0);
      assert.ok(sum <= quota, `${sum} of ${quota} in ${window} ms`);
    }
  }
});

test("at its reset a refused call passes, a millisecond before it does not", async () => {
  const keyPrefix = freshPrefix();
  for (const window of /** @type {const} */ ([30, 300, 600])) {
    const time = near();
    const limiter = make({ keyPrefix, window, quota: 2, now: time.now, name: `w${window}` });
    await limiter.limit("a");
    time.pass(3);
    await limiter.limit("a");
    const refused = await limiter.limit("a");
    assert.deepEqual([refused.success, refused.reset - time.at], [false, refused.retryAfter]);
    time.at = refused.reset - 1;
    // Another process, which remembers nothing, asks the store.
    const other = () => make({ keyPrefix, window, quota: 2, now: time.now, name: `w${window}` });
    for (const each of [limiter, other()]) {
      const early = await each.limit("a");
      assert.deepEqual([early.success, early.reset], [false, refused.reset]);
    }
    time.at = refused.reset;
    assert.equal((await limiter.peek("a")).success, true);
    const passes = await limiter.limit("a");
    assert.deepEqual([passes.success, passes.source], [true, "redis"]);
  }
});

test("a decision is one call, a remembered refusal none", async () => {
  const limiter = make({ quota: 2 });
  const before = tap.calls;
  await limiter.limit("a");
  assert.equal(tap.calls - before, 1);
  await limiter.limit("a", { cost: 1 });
  assert.equal((await limiter.limit("a")).success, false);
  assert.equal(tap.calls - before, 3);
  for (let n = 0; n < 10; n++) assert.equal((await limiter.limit("a")).source, "blocked");
  assert.equal(limiter.limitNow("b"), undefined, "memory knows nothing");
  assert.equal(tap.calls - before, 3);
  const higher = await limiter.limit("a", { quota: 10 });
  assert.deepEqual([higher.success, higher.remaining], [true, 7], "a refusal is one of that quota");
});

test("limitAll takes from all or from none, in one call", async () => {
  const redis = world();
  const keyPrefix = freshPrefix();
  const [user, ip, shadow] = [
    make({ redis, keyPrefix, name: "user", quota: 5 }),
    make({ redis, keyPrefix, name: "ip", quota: 3 }),
    make({ redis, keyPrefix, name: "shadow", quota: 1, mode: "shadow" }),
  ];
  const all = (/** @type {number} */ cost) =>
    RateLimiter.limitAll([
      [user, "a", { cost }],
      [ip, "x", { cost }],
      [shadow, "s"],
    ]);
  const before = tap.calls;
  const passed = await all(2);
  assert.deepEqual([passed.success, passed.results.map(({ remaining }) => remaining)], [true, [3, 1, 0]]);
  assert.deepEqual(
    passed.results.map(({ policy }) => policy),
    ['"user";q=5;w=60', '"ip";q=3;w=60', '"shadow";q=1;w=60'],
  );
  const refused = await all(2);
  assert.equal(tap.calls - before, 2);
  assert.deepEqual([refused.success, refused.results.map(({ success }) => success)], [false, [true, false, true]]);
  assert.deepEqual(
    refused.results.map(({ remaining }) => remaining),
    [3, 1, 0],
  );
  assert.ok(refused.results[1].retryAfter > 0);
  assert.equal((await user.peek("a")).remaining, 3, "nothing was taken");
  const last = await all(1);
  assert.deepEqual([last.success, last.results[2].success, last.results[2].shadowed], [true, true, true]);
});

test("two charges on one state count together in the store, too", async () => {
  const limiter = make({ quota: 5 });
  const twice = (/** @type {number} */ cost) =>
    RateLimiter.limitAll([
      [limiter, "a", { cost }],
      [limiter, "a", { cost }],
    ]);
  const refused = await twice(3);
  assert.equal(refused.success, false);
  assert.equal((await limiter.peek("a")).remaining, 5);
  assert.equal((await twice(2)).success, true);
  assert.equal((await limiter.peek("a")).remaining, 1);
});

test("limiters of several stores are not taken together", async () => {
  const [one, two] = [make({}), make({})];
  const local = new RateLimiter({ quota: 1, window: "1m" });
  for (const pair of [
    [one, two],
    [one, local],
  ]) {
    await fails(RateLimiter.limitAll(pair.map((limiter) => /** @type {const} */ ([limiter, "a"]))), "config", false);
  }
  assert.equal((await one.peek("a")).remaining, 5);
});

test("limiters of one store with other deadlines are one call, too", async () => {
  const redis = world();
  const keyPrefix = freshPrefix();
  const pair = [
    make({ redis, keyPrefix, name: "one", quota: 1 }),
    make({ redis, keyPrefix, name: "two", quota: 1, timeout: "19s" }),
  ];
  const both = () => RateLimiter.limitAll(pair.map((limiter) => /** @type {const} */ ([limiter, "a"])));
  const before = tap.calls;
  assert.equal((await both()).success, true);
  assert.equal(tap.calls - before, 1);
  assert.equal((await both()).success, false);
});

test("peek, refund and reset see what all processes count", async () => {
  const keyPrefix = freshPrefix();
  const [one, two] = [make({ keyPrefix }), make({ keyPrefix })];
  const look = async () => (await two.peek("a")).remaining;
  assert.equal(await look(), 5);
  await one.limit("a", { cost: 5 });
  assert.deepEqual([await look(), (await two.peek("a")).success], [0, false]);
  assert.equal((await one.limit("a")).success, false);
  await one.refund("a", 2);
  assert.equal(await look(), 2);
  assert.equal((await one.limit("a")).success, true, "the remembered refusal is forgotten");
  await two.refund("a", 100);
  assert.equal(await look(), 5);
  await one.limit("a", { cost: 5 });
  await two.reset("a");
  assert.equal(await look(), 5);
  assert.equal((await one.peek("a", { quota: 9 })).remaining, 9);
});

test("answers that come together reach the callers that asked", async () => {
  const limiter = make({ quota: 1_000 });
  const ids = Array.from({ length: 30 }, (_, n) => n);
  const limited = await Promise.all(ids.map((n) => limiter.limit(`${n}`, { cost: n })));
  assert.deepEqual(
    limited.map(({ remaining }) => remaining),
    ids.map((n) => 1_000 - n),
  );
  const seen = await Promise.all(ids.map((n) => limiter.peek(`${n}`)));
  assert.deepEqual(
    seen.map(({ remaining }) => remaining),
    ids.map((n) => 1_000 - n),
  );
  const local = new RateLimiter({ quota: 1_000, window: "1m" });
  for (const n of ids) await local.limit(`${n}`, { cost: n });
  const peeked = await Promise.all(ids.map((n) => local.peek(`${n}`)));
  assert.deepEqual(
    peeked.map(({ remaining }) => remaining),
    ids.map((n) => 1_000 - n),
  );
});

test("a callback that asks a limiter changes no result", async () => {
  const other = new RateLimiter({ quota: 77, window: "1m" });
  const ask = () => void other.limitNow("x", { cost: 7 });
  const redis = world();
  const keyPrefix = freshPrefix();
  const [one, two] = [
    make({ redis, keyPrefix, name: "one", quota: 5, onDecision: ask }),
    make({ redis, keyPrefix, name: "two", quota: 9, onDecision: ask }),
  ];
  const both = await RateLimiter.limitAll([
    [one, "a"],
    [two, "a"],
  ]);
  assert.deepEqual(
    both.results.map(({ limit, remaining }) => [limit, remaining]),
    [
      [5, 4],
      [9, 8],
    ],
  );
  const failing = make({ redis: hangingStore, timeout: 20, quota: 10, onError: ask });
  const result = await failing.limit("a");
  assert.deepEqual([result.limit, result.source], [10, "local"]);
});

test("with leases a busy subject asks the store now and then", async () => {
  const work = /** @type {Promise<unknown>[]} */ ([]);
  const keyPrefix = freshPrefix();
  const time = near();
  const options = { keyPrefix, quota: 1_000, window: /** @type {const} */ ("1m"), now: time.now };
  const limiter = make({ ...options, strategy: "lease", waitUntil: (each) => void work.push(each) });
  const before = tap.calls;
  let fromMemory = 0;
  for (let n = 1; n <= 300; n++) {
    if (n % 2 === 0) time.pass(1);
    const result = await limiter.limit("a");
    assert.equal(result.success, true);
    assert.equal(result.remaining, 1_000 - n);
    if (result.source === "lease") fromMemory++;
    else assert.equal(result.source, "redis");
    await result.pending;
  }
  const calls = tap.calls - before;
  assert.ok(calls <= 40, `${calls} calls`);
  assert.ok(fromMemory >= 260, `${fromMemory} from memory`);
  assert.ok(work.length > 0, "pending work is registered");
  // No other process may count more than is left.
  const { remaining } = await make(options).peek("a");
  assert.ok(remaining <= 700 && remaining >= 300, `${remaining}`);
});

test("leases of two processes never exceed the quota together", async (t) => {
  const number = seed();
  t.diagnostic(`SEED=${number}`);
  const pick = choices(number);
  for (let run = 0; run < times(3); run++) {
    const [time, keyPrefix] = [near(), freshPrefix()];
    const [window, quota] = [2_000, pick.between(20, 200)];
    const pair = [1, 2].map(() => make({ keyPrefix, window, quota, name: "n", strategy: "lease", now: time.now }));
    // With the first call a process compares its clock with the store's.
    for (const limiter of pair) await limiter.limit("b");
    const taken = /** @type {number[]} */ ([]);
    let leased = 0;
    for (let call = 0; call < 1_000; call++) {
      time.pass(pick.between(0, 10));
      const limiter = pick.one(pair);
      const result = limiter.limitNow("a") ?? (await limiter.limit("a"));
      await result.pending;
      if (result.success) taken.push(time.at);
      if (result.source === "lease") leased++;
      const within = taken.filter((at) => at > time.at - window).length;
      assert.ok(within <= quota, `${within} of ${quota}`);
    }
    assert.ok(leased > 0 && taken.length >= quota, `${taken.length} passed, ${leased} by leases`);
  }
});

test("pending work is given to waitUntil, and settles", async () => {
  const work = /** @type {Promise<unknown>[]} */ ([]);
  const limiter = make({ quota: 100_000, strategy: "lease", waitUntil: (each) => void work.push(each) });
  let pending = 0;
  for (let n = 0; n < 200; n++) {
    const result = limiter.limitNow("a") ?? (await limiter.limit("a"));
    if (work.includes(result.pending)) pending++;
    assert.equal(await result.pending, undefined);
  }
  assert.ok(pending > 0);
});

test("a burst of one subject takes a handful of calls, and the quota", async () => {
  for (const [burst, quota] of [
    [100, 100],
    [100, 1_000],
    [100, 30],
    [1, 1],
  ]) {
    const redis = tapped(world());
    const limiter = make({ redis, quota });
    const results = await Promise.all(Array.from({ length: burst }, () => limiter.limit("a")));
    const passed = results.filter(({ success }) => success).length;
    assert.equal(passed, Math.min(burst, quota));
    assert.ok(redis.calls <= 8, `${redis.calls} calls for ${burst} of ${quota}`);
    assert.ok(results.every(({ source }) => source === "redis" || source === "blocked"));
  }
});

test("who is called off while it waits is answered at once", async () => {
  const redis = tapped(world());
  redis.before = () => new Promise((resolve) => setTimeout(resolve, 400));
  const limiter = make({ redis, quota: 100 });
  const first = limiter.limit("a");
  const off = new AbortController();
  const others = Array.from({ length: 10 }, () => limiter.limit("a", { signal: off.signal }));
  setTimeout(() => off.abort(), 50);
  const started = performance.now();
  const results = await Promise.all(others);
  assert.ok(performance.now() - started < 300, "they have waited");
  assert.ok(results.every(({ source }) => source === "local"));
  assert.equal((await first).source, "redis");
});

/**
 * Takes ten permits at a time until they come from a lease, and returns how many.
 * @param {InstanceType<typeof RateLimiter>} limiter
 */
async function untilLeased(limiter) {
  let taken = 0;
  for (let source = ""; source !== "lease"; taken += 10) {
    assert.ok(taken < 500, "nothing was fetched ahead");
    const result = await limiter.limit("a", { cost: 10 });
    await result.pending;
    source = result.source;
  }
  return taken;
}

test("unspent permits come back before what was spent leaves the window", async () => {
  const keyPrefix = freshPrefix();
  const options = { keyPrefix, quota: 1_000, window: /** @type {const} */ ("30s"), name: "n" };
  const limiter = make({ ...options, strategy: "lease" });
  const other = make(options);
  const started = Date.now();
  const taken = await untilLeased(limiter);
  const left = async () => (await other.peek("a")).remaining;
  await until(async () => (await left()) === 1_000 - taken, { within: 28_000, every: 100 });
  assert.ok(Date.now() - started < 29_500);
});

test("unspent permits come back although the clock was set back meanwhile", async () => {
  const keyPrefix = freshPrefix();
  const options = { keyPrefix, quota: 1_000, window: /** @type {const} */ ("30s"), name: "n" };
  let back = 0;
  const limiter = make({ ...options, strategy: "lease", now: () => Date.now() - back });
  const other = make(options);
  const taken = await untilLeased(limiter);
  back = 100;
  const left = async () => (await other.peek("a")).remaining;
  await until(async () => (await left()) === 1_000 - taken, { within: 28_000, every: 100 });
});

test("a lost reply is asked for again, and counted once", async () => {
  const limiter = make({ quota: 10, redis: new Redis({ ...store, timeout: "20s" }) });
  for (let left = 9; left >= 5; left--) {
    tap.fault = null;
    let cut = true;
    const redis = tapped(world());
    redis.after = (reply) => {
      if (!cut) return reply;
      cut = false;
      throw edgeError("unreachable", true);
    };
    const once = new RateLimiter({
      ...{ quota: 10, window: "1m", name: "lost", timeout: "20s" },
      ...{ redis, keyPrefix: `${store.token.slice(0, 8)}` },
    });
    const result = await once.limit("a");
    assert.deepEqual([result.success, result.remaining, result.source], [true, left, "redis"]);
    assert.equal(redis.calls, 2);
  }
  assert.equal((await limiter.peek("a")).remaining, 10);
});

test("a connection that is reset is tried again, and counts once", async () => {
  const limiter = make({ quota: 10 });
  await limiter.limit("a");
  tap.fault = "reset";
  const before = tap.calls;
  const result = limiter.limit("a");
  await until(() => tap.calls > before, { every: 1 });
  tap.fault = null;
  assert.deepEqual(await result.then(({ source, remaining }) => [source, remaining]), ["redis", 8]);
});

test("onFailure decides while the store fails, and reports it", async (t) => {
  t.after(() => {
    tap.fault = null;
  });
  for (const fault of /** @type {const} */ (["hang", "reset", "nonsense", "stall", 500, 401, 429, 503, 404])) {
    tap.fault = fault;
    for (const [onFailure, passes] of /** @type {const} */ ([
      ["local", true],
      ["open", true],
      ["closed", false],
    ])) {
      const errors = /** @type {InstanceType<typeof EdgeError>[]} */ ([]);
      const redis = new Redis(store);
      const limiter = make({ redis, onFailure, timeout: 60, onError: (error) => void errors.push(error), quota: 4 });
      const results = [];
      for (let n = 0; n < 8; n++) results.push(await limiter.limit("a"));
      const first = results[0];
      assert.equal(first.success, passes, `${fault} ${onFailure}`);
      assert.equal(first.reason, "timeout");
      assert.notEqual(first.source, "redis");
      assert.equal(first.limit, 4);
      const let_ = results.filter(({ success }) => success).length;
      if (onFailure === "local") {
        assert.ok(let_ >= 1 && let_ <= 4, `${let_} passed`);
        assert.equal(first.source, "local");
      } else assert.equal(let_, passes ? 8 : 0, `${fault} ${onFailure}`);
      for (const result of results) {
        assert.equal(result.success, result.retryAfter === 0 && result.success);
        if (!result.success) assert.ok(result.reset > 0 && result.retryAfter >= 0);
      }
      assert.ok(errors.length >= 1 && errors.length <= 3, `${errors.length} errors: the breaker opens`);
      for (const error of errors) {
        assert.ok(error instanceof EdgeError);
        assert.ok(!`${error.message}`.includes(store.token) && !/127\.0\.0\.1|localhost/.test(error.message));
      }
      // Memory decides while the breaker is open.
      assert.equal(limiter.limitNow("b")?.success, passes);
      for (const call of [() => limiter.peek("a"), () => limiter.refund("a"), () => limiter.reset("a")]) {
        const { code } = await rejection(call);
        // On a slow machine the deadline may end before the store has answered.
        assert.ok(code === "timeout" || code === errors[0].code || errors[0].code === "timeout", code);
      }
    }
  }
});

test("a store that comes back decides again", async () => {
  const limiter = make({ redis: new Redis(store), timeout: "5s", quota: 100 });
  assert.equal((await limiter.limit("a")).source, "redis");
  await server.kill();
  assert.equal((await limiter.limit("a")).source, "local");
  await server.restart();
  const result = await until(async () => {
    const result = await limiter.limit("a");
    return result.source === "redis" && result;
  });
  assert.equal(result.success, true);
});

test("while it fails a process lets no more through than the quota", async () => {
  const time = clock();
  const limiter = new RateLimiter({
    ...{ quota: 10, window: "1m", now: time.now, timeout: 5 },
    redis: { command: () => Promise.reject(new Error("down")), evaluate: () => Promise.reject(new Error("down")) },
  });
  const passed = [];
  for (let n = 0; n < 600; n++) {
    if ((await limiter.limit("a")).success) passed.push(time.at);
    time.pass(500);
  }
  for (const at of passed) assert.ok(passed.filter((other) => other >= at && other < at + 60_000).length <= 10);
});

test("a caller that hangs up is no failure of the store", async () => {
  const errors = /** @type {unknown[]} */ ([]);
  const redis = tapped(world());
  const limiter = make({ redis, quota: 100, onError: (error) => void errors.push(error) });
  const held = gate();
  redis.before = () => held.promise;
  for (let n = 0; n < 6; n++) {
    const hangsUp = new AbortController();
    const result = limiter.limit("a", { signal: hangsUp.signal });
    await turn();
    hangsUp.abort();
    assert.equal((await result).source, "local", "never rejects");
  }
  assert.equal((await limiter.limit("a", { signal: AbortSignal.abort() })).source, "local");
  held.open();
  redis.before = () => {};
  const result = await limiter.limit("b");
  assert.equal(result.source, "redis", "the breaker is not open");
  assert.deepEqual(errors, []);
});

test("a caller that hangs up ends the request to the store", async () => {
  const redis = new Redis({
    ...store,
    fetch: (_, init) =>
      new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason))),
  });
  const limiter = make({ redis });
  const hangsUp = new AbortController();
  const result = limiter.limit("a", { signal: hangsUp.signal });
  await turn();
  hangsUp.abort();
  assert.equal((await result).reason, "timeout");
});

test("a store of one's own that fails in any way harms nobody", async () => {
  const replies = [
    undefined,
    null,
    1,
    "OK",
    [],
    [1],
    [1, null, null, 0],
    [1, null, null, 0, 1, 5, 4, 0, 0, "x", 1, 0, 0, 0, "more"],
    [9, null, null, 0, 1, 5, 4, 0, 0, null, 1, 0, 0, 0],
    [1, null, null, 0, 1, -5, 4, 0, 0, null, 1, 0, 0, 0],
    [1, null, null, 0, 1, 5.5, 4, 0, 0, null, 1, 0, 0, 0],
    [[[[[[[[[[1]]]]]]]]]],
    { result: 1 },
    "\n$1\n",
    new Uint8Array([255]),
    Symbol("x"),
  ];
  for (const reply of replies) {
    const own = /** @type {any} */ ({ command: async () => reply, evaluate: async () => reply });
    const limiter = make({ redis: own, timeout: 500 });
    assert.equal((await limiter.limit("a")).success, true);
    assert.ok(["local", "redis"].includes((await limiter.limit("a")).source));
  }
  const throwing = [new Error("x"), "text", null, undefined, { name: "EdgeError", code: 7 }, edgeError("server", true)];
  for (const error of throwing) {
    for (const fail of [
      () => Promise.reject(error),
      () => {
        throw error;
      },
    ]) {
      const limiter = make({ redis: { command: fail, evaluate: fail }, timeout: 500 });
      assert.equal((await limiter.limit("a")).source, "local");
      assert.ok(
        (await fails(limiter.peek("a"), /** @type {any} */ (error)?.code === "server" ? "server" : "unreachable"))
          .mayHaveRun,
      );
    }
  }
});

test("a waitUntil that throws harms no decision", async (t) => {
  t.mock.method(console, "error", () => {});
  const limiter = make({
    ...{ quota: 100_000, strategy: "lease" },
    waitUntil: () => {
      throw new TypeError("Illegal invocation");
    },
  });
  for (let n = 0; n < 100; n++) {
    const result = limiter.limitNow("a") ?? (await limiter.limit("a"));
    assert.equal(result.success, true);
    await result.pending;
  }
});

test("penalties hold off in the process that saw the refusals", async () => {
  const time = near();
  const limiter = make({ quota: 1, window: "300ms", now: time.now, penalty: { after: 2, hold: "600ms" } });
  await limiter.limit("a");
  for (let n = 0; n < 2; n++) assert.equal((await limiter.limit("a")).success, false);
  const held = await limiter.limit("a");
  assert.deepEqual([held.reason, held.source, held.retryAfter], ["denyList", "blocked", 600]);
  time.at = held.reset;
  assert.equal((await limiter.limit("a")).success, true);
});

test("a shadow limit over a store reports and refuses nobody", async () => {
  const limiter = make({ quota: 1, mode: "shadow" });
  assert.equal((await limiter.limit("a")).shadowed, undefined);
  for (let n = 0; n < 2; n++) {
    const over = await limiter.limit("a");
    assert.deepEqual([over.success, over.shadowed, over.retryAfter], [true, true, 0]);
  }
});

test("subjects stand in the store only as digests", async () => {
  const keyPrefix = freshPrefix();
  await make({ keyPrefix, name: "n" }).limit("alice@example.com\n");
  const keys = (await store.keys()).filter((key) => key.startsWith(keyPrefix));
  assert.equal(keys.length, 1);
  assert.match(keys[0], new RegExp(`^${keyPrefix}:l:n:[0-9a-f]+$`));
});

test("a state in Redis that is garbage counts as none", async () => {
  const keyPrefix = freshPrefix();
  const limiter = make({ keyPrefix, name: "n" });
  await limiter.limit("a");
  const [key] = (await store.keys()).filter((key) => key.startsWith(keyPrefix));
  for (const garbage of ["", "x", "2 a", "2 zz 1 1 1 1 1 1;0::"]) {
    await store.run("SET", key, garbage);
    const result = await make({ keyPrefix, name: "n" }).limit("a");
    assert.deepEqual([result.success, result.remaining, result.source], [true, 4, "redis"]);
  }
});

test("wait takes its turn once, over a store", async () => {
  const limiter = make({ quota: 1, window: "200ms" });
  await limiter.limit("a");
  const before = tap.calls;
  const waited = await limiter.wait("a", { timeout: "20s" });
  assert.equal(waited.success, true);
  assert.equal(tap.calls - before, 2, "asked before and after the wait");
});

test("a Redis that forgets its scripts is sent them again", async () => {
  const limiter = make({ quota: 5 });
  await limiter.limit("a");
  await store.run("SCRIPT", "FLUSH");
  assert.deepEqual(await limiter.limit("a").then(({ source, remaining }) => [source, remaining]), ["redis", 3]);
});
