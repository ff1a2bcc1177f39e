/** The limiter without a store: exact windows in the process, over a clock that the test moves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { choices, clock, edge, fails, seed, T0, times } from "./kit.mjs";

const { RateLimiter } = edge;

test("no window holds more than the quota, whatever is called", async (t) => {
  const number = seed();
  t.diagnostic(`SEED=${number}`);
  const pick = choices(number);
  for (let run = 0; run < times(60); run++) {
    const time = clock(T0 + pick.between(0, 100_000));
    const window = pick.one([1, 7, 29, 31, 250, 1_000, 60_000, 3_600_000]);
    const quota = pick.one([1, 2, 3, 10, 1_000]);
    const limiter = new RateLimiter({ quota, window, now: time.now });
    /** @type {{ at: number, cost: number }[]} */
    let taken = [];
    for (let call = 0; call < 200; call++) {
      time.pass(pick.one([0, 0, 1, 1, pick.between(0, window), pick.between(0, 2 * window)]));
      const action = pick.weighted([
        [10, "limit"],
        [2, "now"],
        [1, "peek"],
      ]);
      const cost = pick.one([0, 1, 1, 1, 2, quota]);
      if (action === "peek") {
        await limiter.peek("a");
        continue;
      }
      const result = action === "now" ? limiter.limitNow("a", { cost }) : await limiter.limit("a", { cost });
      assert.ok(result);
      if (result.success) taken.push({ at: time.at, cost });
      taken = taken.filter(({ at }) => at > time.at - window);
      const sum = taken.reduce((sum, { cost }) => sum + cost, 0);
      assert.ok(sum <= quota, `${sum} of ${quota} in ${window} ms`);
      assert.ok(result.remaining >= 0 && result.remaining <= quota - sum, `${result.remaining}`);
      assert.equal(result.limit, quota);
      assert.equal(result.success || result.reset - time.at, result.success || result.retryAfter);
    }
  }
});

test("a refused call passes at its reset, and not before", async (t) => {
  const number = seed();
  t.diagnostic(`SEED=${number}`);
  const pick = choices(number);
  for (let run = 0; run < times(100); run++) {
    const time = clock(T0 + pick.between(0, 100_000));
    const window = pick.one([2, 50, 999, 60_000, 86_400_000]);
    const quota = pick.between(1, 8);
    const limiter = new RateLimiter({ quota, window, now: time.now });
    let refusals = 0;
    for (let call = 0; call < 60 && refusals < 5; call++) {
      time.pass(pick.between(0, window / 3));
      const cost = pick.between(1, quota + 1);
      const result = await limiter.limit("a", { cost });
      if (result.success) continue;
      refusals++;
      assert.ok(result.reset > time.at && result.retryAfter === result.reset - time.at);
      time.at = result.reset - 1;
      const early = await limiter.limit("a", { cost });
      assert.deepEqual([early.success, early.reset], [false, result.reset], "a millisecond too early");
      time.at = result.reset;
      assert.equal((await limiter.limit("a", { cost })).success, true, "at the moment it was told");
    }
  }
});

test("the reset of a call that passes is when more is back", async () => {
  const time = clock();
  const limiter = new RateLimiter({ quota: 5, window: "1m", now: time.now });
  const first = await limiter.limit("a", { cost: 2 });
  time.pass(10_000);
  const second = await limiter.limit("a", { cost: 1 });
  assert.equal(second.reset, first.reset);
  time.at = second.reset - 1;
  assert.equal((await limiter.peek("a")).remaining, 2);
  time.at = second.reset;
  assert.equal((await limiter.peek("a")).remaining, 4);
});

test("what costs more than the quota never passes, and takes nothing", async () => {
  const time = clock();
  const limiter = new RateLimiter({ quota: 3, window: "1s", now: time.now });
  const result = await limiter.limit("a", { cost: 4 });
  assert.equal(result.success, false);
  assert.equal((await limiter.peek("a")).remaining, 3);
  assert.equal((await limiter.limit("a", { cost: 0 })).success, true);
  assert.equal((await limiter.peek("a")).remaining, 3, "a cost of 0 takes nothing");
});

