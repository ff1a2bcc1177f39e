/** The Redis client: replies of every kind, failures told apart, retries where they are safe. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { freePort } from "../support/servers.mjs";
import { choices, edge, fails, freshPrefix, gate, seed, startFakeRest, startStore, times, until } from "./kit.mjs";

const { Redis, EdgeError } = edge;
const { redis: server, tap, store } = await startStore();
const redis = new Redis({ ...store, timeout: "20s" });

const every = new Uint8Array(256).map((_, n) => n);

/** The octets of a reply, which come as text if they are UTF-8. @param {any} value */
const octets = (value) => (typeof value === "string" ? new TextEncoder().encode(value) : value);

test("replies are what Redis says, and never parsed", async () => {
  const key = freshPrefix();
  for (const text of [
    "",
    "OK",
    "null",
    "7",
    "[1]",
    '{"a":1}',
    "ä\u0000\r\n\u2028🦀",
    "\ufeffbom",
    '"',
    "\\",
    "a".repeat(100_000),
  ]) {
    assert.equal(await redis.command(["SET", key, text]), "OK");
    assert.equal(await redis.command(["GET", key]), text);
  }
  assert.equal(await redis.command(["GET", `${key}:none`]), null);
  assert.deepEqual(await redis.command(["MGET", key, `${key}:none`]), ["a".repeat(100_000), null]);
  assert.deepEqual(await redis.command(["LRANGE", `${key}:none`, 0, -1]), []);
  assert.equal(await redis.command(["PING"]), "PONG");
  assert.deepEqual(await redis.script("return {1, {2, {'x', false}}, {}, -5}").run(), [1, [2, ["x", null]], [], -5]);
});

test("integers beyond 2^53 stay whole, as text", async () => {
  const key = freshPrefix();
  for (const [text, value] of /** @type {const} */ ([
    ["9007199254740990", 9007199254740991],
    ["9007199254740991", "9007199254740992"],
    ["9223372036854775806", "9223372036854775807"],
    ["-9223372036854775808", "-9223372036854775807"],
    ["-9007199254740992", -9007199254740991],
    ["-2", -1],
  ])) {
    await redis.command(["SET", key, text]);
    assert.equal(await redis.command(["INCR", key]), value);
    await redis.command(["SET", key, text]);
    assert.deepEqual(
      await redis.pipeline([
        ["GET", key],
        ["INCR", key],
        ["GET", key],
      ]),
      [text, value, String(value)],
    );
  }
});

test("a large text beside a large integer is read", async () => {
  const rest = await startFakeRest(() => [{ result: "AAAA".repeat(1_500_000) }, { result: 0 }]);
  const own = new Redis({ url: rest.url, token: rest.token, timeout: "20s" });
  const text = "x".repeat(3_000_000);
  const key = freshPrefix();
  await redis.pipeline([
    ["SET", key, text],
    ["SET", `${key}:n`, "9223372036854775806"],
  ]);
  assert.deepEqual(
    await redis.pipeline([
      ["GET", key],
      ["INCR", `${key}:n`],
    ]),
    [text, "9223372036854775807"],
  );
  assert.equal(
    (
      await own.pipeline([
        ["GET", "a"],
        ["GET", "b"],
      ])
    ).length,
    2,
  );
  await redis.command(["DEL", key]);
});

