/** `subscribe()` and `psubscribe()` of `@upstash/redis`, over `serve-redis` before a real Redis. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Redis } from "@upstash/redis";
import { startRedis, startRestRedis } from "../support/servers.mjs";

/** @typedef {{ channel: string, message: unknown, pattern?: string }} Received */

/** @type {Awaited<ReturnType<typeof startRedis>>} */
let redis;
/** @type {Awaited<ReturnType<typeof startRestRedis>>} */
let rest;
/** @type {Redis} */
let client;

before(async () => {
  redis = await startRedis();
  rest = await startRestRedis({ redisUrl: redis.url });
  client = new Redis({ url: rest.url, token: rest.token });
});

after(async () => {
  await rest?.stop();
  await redis?.stop();
});

/**
 * What `subscriber` receives, once it is subscribed to `count` channels or patterns.
 * @param {ReturnType<Redis["subscribe"]>} subscriber
 * @param {"" | "p"} kind
 * @param {number} count
 */
async function listening(subscriber, kind, count = 1) {
  /** @type {Received[]} */
  const received = [];
  /** @type {(() => void)[]} */
  const waiting = [];
  subscriber.on(`${kind}message`, (event) => {
    received.push(event);
    for (const look of waiting) look();
  });
  await new Promise((resolve, reject) => {
    let left = count;
    subscriber.on("error", reject);
    subscriber.on(`${kind}subscribe`, (total) => {
      assert.equal(total, 1, "each has a connection of its own");
      left -= 1;
      if (left === 0) resolve(undefined);
    });
  });
  /** @param {number} n */
  const first = async (n) => {
    await new Promise((resolve) => {
      const look = () => received.length >= n && resolve(undefined);
      waiting.push(look);
      look();
    });
    return received;
  };
  return { received, first };
}

test("subscribers get every message of their channel, in order", async () => {
  const subscribers = [client.subscribe("orders"), client.subscribe(["orders"])];
  const heard = await Promise.all(subscribers.map((subscriber) => listening(subscriber, "")));
  const messages = ["really?", { id: 7, note: "a,b\nc" }, 12.5, ["x", null], "ünïcode ✓"];
  for (const message of messages) assert.equal(await client.publish("orders", message), 2);
  await client.publish("other", "not for them");
  for (const { first } of heard) {
    assert.deepEqual(
      await first(messages.length),
      messages.map((message) => ({ channel: "orders", message })),
    );
  }
  await Promise.all(subscribers.map((subscriber) => subscriber.unsubscribe()));
});

test("pattern subscribers are told pattern and channel of each message", async () => {
  const subscriber = client.psubscribe(["user:*", "chat:*:messages"]);
  const { first } = await listening(subscriber, "p", 2);
  await client.publish("user:123", { a: 1 });
  await client.publish("chat:room1:messages", { b: 2 });
  await client.publish("chat:room1:users", "nobody listens");
  const received = await first(2);
  const byChannel = received.toSorted((a, b) => a.channel.localeCompare(b.channel));
  assert.deepEqual(byChannel, [
    { pattern: "chat:*:messages", channel: "chat:room1:messages", message: { b: 2 } },
    { pattern: "user:*", channel: "user:123", message: { a: 1 } },
  ]);
  await subscriber.unsubscribe();
});

test("to unsubscribe closes the connection of that channel alone", async () => {
  const subscriber = client.subscribe(["stays", "goes"]);
  const { received, first } = await listening(subscriber, "", 2);
  await subscriber.unsubscribe(["goes"]);
  assert.deepEqual(subscriber.getSubscribedChannels(), ["stays"]);
  while ((await client.publish("goes", "too late")) > 0);
  assert.equal(await client.publish("stays", "here"), 1);
  await first(1);
  assert.deepEqual(received.at(-1), { channel: "stays", message: "here" });
  await subscriber.unsubscribe();
  while ((await client.publish("stays", "gone")) > 0);
});

test("a subscriber with another token is told the error", async () => {
  const stranger = new Redis({ url: rest.url, token: "another" }).subscribe("orders");
  const error = await new Promise((resolve) => stranger.on("error", resolve));
  assert.match(error.message, /^WRONGPASS invalid or missing auth token/);
});