test("a quota in place of the limiter's counts on the same state", async () => {
  const time = clock();
  const limiter = new RateLimiter({ quota: 2, window: "1m", name: "plan", now: time.now });
  for (let n = 0; n < 2; n++) assert.equal((await limiter.limit("a")).success, true);
  assert.equal((await limiter.limit("a")).success, false);
  const better = await limiter.limit("a", { quota: 5 });
  assert.deepEqual([better.success, better.limit, better.remaining], [true, 5, 2]);
  assert.equal(better.policy, '"plan";q=5;w=60');
  assert.equal((await limiter.peek("a", { quota: 5 })).remaining, 2);
  const worse = await limiter.limit("a", { quota: 1 });
  assert.deepEqual([worse.success, worse.limit, worse.remaining], [false, 1, 0]);
  assert.equal(limiter.limitNow("a", { quota: 4 })?.success, true);
});

test("limiters of one name count together, and unnamed ones of one rule", async () => {
  const { now } = clock();
  const make = (/** @type {object} */ options) => new RateLimiter({ quota: 2, window: "1m", now, ...options });
  const [one, two] = [make({ name: "shared" }), make({ name: "shared" })];
  await one.limit("a");
  assert.equal((await two.limit("a")).remaining, 0);
  await make({}).limit("b");
  assert.equal((await make({}).limit("b")).remaining, 0, "the default name tells the rule");
  assert.equal((await make({ quota: 3 }).limit("b")).remaining, 2);
  assert.equal((await make({ window: "2m" }).limit("b")).remaining, 1);
  assert.equal((await make({ keyPrefix: "other" }).limit("b")).remaining, 1);
  assert.match((await make({}).limit("c")).policy, /^"60000-2";q=2;w=60$/);
});

test("refund gives back what counts and no more, reset all of it", async () => {
  const { now } = clock();
  const limiter = new RateLimiter({ quota: 5, window: "1m", now });
  await limiter.limit("a", { cost: 5 });
  assert.equal((await limiter.limit("a")).success, false);
  await limiter.refund("a");
  assert.equal((await limiter.limit("a")).success, true);
  await limiter.refund("a", 0);
  assert.equal((await limiter.peek("a")).remaining, 0);
  await limiter.refund("a", 1_000);
  assert.equal((await limiter.peek("a")).remaining, 5);
  await limiter.refund("nobody", 3);
  assert.equal((await limiter.peek("nobody")).remaining, 5);
  await limiter.limit("a", { cost: 4 });
  await limiter.limit("b", { cost: 4 });
  await limiter.reset("a");
  assert.deepEqual([(await limiter.peek("a")).remaining, (await limiter.peek("b")).remaining], [5, 1]);
});

test("a shadow limit counts and reports, and refuses nobody", async () => {
  const time = clock();
  const told = /** @type {unknown[]} */ ([]);
  const limiter = new RateLimiter({
    ...{ quota: 2, window: "1m", mode: "shadow", now: time.now },
    onDecision: ({ success, shadowed }) => told.push([success, shadowed]),
  });
  for (let n = 0; n < 4; n++) await limiter.limit("a");
  assert.deepEqual(told, [
    [true, undefined],
    [true, undefined],
    [true, true],
    [true, true],
  ]);
  const over = await limiter.peek("a");
  assert.deepEqual([over.success, over.shadowed, over.retryAfter, over.remaining], [true, true, 0, 0]);
  assert.deepEqual([limiter.limitNow("a")?.success, limiter.limitNow("a")?.shadowed], [true, true]);
});