test("octets go in and come out unharmed, wherever they stand", async () => {
  const key = freshPrefix();
  const binary = new Uint8Array([0xff, 0x00, 0xc3, 0x28, 0x0a, 0x22]);
  assert.equal(await redis.command(["SET", key, every]), "OK");
  assert.deepEqual(octets(await redis.command(["GET", key])), every);
  assert.equal(await redis.command(["STRLEN", key]), 256);
  await redis.command(["HSET", `${key}:h`, binary, "text", "ä", every]);
  const fields = /** @type {any[]} */ (await redis.command(["HMGET", `${key}:h`, "ä", binary, every]));
  assert.deepEqual(fields.map(octets), [every, octets("text"), null]);
  assert.deepEqual(octets(await redis.command(["HGET", `${key}:h`, "ä"])), every);
  const binaryKey = new Uint8Array([...octets(key), 0xff]);
  await redis.command(["SET", binaryKey, 1.5]);
  assert.equal(await redis.command(["GET", binaryKey]), "1.5");
  const text = new TextEncoder().encode("as text");
  await redis.command(["SET", key, text]);
  assert.equal(await redis.command(["GET", key]), "as text");

  const [set, got, number] = await redis.pipeline([
    ["SET", key, binary],
    ["GET", key],
    ["APPEND", key, every],
  ]);
  assert.deepEqual([set, octets(got), number], ["OK", binary, 262]);
  assert.deepEqual(
    (
      await redis.multi([
        ["SET", key, every],
        ["GET", key],
      ])
    ).map(octets),
    [octets("OK"), every],
  );

  const script = redis.script(
    "redis.call('SET', KEYS[1], ARGV[1])\nreturn {redis.call('GET', KEYS[1]), ARGV[2], #ARGV}",
  );
  for (let n = 0; n < 2; n++) {
    const [value, second, count] = /** @type {any} */ (await script.run([key], [every, "ä", ""]));
    assert.deepEqual([octets(value), second, count], [every, "ä", 3]);
  }
  const flagged = redis.script("#!lua flags=no-writes\nreturn ARGV[1]");
  assert.deepEqual(octets(await flagged.run([], [binary])), binary);
  const subarray = every.subarray(250);
  await redis.command(["SET", key, subarray]);
  assert.deepEqual(octets(await redis.command(["GET", key])), new Uint8Array(subarray));
  await redis.command(["SET", key, Buffer.from(every)]);
  assert.deepEqual(octets(await redis.command(["GET", key])), every);
});

test("random octets and texts come back as they went", async (t) => {
  const number = seed();
  t.diagnostic(`SEED=${number}`);
  const pick = choices(number);
  const key = freshPrefix();
  for (let run = 0; run < times(100); run++) {
    const value = pick.chance(0.5)
      ? new Uint8Array(pick.list(pick.between(0, 40), () => pick.between(0, 256)))
      : pick
          .list(pick.between(0, 20), () =>
            String.fromCodePoint(pick.one([0, 10, 34, 92, 0x7f, 0xe9, 0x20ac, 0x1f980, 0xfffd, 0xfeff])),
          )
          .join("");
    await redis.command(["SET", key, value]);
    assert.deepEqual(octets(await redis.command(["GET", key])), new Uint8Array(octets(value)));
  }
});

test("a wrong type is an error of the command, with Redis's code", async () => {
  const key = freshPrefix();
  await redis.command(["SET", key, "text"]);
  const error = await fails(redis.command(["LPUSH", key, "s3cret"]), "command", true);
  assert.equal(error.redisCode, "WRONGTYPE");
  assert.equal(error.name, "EdgeError");
  assert.ok(error instanceof Error);
  assert.equal(error.retryIsSafe(true), false, "it would fail again");
  const binary = await fails(redis.command(["LPUSH", key, every]), "command", true);
  assert.equal(binary.redisCode, "WRONGTYPE");
  const unknown = await fails(redis.command(["NOSUCH", key, "s3cret"]), "command");
  assert.ok(!unknown.message.includes("s3cret") && !unknown.message.includes(key), unknown.message);
});

test("a pipeline keeps errors apart", async () => {
  const key = freshPrefix();
  const replies = await redis.pipeline([["SET", key, "x"], ["INCR", key], ["LPUSH", key, 1], ["NOSUCH"], ["GET", key]]);
  assert.deepEqual([replies[0], replies[4]], ["OK", "x"]);
  for (const reply of replies.slice(1, 4)) assert.ok(reply instanceof EdgeError && reply.code === "command");
  assert.deepEqual(await redis.pipeline([]), []);
  assert.deepEqual(await redis.pipeline([["ECHO", "one"]]), ["one"]);
});

