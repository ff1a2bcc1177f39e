/** Routes whose answers carry a version, and compression in Redis. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { ask, cacheStatus, costOf, listen, startGateBefore, startStore, until } from "./kit.mjs";

/** The origin's answers, in the order in which requests arrive. @type {Answer[]} */
let answers = [];
/** @typedef {{ timestamp: number | string, after?: Promise<unknown>, fill?: number }} Answer */
let arrived = 0;

const api = createServer(async (_, to) => {
  arrived++;
  const { after: hold, fill = 0, timestamp } = answers.shift() ?? { timestamp: 0 };
  await hold;
  to.writeHead(200, { "content-type": "application/json" });
  to.end(JSON.stringify({ levels: Array(fill).fill(["89049.81", "0.023290"]), timestamp }));
});

const { store, tap } = await startStore();
const cache = { ttl: "300ms", stale_while_revalidate: "10s" };
const gate = await startGateBefore(
  { origin: { url: await listen(api) }, store },
  {
    edge: {
      routes: [
        { path: "/book/{name}", cache: { ...cache, version: "json:timestamp" } },
        { path: "/plain/{name}", cache },
      ],
    },
    isolates: 2,
  },
);
const [first, second] = gate.isolates;

/** @param {{ url: string }} isolate @param {string} path */
const timestamp = async (isolate, path) => JSON.parse((await ask(isolate, path)).text).timestamp;

/** The timestamps of all entries in Redis that are not compressed. */
async function stored() {
  const keys = (await store.keys()).filter((key) => key.startsWith("ot:c:"));
  const texts = await Promise.all(keys.map((key) => store.run("GET", key)));
  return texts.map((text) => JSON.parse(text.slice(text.indexOf("\n"))).timestamp).sort();
}

for (const [what, older, newer] of /** @type {const} */ ([
  ["numbers", 1_768_478_430_000, 1_768_478_430_500],
  ["longer ones", "9", "10"],
  ["more than a double holds", "9007199254740992", "9007199254740993"],
])) {
  test(`an older answer that comes later displaces the newer one nowhere: ${what}`, async () => {
    await store.run("FLUSHALL");
    const path = `/book/late-${older}`;
    let release = () => {};
    const held = new Promise((resolve) => (release = () => resolve(undefined)));
    const before = arrived;
    answers = [{ timestamp: older, after: held }, { timestamp: newer }];
    // Two isolates miss; the one that asked first is answered last.
    const late = timestamp(first, path);
    await until(() => arrived === before + 1);
    assert.equal(await timestamp(second, path), newer);
    await until(async () => (await stored())[0] === newer);
    release();
    assert.equal(await late, older, "its own client gets it");
    // After the store has refused the older answer, the isolate drops it too and gets the newer
    // one.
    answers = Array.from({ length: 50 }, () => ({ timestamp: newer }));
    await until(async () => (await timestamp(first, path)) === newer);
    assert.deepEqual(await stored(), [newer]);
    // This stays so, whatever older answers the refreshes bring.
    answers = Array.from({ length: 500 }, () => ({ timestamp: older }));
    for (let n = 0; n < 20; n++) {
      for (const isolate of [first, second]) assert.equal(await timestamp(isolate, path), newer);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.deepEqual(await stored(), [newer]);
  });
}

test("a write that compares costs two commands more than one that does not", async () => {
  const write = async (/** @type {string} */ path) => {
    await store.run("FLUSHALL");
    answers = [{ timestamp: 5 }];
    return costOf({ store, tap }, async () => {
      assert.equal(await timestamp(first, path), 5);
      await until(async () => (await stored()).length === 1);
    });
  };
  // The first time the script is loaded.
  await write("/book/cost");
  const [compared, plain] = [await write("/book/costs"), await write("/plain/costs")];
  const count = (/** @type {Record<string, number>} */ cost) => [cost.evalsha, cost.mget, cost.set];
  assert.deepEqual(count(compared), [2, 2, 2], "each for the lease, then for the entry");
  assert.deepEqual(count(plain), [1, 1, 2]);
});

test("a body is compressed in Redis, and comes back as it was", async () => {
  await store.run("FLUSHALL");
  answers = [{ timestamp: 5, fill: 1_000 }];
  const sent = await ask(first, "/book/large");
  assert.ok(sent.text.length > 20_000);
  const key = await until(async () => (await store.keys()).find((name) => name.startsWith("ot:c:")));
  assert.ok((await store.run("STRLEN", key)) < 2_000);
  const back = await ask(second, "/book/large");
  assert.equal(cacheStatus(back).detail, "redis");
  assert.equal(back.text, sent.text);
});
