/**
 * The head of a stored response stays in JavaScript from one hit to the next, and only what differs
 * is set: no client ever gets what was said to another, whatever the runtime refuses in between.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bundleRefusingWorker } from "../support/counting.mjs";
import { ask, cacheStatus, limiter, setUp, until } from "./kit.mjs";

const QUOTA = 1_000;
const { gate } = await setUp({
  script: await bundleRefusingWorker(),
  edge: {
    partition_key: true,
    cors: { origins: ["https://one.example", "https://two.example"], credentials: true },
    limits: { each: { by: "client", window: "10m", quota: QUOTA, strategy: "lease" } },
    routes: [{ path: "/__origin/stream", limits: ["each"], cache: { ttl: "10m" } }],
  },
});

/** @typedef {import("./kit.mjs").Reply} Reply */

class Client {
  /** How many permits it was told are left. */
  left = QUOTA;
  /** @type {string | undefined} */
  partition;

  /** @param {string} key @param {string} [page] the origin of the page that asks */
  constructor(key, page) {
    this.key = key;
    this.page = page;
  }

  /**
   * @param {string} path
   * @param {{ method?: string, headers?: Record<string, string> }} [options]
   */
  async ask(path, { method, headers } = {}) {
    const own = { "x-api-key": this.key, ...(this.page && { origin: this.page }) };
    return ask(gate, path, { method, headers: { ...own, ...headers } });
  }

  /** Checks that an answer speaks of this client alone. @param {Reply} reply */
  check(reply) {
    const partition = /pk=:([^:]+):/.exec(String(reply.headers.ratelimit))?.[1];
    assert.ok(partition, `${reply.headers.ratelimit}`);
    this.partition ??= partition;
    assert.equal(partition, this.partition);
    assert.ok(String(reply.headers["ratelimit-policy"]).includes(`pk=:${partition}:`));
    assert.equal(reply.headers["access-control-allow-origin"], this.page);
    const remaining = Number(/;r=(\d+);/.exec(String(reply.headers.ratelimit))?.[1]);
    assert.ok(remaining < this.left, `${remaining} left, before ${this.left}`);
    this.left = remaining;
  }
}

/**
 * Fetches a response into the isolate, and permits for these clients: from then on they are
 * answered without a store, while the runtime refuses what a request says.
 * @param {string} path
 * @param {Client[]} clients
 */
async function prepare(path, clients) {
  for (const client of clients) {
    await until(async () => {
      const reply = await client.ask(path);
      return cacheStatus(reply).detail === "l1" && limiter(reply) === "lease";
    });
  }
}

test("clients that take turns are told of themselves only", async () => {
  const path = "/__origin/stream?bytes=100&length=true&turns";
  const clients = [
    new Client("a"),
    new Client("b"),
    new Client("c", "https://one.example"),
    new Client("d", "https://two.example"),
  ];
  for (let turn = 0; turn < 40; turn++) {
    // Not always the same one after the other.
    const client = clients[(turn * 7 + (turn >> 2)) % clients.length];
    const headers = turn % 5 === 3 ? { range: "bytes=1-9" } : undefined;
    const reply = await client.ask(path, { method: turn % 5 === 4 ? "HEAD" : "GET", headers });
    assert.equal(reply.status, headers ? 206 : 200);
    client.check(reply);
  }
  assert.equal(new Set(clients.map(({ partition }) => partition)).size, clients.length);
});

test("clients at the same time are told of themselves only", async () => {
  const path = "/__origin/stream?bytes=100&length=true&crowd";
  const clients = Array.from({ length: 12 }, (_, n) => new Client(`crowd ${n}`));
  for (let round = 0; round < 10; round++) {
    await Promise.all(clients.map(async (client) => client.check(await client.ask(path))));
  }
  assert.equal(new Set(clients.map(({ partition }) => partition)).size, clients.length);
});

test("after the runtime refused a part of a head, nobody gets the other part", async () => {
  const path = "/__origin/stream?bytes=100&length=true&refused";
  const [one, other] = [new Client("one"), new Client("other")];
  await prepare(path, [one, other]);
  for (const refused of ["set 1", "set 2", "set 3", "append 1", "append 4", "Response 1"]) {
    one.check(await one.ask(path));
    const reply = await other.ask(path, { headers: { "x-test-refuse": refused } });
    if (reply.status === 200) {
      // There was nothing so far that could be refused.
      other.check(reply);
    } else {
      assert.equal(reply.status, 502, refused);
      assert.equal(reply.headers.ratelimit, undefined, refused);
    }
    one.check(await one.ask(path));
    other.check(await other.ask(path));
  }
});

test("the test's runtime does refuse what it is told to", async () => {
  const path = "/__origin/stream?bytes=100&length=true&refusing";
  const client = new Client("refused");
  await prepare(path, [client]);
  const refusing = (/** @type {string} */ what) => client.ask(path, { headers: { "x-test-refuse": what } });
  // What the client was told last is another value now, and nothing else is set.
  assert.deepEqual([(await refusing("append 1")).status, (await refusing("set 1")).status], [200, 502]);
  // After that there is no head, so the next one is made from the beginning.
  assert.deepEqual([(await refusing("set 1")).status, (await refusing("append 1")).status], [200, 200]);
  assert.equal((await refusing("Response 1")).status, 502);
  assert.equal((await refusing("append 1")).status, 502);
  client.check(await client.ask(path));
});