test("a transaction is all or nothing, and rejects with its error", async () => {
  const key = freshPrefix();
  assert.deepEqual(
    await redis.multi([
      ["INCR", key],
      ["INCRBY", key, 5],
      ["GET", key],
    ]),
    [1, 6, "6"],
  );
  assert.deepEqual(await redis.multi([]), []);
  await redis.command(["SET", key, "x"]);
  const wrong = await fails(
    redis.multi([
      ["SET", `${key}:other`, "y"],
      ["INCR", key],
    ]),
    "command",
    true,
  );
  assert.equal(wrong.redisCode, "ERR");
  assert.equal(await redis.command(["GET", `${key}:other`]), "y", "Redis rolls nothing back");
  const discarded = await fails(redis.multi([["SET", key, "z"], ["NOSUCH"]]), "command");
  assert.equal(await redis.command(["GET", key]), "x", "discarded");
  assert.equal(discarded.retryIsSafe(false), false);
});

test("a script is sent when Redis does not know it, and only then", async () => {
  const rest = tap;
  await store.run("SCRIPT", "FLUSH");
  const script = redis.script(`return {KEYS[1], ARGV[1], '${freshPrefix()}'}`);
  assert.match(script.sha1, /^[0-9a-f]{40}$/);
  const costs = [];
  for (let n = 0; n < 3; n++) {
    const before = rest.calls;
    await script.run(["k"], [n]);
    costs.push(rest.calls - before);
  }
  assert.deepEqual(costs, [2, 1, 1]);
  await store.run("SCRIPT", "FLUSH");
  assert.equal(/** @type {any} */ (await script.run(["k"], [7]))[1], "7");
  await fails(
    redis.script("return redis.call('EVALSHA', '0000000000000000000000000000000000000000', 0)").run(),
    "command",
    true,
  );
  await fails(redis.script("return (").run(), "command");
});

/** @param {(n: number) => any} answer of each request @param {object} [options] */
async function answering(answer, options) {
  let n = 0;
  const rest = await startFakeRest(() => answer(n++));
  return { rest, client: new Redis({ url: rest.url, token: rest.token, timeout: "10s", ...options }) };
}

const ok = { result: "T0s=" };
const status = (/** @type {number} */ status, /** @type {unknown} */ body = { error: "ERR made to fail" }) => ({
  status,
  text: typeof body === "string" ? body : JSON.stringify(body),
});

test("what may run twice is retried, what may not is not", async () => {
  for (const [
    name,
    first,
    command,
    options,
    requests,
    code,
  ] of /** @type {[string, any, any, any, number, string?][]} */ ([
    ["a read", status(500), ["GET", "a"], {}, 2],
    ["a read, in small letters", status(503, "<html>"), ["get", "a"], {}, 2],
    ["a write", status(500), ["INCR", "a"], {}, 1, "server"],
    ["a write that may run twice", status(500), ["SET", "a", 1], { idempotent: true }, 2],
    ["a read that may not", status(500), ["GET", "a"], { idempotent: false }, 1, "server"],
    ["a write that was not let in", status(429, ""), ["INCR", "a"], {}, 2],
    ["a refused token", status(401), ["GET", "a"], {}, 1, "unauthorised"],
    [
      "an exhausted plan",
      status(400, { error: "ERR max daily request limit exceeded" }),
      ["GET", "a"],
      {},
      1,
      "quota_exhausted",
    ],
    ["a wrong command", status(400, { error: "ERR syntax error" }), ["GET", "a"], {}, 1, "command"],
    ["garbage", { status: 200, text: "<html>" }, ["GET", "a"], {}, 1, "protocol"],
    ["Redis that is loading", status(400, { error: "LOADING Redis is loading the dataset" }), ["GET", "a"], {}, 2],
  ])) {
    const { rest, client } = await answering((n) => (n === 0 ? first : ok));
    const call = client.command(command, options);
    if (code === undefined) assert.equal(await call, "OK", name);
    else await fails(call, code);
    assert.equal(rest.seen.length, requests, name);
  }
});

