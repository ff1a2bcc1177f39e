/** `createGate` over stores: our own client, those of other libraries, and stores that fail. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Redis as Ioredis } from "ioredis";
import { EdgeError, fromIoredis, Redis } from "../support/package.mjs";
import { startRedis, startRestRedis } from "../support/servers.mjs";
import { cacheStatus, edgeError, gateBeforeCounter, rejection, request } from "./kit.mjs";

/** @typedef {import("../../pkg/types/index.js").Store} Store */

const server = await startRedis();
const rest = await startRestRedis({ redisUrl: server.url });
const ioredis = new Ioredis(server.url);
after(async () => {
  ioredis.disconnect();
  await rest.stop();
  await server.stop();
});

/** @type {Record<string, () => Store>} */
const STORES = {
  "our own client": () => new Redis({ url: rest.url, token: rest.token }),
  ioredis: () => fromIoredis(ioredis),
};

let prefixes = 0;

/**
 * A configuration whose keys no other test has.
 * @returns {Partial<import("./kit.mjs").GateConfig>}
 */
function config() {
  prefixes++;
  return {
    redis: { key_prefix: `gate-${prefixes}`, timeout: "10s" },
    limits: { ip: { by: "ip", window: "1m", quota: 3 } },
    default_limits: ["ip"],
    routes: [{ path: "/cached/{n}", cache: { ttl: "1m", tags: ["all"] } }],
  };
}

/**
 * A store whose calls all end in this way.
 * @param {() => Promise<any>} end
 * @returns {Store & { calls: number }}
 */
function storeThat(end) {
  const store = {
    calls: 0,
    command: () => store.evaluate(),
    evaluate: () => {
      store.calls++;
      return end();
    },
  };
  return store;
}

for (const [name, open] of Object.entries(STORES)) {
  test(`${name}: gates that share it count together and share answers`, async () => {
    const own = config();
    const gates = Array.from({ length: 4 }, () => gateBeforeCounter(own, { redis: open() }));
    const statuses = [];
    for (const { gate } of gates) {
      const response = await gate.fetch(request("/other"));
      statuses.push(`${response.status} ${response.headers.get("x-edge-limiter")}`);
    }
    assert.deepEqual(statuses, ["200 redis", "200 redis", "200 redis", "429 redis"]);

    /** @type {Promise<unknown>[]} */
    const works = [];
    const context = { waitUntil: (/** @type {Promise<unknown>} */ work) => void works.push(work) };
    const [one, two] = gates;
    const miss = await one.gate.fetch(request("/cached/1"), context);
    const text = await miss.text();
    await Promise.all(works);
    const hit = await two.gate.fetch(request("/cached/1"));
    assert.equal(await hit.text(), text);
    assert.match(String(cacheStatus(hit)), /^hit;.*detail=redis/);
  });

  test(`${name}: a purge is everywhere`, async () => {
    const own = config();
    const [one, two] = [gateBeforeCounter(own, { redis: open() }), gateBeforeCounter(own, { redis: open() })];
    const urls = Array.from({ length: 3 }, (_, n) => `https://gate.example/cached/${n}`);
    const fill = async () => {
      for (const url of urls) await (await two.gate.fetch(request(new URL(url).pathname))).text();
    };
    await fill();
    await one.gate.purge({ tags: ["all"] });
    await two.gate.purge({ urls: [urls[0]] });
    const before = two.requests.length;
    await fill();
    assert.equal(two.requests.length, before + urls.length);
    // More names than one call takes.
    await one.gate.purge({ tags: Array.from({ length: 250 }, (_, n) => `tag-${n}`), urls });
  });
}

for (const code of /** @type {const} */ ([
  ...["timeout", "unreachable", "unauthorised", "quota_exhausted"],
  ...["server", "protocol", "command", "too_large", "config", "forbidden"],
])) {
  test(`a store that fails with ${code} is told as that, and local limits decide`, async (t) => {
    const warn = t.mock.method(console, "warn", () => {});
    for (const mayHaveRun of [true, false]) {
      /** @type {import("../../pkg/types/index.js").EdgeError[]} */
      const errors = [];
      const failure = edgeError(code, mayHaveRun, "as the test has it");
      const { gate } = gateBeforeCounter(config(), {
        redis: storeThat(() => Promise.reject(failure)),
        onError: (error) => void errors.push(error),
      });
      const response = await gate.fetch(request("/other"));
      assert.deepEqual([response.status, response.headers.get("x-edge-limiter")], [200, "local"]);
      assert.ok(errors.length > 0 && errors.every((error) => error instanceof EdgeError));
      assert.deepEqual([errors[0].code, errors[0].mayHaveRun], [code, mayHaveRun]);
      assert.match(errors[0].message, /as the test has it/);
    }
    assert.deepEqual(
      warn.mock.calls.map(({ arguments: [line] }) => line),
      [],
    );
  });
}