test("who goes on after refusals is held off, longer each time", async () => {
  const time = clock();
  const limiter = new RateLimiter({
    ...{ quota: 1, window: "1s", now: time.now },
    penalty: { after: 3, hold: "10s", max: "15s" },
  });
  const provoke = async () => {
    await limiter.limit("a");
    for (let n = 0; n < 3; n++) assert.equal((await limiter.limit("a")).success, false);
    const held = await limiter.limit("a");
    assert.deepEqual([held.success, held.source, held.reason], [false, "blocked", "denyList"]);
    assert.equal(held.reset, time.at + held.retryAfter);
    return held;
  };
  const first = await provoke();
  assert.equal(first.retryAfter, 10_000);
  assert.equal((await limiter.limit("b")).success, true, "another subject is not held off");
  time.at = first.reset - 1;
  assert.equal((await limiter.limit("a")).success, false);
  time.at = first.reset;
  const second = await provoke();
  assert.equal(second.retryAfter, 15_000);
  await limiter.reset("a");
  assert.equal((await limiter.limit("a")).success, true, "reset ends the hold");
  assert.equal(new RateLimiter({ quota: 1, window: 1, penalty: true }) instanceof RateLimiter, true);
});

test("several are taken from all or from none, and count together", async () => {
  const { now } = clock();
  const user = new RateLimiter({ quota: 5, window: "1m", name: "user", now });
  const ip = new RateLimiter({ quota: 3, window: "1m", name: "ip", now });
  const both = (/** @type {number} */ cost) =>
    RateLimiter.limitAll([
      [user, "a", { cost }],
      [ip, "x", { cost }],
    ]);
  const passed = await both(2);
  assert.deepEqual([passed.success, passed.results.map(({ remaining }) => remaining)], [true, [3, 1]]);
  const refused = await both(2);
  assert.deepEqual([refused.success, refused.results.map(({ success }) => success)], [false, [true, false]]);
  assert.deepEqual(
    refused.results.map(({ remaining }) => remaining),
    [3, 1],
  );
  await refused.pending;
  const twice = await RateLimiter.limitAll([
    [user, "b", { cost: 3 }],
    [user, "b", { cost: 3 }],
  ]);
  assert.equal(twice.success, false, "two charges on one state count together");
  assert.equal((await user.peek("b")).remaining, 5);
  const fits = await RateLimiter.limitAll([
    [user, "b", { cost: 2 }],
    [user, "b", { cost: 3 }],
  ]);
  assert.equal(fits.success, true);
  assert.equal((await user.peek("b")).remaining, 0);
  assert.deepEqual(await RateLimiter.limitAll([]).then(({ success, results }) => [success, results]), [true, []]);
});

test("limits of several clocks are taken from all or from none", async () => {
  const [early, late] = [clock(), clock(T0 + 5_000)];
  const one = new RateLimiter({ quota: 2, window: "1m", name: "one", now: early.now });
  const two = new RateLimiter({ quota: 1, window: "1m", name: "two", now: late.now });
  const both = () =>
    RateLimiter.limitAll([
      [one, "a"],
      [two, "a"],
    ]);
  assert.equal((await both()).success, true);
  const refused = await both();
  assert.deepEqual([refused.success, refused.results.map(({ success }) => success)], [false, [true, false]]);
  assert.equal((await one.peek("a")).remaining, 1, "nothing was taken");
  assert.ok(refused.results[1].reset > late.at);
  late.at = refused.results[1].reset;
  assert.equal((await both()).success, true);
});

test("many at once get the quota and no more", async () => {
  const { now } = clock();
  const limiter = new RateLimiter({ quota: 100, window: "1m", now });
  const results = await Promise.all(Array.from({ length: 1_000 }, () => limiter.limit("a")));
  assert.equal(results.filter(({ success }) => success).length, 100);
});

test("subjects of any spelling are told apart", async () => {
  const { now } = clock();
  const limiter = new RateLimiter({ quota: 1, window: "1m", now });
  const ids = [
    "",
    " ",
    "a",
    "A",
    "ä",
    "a\u0308",
    "a\n",
    "a\nb",
    "\u0000",
    "🦀",
    "__proto__",
    "x".repeat(100_000),
    "a:b",
  ];
  for (const id of ids) assert.equal((await limiter.limit(id)).success, true, JSON.stringify(id).slice(0, 20));
  for (const id of ids) assert.equal((await limiter.limit(id)).success, false);
  assert.equal((await limiter.limit({ key: "binding" })).success, true);
  assert.equal((await limiter.limit({ key: "binding", delta: 1 })).success, false);
});