test("a pipeline is retried if all of it may run twice", async () => {
  for (const [commands, options, requests] of /** @type {[any, any, number][]} */ ([
    [
      [
        ["GET", "a"],
        ["MGET", "a"],
      ],
      {},
      2,
    ],
    [
      [
        ["GET", "a"],
        ["INCR", "a"],
      ],
      {},
      1,
    ],
    [
      [
        ["GET", "a"],
        ["INCR", "a"],
      ],
      { idempotent: true },
      2,
    ],
  ])) {
    for (const path of /** @type {const} */ (["pipeline", "multi"])) {
      const { rest, client } = await answering((n) => (n === 0 ? status(500) : [ok, ok]));
      const call = client[path](commands, options);
      if (requests === 2) assert.deepEqual(await call, ["OK", "OK"]);
      else await fails(call, "server", true);
      assert.equal(rest.seen.length, requests);
      assert.equal(rest.seen[0].path, path === "multi" ? "/multi-exec" : "/pipeline");
    }
  }
});

test("retries are counted, and none is made if none is wanted", async () => {
  for (const retries of [0, 1, 4]) {
    const { rest, client } = await answering(() => status(500), { retries });
    await fails(client.command(["GET", "a"]), "server", true);
    assert.equal(rest.seen.length, retries + 1);
  }
  const { rest, client } = await answering(() => status(500));
  await fails(client.command(["GET", "a"]), "server", true);
  assert.equal(rest.seen.length, 3, "two retries by default");
  const script = client.script("return 1", { idempotent: true });
  await fails(script.run(), "server");
  assert.equal(rest.seen.length, 6);
  await fails(script.run([], [], { idempotent: false }), "server");
  assert.equal(rest.seen.length, 7);
});

test("mayHaveRun is false only if nothing was carried out", async () => {
  const port = await freePort();
  const nobody = new Redis({ url: `http://127.0.0.1:${port}`, token: "t", retries: 1 });
  const refused = await fails(nobody.command(["INCR", "a"]), "unreachable", false);
  assert.equal(refused.retryIsSafe(false), true);
  await fails(nobody.pipeline([["INCR", "a"]]), "unreachable", false);
  const unknown = new Redis({ url: "http://no-such-host.invalid", token: "t", retries: 0 });
  await fails(unknown.command(["INCR", "a"]), "unreachable", false);

  // A server that takes a request, and then resets the connection or never answers.
  for (const [how, code] of /** @type {const} */ ([
    ["reset", "unreachable"],
    ["hang", "timeout"],
    ["close", "unreachable"],
  ])) {
    let connections = 0;
    const hostile = createServer((socket) => {
      connections++;
      socket.on("error", () => {});
      socket.once("data", () => {
        if (how === "reset") socket.resetAndDestroy();
        if (how === "close") socket.end();
      });
    });
    await new Promise((resolve) => hostile.listen(0, "127.0.0.1", () => resolve(undefined)));
    const { port: at } = /** @type {import("node:net").AddressInfo} */ (hostile.address());
    const client = new Redis({ url: `http://127.0.0.1:${at}`, token: "t", timeout: how === "hang" ? 100 : "10s" });
    const error = await fails(client.command(["INCR", "a"]), code, true);
    assert.equal(error.retryIsSafe(false), false);
    assert.equal(connections, 1, how);
    hostile.close();
  }
});

