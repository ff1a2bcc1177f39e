/** What clients are told: rate limit headers in three styles, the refusal, and who a client is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clock, edge, fails, T0 } from "./kit.mjs";

const { clientAddress, RateLimiter, rateLimitHeaders, tooManyRequests } = edge;

/** Results of three limiters on one clock: passed, passed, refused. */
async function results() {
  const time = clock(T0);
  const make = (/** @type {import("@omnitrade/edge").LimiterOptions} */ options) =>
    new RateLimiter({ now: time.now, ...options });
  const minute = await make({ quota: 10, window: "1m", name: "minute" }).limit("a", { cost: 4 });
  const hour = await make({ quota: 100, window: "1h", name: "per.hour" }).limit("a");
  const tight = make({ quota: 1, window: "1500ms", name: "tight" });
  await tight.limit("a");
  const refused = await tight.limit("a");
  return { time, minute, hour, refused };
}

test("draft-10 tells each limit by its name", async () => {
  const { time, minute, hour, refused } = await results();
  const wait = (/** @type {{ reset: number }} */ { reset }) => Math.ceil((reset - time.at) / 1_000);
  assert.deepEqual(rateLimitHeaders(minute), {
    "RateLimit-Policy": '"minute";q=10;w=60',
    RateLimit: `"minute";r=6;t=${wait(minute)}`,
  });
  assert.deepEqual(rateLimitHeaders([minute, hour, refused], "draft-10"), {
    "RateLimit-Policy": '"minute";q=10;w=60, "per.hour";q=100;w=3600, "tight";q=1;w=2',
    RateLimit: `"minute";r=6;t=${wait(minute)}, "per.hour";r=99;t=${wait(hour)}, "tight";r=0;t=${wait(refused)}`,
  });
  assert.deepEqual(rateLimitHeaders([]), {});
});

test("draft-7 and the legacy headers tell the tightest limit", async () => {
  const { time, minute, hour, refused } = await results();
  const wait = Math.ceil((refused.reset - time.at) / 1_000);
  assert.deepEqual(rateLimitHeaders([minute, hour, refused], "draft-7"), {
    "RateLimit-Policy": "10;w=60, 100;w=3600, 1;w=2",
    RateLimit: `limit=1, remaining=0, reset=${wait}`,
  });
  assert.deepEqual(rateLimitHeaders([hour, refused], "legacy"), {
    "X-RateLimit-Limit": "1",
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset": String(Math.ceil(refused.reset / 1_000)),
  });
  assert.deepEqual(rateLimitHeaders(hour, "legacy")["X-RateLimit-Remaining"], "99");
});

test("the wait that is told shrinks with the limiter's own clock", async () => {
  const { time, minute } = await results();
  const wait = () => Number(/t=(\d+)/.exec(rateLimitHeaders(minute).RateLimit)?.[1]);
  const first = wait();
  assert.ok(first > 50);
  time.pass(10_000);
  assert.equal(wait(), first - 10);
  time.at = minute.reset - 1;
  assert.equal(wait(), 1);
  time.pass(1_000_000);
  assert.equal(wait(), 0, "never negative");
  const real = await new RateLimiter({ quota: 5, window: "1m" }).limit("a");
  const told = Number(/t=(\d+)/.exec(rateLimitHeaders(real).RateLimit)?.[1]);
  assert.ok(told > 30 && told <= 62, `${told} s`);
  assert.deepEqual(Object.keys(rateLimitHeaders(JSON.parse(JSON.stringify(real)))), ["RateLimit-Policy", "RateLimit"]);
});

test("a quota of the call's own is the one that is told", async () => {
  const limiter = new RateLimiter({ quota: 5, window: "1m", name: "plan", now: clock().now });
  const headers = rateLimitHeaders(await limiter.limit("a", { quota: 50 }));
  assert.equal(headers["RateLimit-Policy"], '"plan";q=50;w=60');
});

test("a refusal is a problem, with the longest wait of those that refuse", async () => {
  const { time, minute, refused } = await results();
  const response = tooManyRequests([minute, refused]);
  assert.deepEqual([response.status, response.headers.get("content-type")], [429, "application/problem+json"]);
  assert.equal(response.headers.get("cache-control"), "no-store");
  const seconds = Math.ceil((refused.reset - time.at) / 1_000);
  assert.equal(response.headers.get("retry-after"), String(seconds));
  assert.match(response.headers.get("ratelimit-policy") ?? "", /"minute".*"tight"/);
  const problem = /** @type {any} */ (await response.json());
  assert.deepEqual([problem.status, problem["violated-policies"], problem.code], [429, ["tight"], "quota_exceeded"]);
  assert.equal(problem.type, "https://iana.org/assignments/http-problem-types#quota-exceeded");
  assert.equal(typeof problem.title, "string");
  time.at = refused.reset;
  assert.equal(tooManyRequests(refused).headers.get("retry-after"), "1", "at least a second");
});

