/** A user of Redis with the rights that docs/jobs.md names can add jobs, and touch nothing else. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { root } from "../../scripts/lib/process.mjs";
import { startRestRedis } from "../support/servers.mjs";
import { command, losingStore, startStore, ways } from "./kit.mjs";

/** @type {import("./kit.mjs").TestStore} */
let store;
/** @type {Awaited<ReturnType<typeof startRestRedis>>} */
let rest;

const [, rule] = readFileSync(join(root, "docs/jobs.md"), "utf8").match(/^ACL SETUSER edge (.+)$/m) ?? [];

before(async () => {
  store = await startStore();
  await store.redis.call("ACL", "SETUSER", "edge", "on", ">secret", "resetchannels", "-@all", "+ping", "+info");
  await store.redis.call("ACL", "SETUSER", "edge", ...rule.split(" "));
  rest = await startRestRedis({ redisUrl: store.server.url.replace("//", "//edge:secret@") });
});
after(async () => {
  await rest.stop();
  await store.stop();
});

const place = { queue: "trading-bots" };

/** A user's denials, which Redis writes down. */
const denied = async () => /** @type {unknown[]} */ (await store.redis.call("ACL", "LOG"));

for (const way of ways) {
  test(`${way.name}: all kinds of jobs are added with these rights`, async () => {
    const id = (/** @type {number} */ n) => `${way.name.slice(0, 3)}-${n}`;
    const shared = { id: way.name, ttl: 60_000 };
    for (const opts of [
      {},
      { lifo: true },
      { delay: 60_000 },
      { priority: 7 },
      { jobId: id(1) },
      { jobId: id(1) },
      { deduplication: { id: id(2) } },
      { deduplication: { id: id(2), keepLastIfActive: true } },
      { deduplication: { ...shared, extend: true } },
      { deduplication: { ...shared, extend: true } },
      { delay: 5_000, deduplication: { id: id(3), replace: true } },
      { delay: 5_000, deduplication: { id: id(3), replace: true } },
    ]) {
      if (opts.deduplication && "keepLastIfActive" in opts.deduplication) {
        const first = await store.redis.get(`bull:trading-bots:de:${id(2)}`);
        await store.redis.lpush("bull:trading-bots:active", `${first}`);
      }
      for (const bullmq of /** @type {const} */ (["any", 6])) {
        await way.add(rest, { ...place, bullmq }, { name: "run", opts });
      }
    }
    const losing = await losingStore(rest, { lose: (number) => number === 1 });
    await way.add(losing, place, { name: "run" });
    assert.equal(losing.lost(), 1);
    losing.stop();
    assert.equal(await store.redis.exists(`bull:trading-bots:dn:${id(2)}`), 1, "the last one follows");
    assert.deepEqual(await denied(), []);
  });
}

test("a job is looked at with these rights, and another queue is not", async () => {
  const id = (await command(rest, place, ["add", "trading-bots", "run"])).trim();
  await command(rest, place, ["counts", "trading-bots"]);
  await store.redis.hset(`bull:trading-bots:${id}`, "finishedOn", 1, "returnvalue", "null");
  assert.match(await command(rest, place, ["tail", "trading-bots", id]), /completed/);
  assert.deepEqual(await denied(), []);
  await assert.rejects(command(rest, place, ["add", "other", "run"]), /does not allow/);
  assert.notEqual((await denied()).length, 0);
});