test("a first attempt that may have run is not forgotten", async () => {
  // The first attempt fails in an unknown way, the second one certainly ran nothing.
  let n = 0;
  const client = new Redis({
    ...{ url: "http://store.example", token: "t", retries: 1 },
    fetch: async () => {
      n++;
      if (n === 1) throw new TypeError("fetch failed", { cause: { code: "ECONNRESET" } });
      throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
    },
  });
  await fails(client.command(["SET", "a", 1], { idempotent: true }), "unreachable", true);
  assert.equal(n, 2);
});

test("the deadline is for the whole call, with its retries", async () => {
  const { rest, client } = await answering(() => status(500), { timeout: 300, retries: 100 });
  const error = await fails(client.command(["GET", "a"]), "server", true).catch(() => undefined);
  assert.ok(error === undefined || error.code === "server");
  assert.ok(rest.seen.length > 1 && rest.seen.length < 30, `${rest.seen.length} requests`);
  const hangs = await answering(() => undefined, { timeout: 50 });
  await fails(hangs.client.command(["GET", "a"]), "timeout", true);
  await fails(hangs.client.pipeline([["GET", "a"]]), "timeout", true);
  await fails(hangs.client.script("return 1").run(), "timeout", true);
  assert.equal(hangs.rest.seen.length, 3, "a deadline is not retried");
});

test("a long deadline is none that is over at once", async () => {
  const { client } = await answering(() => ok, { timeout: "60d" });
  assert.equal(await client.command(["GET", "a"]), "OK");
});

test("a signal ends a call, before it or while it runs", async () => {
  const { rest, client } = await answering(() => undefined);
  await fails(client.command(["GET", "a"], { signal: AbortSignal.abort() }), "aborted", false);
  assert.equal(rest.seen.length, 0);
  for (const call of [
    (/** @type {any} */ options) => client.command(["GET", "a"], options),
    (/** @type {any} */ options) => client.pipeline([["GET", "a"]], options),
    (/** @type {any} */ options) => client.multi([["GET", "a"]], options),
    (/** @type {any} */ options) => client.script("return 1").run([], [], options),
  ]) {
    const before = rest.seen.length;
    const stop = new AbortController();
    const running = call({ signal: stop.signal });
    await until(() => rest.seen.length > before, { every: 1 });
    stop.abort(new Error("the caller's reason"));
    const error = await fails(running, "aborted", true);
    assert.ok(!error.message.includes("reason"));
    assert.equal(error.retryIsSafe(true), false);
  }
  // The factory of the options makes a new signal for each call.
  const signals = /** @type {AbortController[]} */ ([]);
  const made = new Redis({
    ...{ url: rest.url, token: rest.token, timeout: "10s" },
    signal: () => {
      signals.push(new AbortController());
      return signals[signals.length - 1].signal;
    },
  });
  for (let n = 0; n < 2; n++) {
    const before = rest.seen.length;
    const running = made.command(["GET", "a"]);
    await until(() => rest.seen.length > before, { every: 1 });
    assert.equal(signals.length, n + 1);
    signals[n].abort();
    await fails(running, "aborted", true);
  }
  // A signal that ends while a retry is waited for.
  const failing = await answering(() => status(500), { retries: 100 });
  const stop = new AbortController();
  const running = failing.client.command(["GET", "a"], { signal: stop.signal });
  await until(() => failing.rest.seen.length >= 2, { every: 1 });
  stop.abort();
  await fails(running, "aborted", true);
});

test("listeners of signals that live long are removed", async () => {
  const stop = new AbortController();
  let added = 0;
  const { addEventListener, removeEventListener } = stop.signal;
  stop.signal.addEventListener = function (/** @type {any[]} */ ...args) {
    added++;
    return addEventListener.apply(this, /** @type {any} */ (args));
  };
  stop.signal.removeEventListener = function (/** @type {any[]} */ ...args) {
    added--;
    return removeEventListener.apply(this, /** @type {any} */ (args));
  };
  for (let n = 0; n < 5; n++) await redis.command(["PING"], { signal: stop.signal });
  assert.equal(added, 0);
});