test("subjects that are not known share one bucket", async () => {
  const { now } = clock();
  const limiter = new RateLimiter({ quota: 3, window: "1m", now });
  const unknown = /** @type {any} */ (undefined);
  assert.equal((await limiter.limit(unknown)).remaining, 2);
  assert.equal((await limiter.limit(/** @type {any} */ (null))).remaining, 1);
  assert.equal((await limiter.limit(/** @type {any} */ ({}))).remaining, 0);
  assert.equal((await limiter.limit(/** @type {any} */ (7))).remaining, 2, "a number is a name");
  assert.equal((await limiter.limit("7")).remaining, 1);
});

test("a wrong option or argument names its field", async () => {
  const make = (/** @type {any} */ options) => () => new RateLimiter(options);
  const base = { quota: 1, window: "1m" };
  for (const [options, field] of /** @type {[any, string][]} */ ([
    [undefined, "options"],
    [null, "options"],
    [{}, "quota"],
    [{ ...base, quota: 0 }, "quota"],
    [{ ...base, quota: 1.5 }, "quota"],
    [{ ...base, quota: "5" }, "quota"],
    [{ ...base, quota: Number.NaN }, "quota"],
    [{ ...base, window: undefined }, "window"],
    [{ ...base, window: 0 }, "window"],
    [{ ...base, window: "soon" }, "window"],
    [{ ...base, window: "1 w" }, "window"],
    [{ ...base, window: "-1s" }, "window"],
    [{ ...base, window: "400d" }, "window"],
    [{ ...base, window: Number.POSITIVE_INFINITY }, "window"],
    [{ ...base, name: "" }, "name"],
    [{ ...base, name: 'a"b' }, "name"],
    [{ ...base, name: "a\n" }, "name"],
    [{ ...base, keyPrefix: "" }, "keyPrefix"],
    [{ ...base, keyPrefix: "a:b" }, "keyPrefix"],
    [{ ...base, strategy: "leases" }, "strategy"],
    [{ ...base, mode: "on" }, "mode"],
    [{ ...base, onFailure: "fail" }, "onFailure"],
    [{ ...base, penalty: false }, "penalty"],
    [{ ...base, penalty: { after: 0 } }, "penalty.after"],
    [{ ...base, penalty: { hold: "x" } }, "penalty.hold"],
    [{ ...base, penalty: { hold: "2h", max: "1h" } }, "penalty.max"],
    [{ ...base, timeout: 0 }, "timeout"],
    [{ ...base, now: 5 }, "now"],
    [{ ...base, waitUntil: true }, "waitUntil"],
    [{ ...base, onError: {} }, "onError"],
    [{ ...base, onDecision: "log" }, "onDecision"],
    [{ ...base, redis: {} }, "redis"],
    [{ ...base, redis: null }, "redis"],
    [{ ...base, redis: "https://x" }, "redis"],
  ])) {
    const error = await fails(make(options), "config", false);
    assert.ok(error.message.startsWith(`${field}: `), `${field}: ${error.message}`);
  }
  const limiter = new RateLimiter({ quota: 1, window: "1m", now: clock().now });
  const wrong = /** @type {any} */ (limiter);
  for (const [call, field] of /** @type {[() => Promise<unknown>, string][]} */ ([
    [() => wrong.limit(Symbol("a")), "id"],
    [() => wrong.limit("a", { cost: -1 }), "cost"],
    [() => wrong.limit("a", { cost: 0.5 }), "cost"],
    [() => wrong.limit("a", { quota: 0 }), "quota"],
    [() => wrong.limit({ key: "a", delta: "1" }), "cost"],
    [() => wrong.refund("a", -1), "permits"],
    [() => wrong.wait("a"), "timeout"],
    [() => wrong.wait("a", { timeout: "x" }), "timeout"],
    [() => /** @type {any} */ (RateLimiter).limitAll(), "checks"],
    [() => /** @type {any} */ (RateLimiter).limitAll([["a", "b"]]), "checks[0][0]"],
    [() => /** @type {any} */ (RateLimiter).limitAll([null]), "checks[0]"],
    [
      () =>
        /** @type {any} */ (RateLimiter).limitAll([
          [limiter, "a"],
          [limiter, "b", { cost: -1 }],
        ]),
      "cost",
    ],
  ])) {
    const error = await fails(call, "config", false);
    assert.ok(error.message.startsWith(field), `${field}: ${error.message}`);
  }
  assert.equal((await limiter.peek("a")).remaining, 1, "a wrong call takes nothing");
});