test("without a listener, failures of the store are in the log", async (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  const { gate } = gateBeforeCounter(config(), { redis: storeThat(() => Promise.reject(new Error("s3cret"))) });
  assert.equal((await gate.fetch(request("/other"))).status, 200);
  const lines = warn.mock.calls.map(({ arguments: [line] }) => String(line));
  assert.equal(lines.length, 1);
  assert.match(JSON.parse(lines[0]).detail, /^store: the store cannot be reached/);
  assert.doesNotMatch(lines[0], /s3cret/);
});

test("a listener that throws changes nothing", async () => {
  const { gate } = gateBeforeCounter(config(), {
    redis: storeThat(() => Promise.reject(edgeError("server", false, "down"))),
    onError: () => {
      throw new Error("of the listener");
    },
  });
  assert.equal((await gate.fetch(request("/other"))).status, 200);
});

test("a store that hangs is given up after the timeout of the configuration", async () => {
  /** @type {AbortSignal[]} */
  const signals = [];
  /** @type {import("../../pkg/types/index.js").EdgeError[]} */
  const errors = [];
  const { gate } = gateBeforeCounter(
    { ...config(), redis: { timeout: "50ms" } },
    {
      redis: {
        command: () => new Promise(() => {}),
        // The digest is asked for first. Then the source brings the call to the store.
        evaluate: (_script, _keys, _args, options) => {
          signals.push(/** @type {AbortSignal} */ (options?.signal));
          return new Promise(() => {});
        },
      },
      onError: (error) => void errors.push(error),
    },
  );
  const response = await gate.fetch(request("/other"));
  assert.deepEqual([response.status, response.headers.get("x-edge-limiter")], [200, "local"]);
  assert.deepEqual([errors[0].code, signals[0].aborted], ["timeout", true]);
});

test("Redis's own text in an error of any client is understood", async () => {
  /** @type {import("../../pkg/types/index.js").EdgeError[]} */
  const errors = [];
  const { gate } = gateBeforeCounter(config(), {
    redis: storeThat(() => Promise.reject(new Error("OOM command not allowed when used memory > 'maxmemory'."))),
    onError: (error) => void errors.push(error),
  });
  await gate.fetch(request("/other"));
  assert.deepEqual([errors[0].code, errors[0].mayHaveRun], ["quota_exhausted", false]);
});

test("a store that stays down is not asked for every request", async () => {
  const store = storeThat(() => Promise.reject(edgeError("unreachable", false, "down")));
  const { gate } = gateBeforeCounter(config(), { redis: store, onError: () => {} });
  for (let n = 0; n < 50; n++) await gate.fetch(request("/other", { ip: `192.0.2.${n}` }));
  assert.ok(store.calls < 25, `${store.calls} calls`);
  assert.match(gate.metrics(), /^edge_breaker_open 1$/m);
  assert.match(gate.metrics(), /^edge_store_calls_total\{op="admit",outcome="network"\} [1-9]/m);
});

test("a purge that the store does not confirm rejects with its error", async () => {
  const failure = edgeError("server", true, "down");
  const options = { redis: storeThat(() => Promise.reject(failure)), onError: () => {} };
  const { gate } = gateBeforeCounter(config(), options);
  const error = await rejection(gate.purge({ tags: ["all"] }));
  assert.deepEqual([error.code, error.mayHaveRun], ["server", true]);
  // The circuit breaker opens at last: then the store is not even asked.
  for (let n = 0; n < 20; n++) await rejection(gate.purge({ tags: ["all"] }));
  const calls = options.redis.calls;
  const last = await rejection(gate.purge({ tags: ["all"] }));
  assert.deepEqual([last.code, last.mayHaveRun, options.redis.calls], ["unreachable", false, calls]);
});

test("a purge of what cannot be purged says what is wrong", async () => {
  const { gate } = gateBeforeCounter(config());
  const wrong = /** @type {const} */ ([
    [{}, /tags, urls: expected 1 to 100 names/],
    [{ urls: ["/cached/1"] }, /urls\[0\]: expected a whole URL/],
    [{ urls: ["https://gate.example/other"] }, /urls\[0\]: expected a URL of a route with a cache/],
    [{ urls: ["nowhere"] }, /urls\[0\]: expected a URL/],
    [{ tags: [""] }, /tags\[0\]: expected a tag/],
    [{ tags: [7] }, /tags\[0\]: expected a tag/],
  ]);
  for (const [what, said] of wrong) {
    const error = await rejection(gate.purge(/** @type {any} */ (what)));
    assert.deepEqual([error.code, error.mayHaveRun], ["config", false], JSON.stringify(what));
    assert.match(error.message, said);
  }
  await gate.purge({ urls: ["https://gate.example/cached/1"], tags: ["all"] });
});