test("what is too large is told, and not retried", async () => {
  const large = await answering(() => ({ text: `{"result":"${"AAAA".repeat(2_200_000)}"}` }));
  await fails(large.client.command(["GET", "a"]), "too_large", true);
  assert.equal(large.rest.seen.length, 1);
  const { client } = await answering(() => status(413, ""));
  await fails(client.command(["SET", "a", "b"]), "too_large", false);
  const text = await answering(() => status(400, { error: "ERR max request size exceeded" }));
  await fails(text.client.command(["SET", "a", "b"]), "too_large", false);
});

test("a reply of another shape is an error of the protocol", async () => {
  const replies = [
    "",
    "<html>",
    "null",
    "7",
    '"text"',
    "[]",
    "{}",
    '{"result"',
    '{"result":true}',
    '{"result":{"a":1}}',
    '{"result":["what",{"is":"this"}]}',
    '{"result":"not base64!"}',
    '{"result":"AAA"}',
    '{"result":"A"}',
    '{"error":7}',
    '[{"result":"T0s="}]',
    '{"result":{"integer":7}}',
    "\ud800",
    '{"result":"T0s="}}',
  ];
  for (const text of replies) {
    const { client } = await answering(() => ({ text }));
    await fails(client.command(["GET", "a"]), "protocol", true);
  }
  for (const text of [
    ...replies.filter((text) => !text.startsWith("[{")),
    '[{"result":1},{"result":2},{"result":3}]',
    '[{"result":1}]',
  ]) {
    const { client } = await answering(() => ({ text }));
    for (const path of /** @type {const} */ (["pipeline", "multi"])) {
      await fails(
        client[path]([
          ["GET", "a"],
          ["GET", "b"],
        ]),
        "protocol",
        true,
      );
    }
  }
  const { client } = await answering(() => [{ result: 1 }, { what: 2 }]);
  const [one, two] = await client.pipeline([
    ["GET", "a"],
    ["GET", "b"],
  ]);
  assert.deepEqual([one, two instanceof EdgeError && two.code], [1, "protocol"]);
});

test("a redirect is not followed with the token", async () => {
  const other = await startFakeRest(() => ok);
  const rest = await startFakeRest(() => ({ status: 307, text: "", headers: { location: other.url } }));
  await fails(new Redis({ url: rest.url, token: rest.token }).command(["GET", "a"]), "protocol", true);
  assert.equal(other.seen.length, 0);
});

test("each call sends the token, and reads its own writes", async () => {
  let n = 0;
  const rest = await startFakeRest(() => ({
    text: JSON.stringify(ok),
    headers: { "upstash-sync-token": `sync-${n++}` },
  }));
  const client = new Redis({ url: `${rest.url}/`, token: rest.token });
  for (let each = 0; each < 3; each++) await client.command(["GET", "a"]);
  assert.deepEqual(
    rest.seen.map(({ headers }) => [headers.authorization, headers["upstash-sync-token"]]),
    [undefined, "sync-0", "sync-1"].map((sync) => [`Bearer ${rest.token}`, sync]),
  );
  assert.ok(rest.seen.every(({ path }) => path === "/"));
});