test("durations are numbers of milliseconds or texts with a unit", async () => {
  const windows = /** @type {[any, number][]} */ ([
    [250, 250],
    ["250ms", 250],
    ["60s", 60_000],
    ["5 m", 300_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["1.5s", 1_500],
  ]);
  for (const [window, ms] of windows) {
    const limiter = new RateLimiter({ quota: 1, window, now: clock().now });
    assert.match((await limiter.limit("a")).policy, new RegExp(`^"${ms}-1";q=1;w=${Math.ceil(ms / 1_000)}$`));
  }
});

test("what a caller's own functions throw harms no decision", async (t) => {
  const said = t.mock.method(console, "error", () => {});
  const limiter = new RateLimiter({
    ...{ quota: 1, window: "1m", now: clock().now },
    onDecision: () => {
      throw new Error("mine");
    },
  });
  assert.equal((await limiter.limit("a")).success, true);
  assert.equal(limiter.limitNow("a")?.success, false);
  assert.equal(said.mock.callCount(), 2);
});

test("onDecision hears of each decision once, with the subject", async () => {
  const heard = /** @type {string[]} */ ([]);
  const limiter = new RateLimiter({
    ...{ quota: 1, window: "1m", name: "heard", now: clock().now },
    onDecision: ({ success, policy }, id) => heard.push(`${id} ${success} ${policy.slice(0, 7)}`),
  });
  await limiter.limit("a");
  limiter.limitNow("a");
  await limiter.limit({ key: "b" });
  await limiter.peek("c");
  await RateLimiter.limitAll([
    [limiter, "a"],
    [limiter, "c"],
  ]);
  assert.deepEqual(heard, ['a true "heard"', 'a false "heard"', 'b true "heard"', 'a false "heard"', 'c true "heard"']);
});

test("a clock that goes back holds nobody off for long", async () => {
  const time = clock(T0 + 86_400_000);
  const limiter = new RateLimiter({ quota: 1, window: "1s", now: time.now });
  await limiter.limit("a");
  time.at = T0;
  const refused = await limiter.limit("a");
  assert.equal(refused.success, false);
  assert.ok(refused.retryAfter <= 2_000, `${refused.retryAfter} ms`);
  time.at = refused.reset;
  assert.equal((await limiter.limit("a")).success, true);
});

test("wait waits its turn once, and refuses what is later", async () => {
  const limiter = new RateLimiter({ quota: 1, window: "200ms" });
  assert.equal((await limiter.wait("a", { timeout: 0 })).success, true);
  const late = await limiter.wait("a", { timeout: 1 });
  assert.deepEqual([late.success, late.retryAfter > 1], [false, true]);
  const { reset } = late;
  const waited = await limiter.wait("a", { timeout: "20s" });
  assert.deepEqual([waited.success, Date.now() >= reset], [true, true]);

  const stopped = new AbortController();
  const waiting = limiter.wait("a", { timeout: "20s", signal: stopped.signal });
  stopped.abort();
  await fails(waiting, "aborted", false);
  await fails(limiter.wait("a", { timeout: "20s", signal: AbortSignal.abort() }), "aborted", false);
});