test("the refusal says why: a hold, or a store that fails", async () => {
  const time = clock();
  const held = new RateLimiter({ quota: 1, window: "1s", now: time.now, penalty: { after: 1, hold: "1h" } });
  for (let n = 0; n < 2; n++) await held.limit("a");
  const code = async (/** @type {Response} */ response) => /** @type {any} */ (await response.json()).code;
  const hold = tooManyRequests(await held.limit("a"));
  assert.equal(hold.headers.get("retry-after"), "3600");
  assert.equal(await code(hold), "abnormal_usage");
  const down = () => Promise.reject(new Error("down"));
  const failing = new RateLimiter({
    ...{ quota: 2, window: "1m", now: time.now, onFailure: "closed" },
    redis: { command: down, evaluate: down },
  });
  assert.equal(await code(tooManyRequests(await failing.limit("a"))), "reduced_capacity");
});

test("the caller's own status, headers and style are taken", async () => {
  const { refused } = await results();
  const headers = new Headers({ "x-own": "1", "content-type": "text/plain" });
  headers.append("set-cookie", "a=1");
  headers.append("set-cookie", "b=2");
  const response = tooManyRequests(refused, { status: 503, statusText: "Busy", headers, style: "legacy" });
  assert.deepEqual([response.status, response.statusText], [503, "Busy"]);
  assert.equal(/** @type {any} */ (await response.json()).status, 503);
  assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
  assert.equal(response.headers.get("x-own"), "1");
  assert.equal(response.headers.get("content-type"), "text/plain");
  assert.equal(response.headers.get("x-ratelimit-limit"), "1");
  assert.equal(response.headers.get("ratelimit"), null);
  for (const given of [{ "x-own": "2" }, [["x-own", "2"]]]) {
    const { headers } = tooManyRequests(refused, { headers: /** @type {any} */ (given) });
    assert.equal(headers.get("x-own"), "2");
  }
});

test("what is no result or no style is named", async () => {
  const { minute } = await results();
  const wrong = /** @type {any} */ ({ rateLimitHeaders, tooManyRequests });
  assert.match((await fails(() => wrong.rateLimitHeaders(minute, "draft-8"), "config", false)).message, /^style: /);
  assert.match((await fails(() => wrong.rateLimitHeaders({ policy: "x" }), "config", false)).message, /^results: /);
  assert.match((await fails(() => wrong.tooManyRequests({ policy: "x" }), "config", false)).message, /^results: /);
});

/** @param {string} address @param {object} [options] */
const of = (address, options) =>
  clientAddress({ headers: new Headers({ "x-real-ip": address }) }, { header: "x-real-ip", ...options });

test("an address is the client, IPv6 by its network", () => {
  assert.equal(of("192.0.2.7"), "192.0.2.7");
  assert.equal(of("192.0.2.7:8080"), "192.0.2.7");
  assert.equal(of("::ffff:192.0.2.7"), "192.0.2.7", "IPv4 within IPv6");
  assert.equal(of("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
  assert.equal(of("[2001:db8:1:2::9]:443"), "2001:db8:1:2::/64");
  assert.equal(of("[2001:db8:1:2::9]"), "2001:db8:1:2::/64");
  assert.notEqual(of("2001:db8:1:3::4"), of("2001:db8:1:2::4"));
  assert.equal(of("2001:db8:1:2:3::4", { ipv6Prefix: 48 }), "2001:db8:1::/48");
  assert.equal(of("2001:db8::1", { ipv6Prefix: 128 }), "2001:db8::1/128");
});

test("what is no single address is no client", async () => {
  for (const text of [
    "",
    "unknown",
    "192.0.2.7, 10.0.0.1",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "::g",
    "[::1",
    "a.example",
    "1.2.3.4:x",
    "1.2.3.4:123456",
  ]) {
    assert.equal(of(text), undefined, text);
  }
  assert.equal(clientAddress({ headers: new Headers() }), undefined);
  assert.equal(
    clientAddress({ headers: new Headers({ "x-forwarded-for": "192.0.2.7" }) }),
    undefined,
    "anybody sets it",
  );
  assert.equal(clientAddress({ headers: new Headers({ "cf-connecting-ip": "192.0.2.7" }) }), "192.0.2.7");
  assert.equal(
    clientAddress(new Request("https://a.example", { headers: { "fly-client-ip": "192.0.2.7" } }), {
      header: "Fly-Client-IP",
    }),
    "192.0.2.7",
  );
  for (const ipv6Prefix of [0, 129, 1.5, "64"]) {
    const error = await fails(() => of("::1", { ipv6Prefix }), "config", false);
    assert.match(error.message, /^ipv6Prefix: /);
  }
  const limiter = new RateLimiter({ quota: 2, window: "1m", now: clock().now });
  await limiter.limit(/** @type {any} */ (of("")));
  assert.equal((await limiter.limit(/** @type {any} */ (undefined))).remaining, 0, "one bucket for all of them");
});