test("no error tells an address, a token, a command or a value", async (t) => {
  const number = seed();
  t.diagnostic(`SEED=${number}`);
  const pick = choices(number);
  const secrets = [
    "s3cret-token-0123456789abcdef",
    "secret.key:1",
    "v4lue of mine",
    "10.11.12.13:6379",
    "host.internal",
  ];
  const texts = [
    (/** @type {string} */ s) => `ERR unknown command 'FOO', with args beginning with: '${s}'`,
    (/** @type {string} */ s) => `WRONGPASS invalid token ${s.replaceAll(" ", "-")}0123456789012345678901234567890`,
    (/** @type {string} */ s) => `ERR bad, command was: ["SET","${s}"]`,
    (/** @type {string} */ s) => `ERR "${s}" is wrong`,
    () => "MOVED 3999 10.11.12.13:6379",
    (/** @type {string} */ s) => `ERR see https://${s.replaceAll(" ", "")}/ for help`,
  ];
  for (let run = 0; run < times(150); run++) {
    const secret = pick.one(secrets);
    const said = pick.one(texts)(secret);
    const client = new Redis({
      ...{ url: "https://host.internal/x", token: "s3cret-token-0123456789abcdef", retries: 0 },
      fetch: async () => {
        if (pick.chance(0.3)) throw new TypeError(`failed to reach ${secret}`, { cause: new Error(secret) });
        const body = pick.chance(0.7) ? JSON.stringify({ error: said }) : said;
        return new Response(body, { status: pick.one([200, 400, 401, 403, 404, 429, 500, 503]) });
      },
    });
    const call = pick.one([
      () => client.command(["SET", "secret.key:1", "v4lue of mine"]),
      () => client.multi([["SET", "secret.key:1", "v4lue of mine"]]),
      () => client.script("return 'v4lue of mine'").run(["secret.key:1"]),
    ]);
    const error = await call().then(
      () => assert.fail("it passed"),
      (error) => error,
    );
    assert.ok(error instanceof EdgeError);
    const shown = `${error.message} ${error.stack} ${JSON.stringify(error)} ${error.redisCode} ${String(error.cause)}`;
    for (const each of secrets) assert.ok(!shown.includes(each), `${shown} has ${each}, from ${said}`);
  }
});

test("fromEnv finds Upstash's names, then Vercel's, and says what is missing", async () => {
  const [url, token] = [store.url, store.token];
  for (const env of [
    { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token },
    { KV_REST_API_URL: url, KV_REST_API_TOKEN: token },
    {
      UPSTASH_REDIS_REST_URL: ` ${url}\n`,
      UPSTASH_REDIS_REST_TOKEN: `${token}\n`,
      KV_REST_API_URL: "x",
      KV_REST_API_TOKEN: "y",
    },
    { UPSTASH_REDIS_REST_URL: "", UPSTASH_REDIS_REST_TOKEN: " ", KV_REST_API_URL: url, KV_REST_API_TOKEN: token },
  ]) {
    assert.equal(await Redis.fromEnv(env, { timeout: "20s" }).command(["PING"]), "PONG");
  }
  assert.equal(
    await Redis.fromEnv(
      { UPSTASH_REDIS_REST_URL: "http://other.invalid", UPSTASH_REDIS_REST_TOKEN: token },
      { url },
    ).command(["PING"]),
    "PONG",
  );
  assert.equal(await Redis.fromEnv({}, { url, token }).command(["PING"]), "PONG");
  const before = { ...process.env };
  try {
    process.env.UPSTASH_REDIS_REST_URL = url;
    process.env.UPSTASH_REDIS_REST_TOKEN = token;
    assert.equal(await Redis.fromEnv().command(["PING"]), "PONG");
    assert.equal(await Redis.fromEnv(undefined, { timeout: "20s" }).command(["PING"]), "PONG");
  } finally {
    process.env = before;
  }
  for (const [env, missing] of /** @type {const} */ ([
    [{}, "UPSTASH_REDIS_REST_URL"],
    [{ UPSTASH_REDIS_REST_URL: url }, "UPSTASH_REDIS_REST_TOKEN"],
    [{ UPSTASH_REDIS_REST_TOKEN: token }, "UPSTASH_REDIS_REST_URL"],
    [{ KV_REST_API_URL: url }, "KV_REST_API_TOKEN"],
  ])) {
    const error = await fails(() => Redis.fromEnv(env), "config", false);
    assert.ok(error.message.startsWith(missing), error.message);
  }
});

test("a wrong option or argument names its field", async () => {
  const base = { url: "https://a.example", token: "t" };
  for (const [options, field] of /** @type {[any, string][]} */ ([
    [{ ...base, url: undefined }, "url"],
    [{ ...base, url: "redis://a" }, "url"],
    [{ ...base, url: "https://user@a" }, "url"],
    [{ ...base, url: "https://a?b" }, "url"],
    [{ ...base, url: "https://a b" }, "url"],
    [{ ...base, token: "" }, "token"],
    [{ ...base, token: "a b" }, "token"],
    [{ ...base, token: "ä" }, "token"],
    [{ ...base, timeout: 0 }, "timeout"],
    [{ ...base, timeout: "2 weeks" }, "timeout"],
    [{ ...base, retries: -1 }, "retries"],
    [{ ...base, retries: 1.5 }, "retries"],
    [{ ...base, fetch: true }, "fetch"],
    [{ ...base, signal: AbortSignal.abort() }, "signal"],
    [undefined, "url"],
    [null, "url"],
  ])) {
    const error = await fails(() => new Redis(options), "config", false);
    assert.ok(error.message.startsWith(`${field}: `), `${field}: ${error.message}`);
    assert.ok(!/a\.example|user@a/.test(error.message));
  }
  const wrong = /** @type {any} */ (new Redis(base));
  for (const [call, field] of /** @type {[() => any, string][]} */ ([
    [() => wrong.command(), "command"],
    [() => wrong.command([]), "command"],
    [() => wrong.command("GET a"), "command"],
    [() => wrong.command([7]), "command[0]"],
    [() => wrong.command(["GET", undefined]), "command[1]"],
    [() => wrong.command(["GET", "a", Number.NaN]), "command[2]"],
    [() => wrong.command(["GET", {}]), "command[1]"],
    [() => wrong.command(["GET", "\ud800"]), "command[1]"],
    [() => wrong.command(["GET", 7n]), "command[1]"],
    [() => wrong.pipeline(), "commands"],
    [() => wrong.pipeline([["GET", "a"], []]), "commands[1]"],
    [() => wrong.multi([["GET", null]]), "commands[0][1]"],
    [() => wrong.script("return 1").run(["a", 7]), "keys[1]"],
    [() => wrong.script("return 1").run([], [null]), "args[0]"],
    [() => wrong.script(), "script"],
  ])) {
    const error = await fails(call, "config", false);
    assert.ok(error.message.startsWith(field), `${field}: ${error.message}`);
  }
});

test("a Redis that dies and comes back is reached again", async () => {
  const key = freshPrefix();
  await redis.command(["SET", key, "1"]);
  await server.kill();
  const error = await fails(new Redis({ ...store, timeout: 500 }).command(["GET", key]), "server");
  assert.equal(error.retryIsSafe(true), true);
  await server.restart();
  await until(async () => (await redis.command(["PING"])) === "PONG");
  assert.equal(await redis.command(["GET", key]), null);
});

test("calls at once do not mix their replies", async () => {
  const key = freshPrefix();
  const all = Array.from({ length: 200 }, (_, n) => redis.command(["ECHO", `${key}:${n}`]));
  assert.deepEqual(
    await Promise.all(all),
    all.map((_, n) => `${key}:${n}`),
  );
});

test("a fetch of one's own is called as a function", async () => {
  const held = gate();
  /** @type {any} */
  let seen;
  const client = new Redis({
    ...{ url: "https://a.example/base/", token: "t" },
    fetch: /** @type {typeof fetch} */ (
      async function (/** @type {any} */ url, /** @type {any} */ init) {
        // @ts-expect-error: it is what a bare call gives.
        seen = { self: this, url, init };
        held.open();
        return new Response('{"result":1}');
      }
    ),
  });
  assert.equal(await client.command(["INCR", "a"]), 1);
  assert.deepEqual([seen.self, seen.url, seen.init.method], [undefined, "https://a.example/base/", "POST"]);
  assert.equal(seen.init.body, '["INCR","a"]');
});
