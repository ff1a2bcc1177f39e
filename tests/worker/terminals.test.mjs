/**
 * The shipped `wrangler.toml` before the frontend's users: terminals that poll as its pages do. No
 * honest one is refused, and what they cost the store stays small.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PROFILES } from "../../bench/terminals/profiles.mjs";
import { createTally, openPage, play, terminals } from "../../bench/terminals/terminal.mjs";
import { shippedEdge } from "../../scripts/lib/shipped.mjs";
import { seed } from "../support/random.mjs";
import { costOf, newClient, startGateBefore, surroundings } from "./kit.mjs";

const USERS = 8;
const SECONDS = 10;
const SEED = seed();

const around = await surroundings();
const { origin } = around;
const tokenOf = async (/** @type {string} */ user) => origin.tokens.issue({ user });

/**
 * A gate with the shipped configuration.
 * @param {string} key_prefix of its keys in the store
 */
function shippedGate(key_prefix) {
  const edge = shippedEdge(origin.url);
  return startGateBefore(around, { edge: { ...edge, redis: { ...edge.redis, key_prefix } } });
}

describe(`terminals, SEED=${SEED}`, () => {
  // Opening the pages is most of what they do in so short a time, so the bounds are not those of an
  // hour: they are of what a page costs when each of its requests came alone.
  for (const [name, most] of /** @type {const} */ ([
    ["A", 3],
    ["B", 1.5],
  ])) {
    test(`profile ${name}: nobody is refused, at most ${most} commands a request`, async () => {
      const gate = await shippedGate(`terminals-${name}`);
      const crowd = terminals({
        profile: PROFILES[name],
        users: USERS,
        seconds: SECONDS,
        seed: SEED,
        office: 4,
        arriving: 2,
      });
      const tally = createTally();
      const { calls, ...commands } = await costOf(around, () =>
        play(crowd, { isolates: gate.isolates, tokenOf, seconds: SECONDS, tally }),
      );
      const { requests, statuses, wrong } = tally.summary();
      assert.deepEqual(wrong, {}, JSON.stringify(statuses));
      const spent = Object.values(commands).reduce((sum, count) => sum + count, 0);
      assert.ok(spent <= most * requests, `${spent} commands for ${requests} requests: ${JSON.stringify(commands)}`);
    });
  }

  test("quotes leave a cancel its permits", async () => {
    const gate = await shippedGate("terminals-cancel");
    const tally = createTally();
    const page = openPage(gate.url, { token: await tokenOf("trader"), address: addressOf(newClient()), tally });
    const order = { exchangeId: "binance", symbol: "BTCUSDT", side: "buy", type: "limit", price: 1, quantity: 1 };
    const { id } = JSON.parse((await page.ask("/api/orders", { method: "POST", body: order })).text);
    for (let n = 0; n < 30; n++) await page.ask("/api/v1/market-data/orderbook?symbol=bitcoin&limit=20");
    assert.equal((await page.ask(`/api/orders/${id}`, { method: "DELETE" })).status, 200);
    page.close();
  });

  test("a socket.io client that polls is not refused", async () => {
    const gate = await shippedGate("terminals-polling");
    const tally = createTally();
    const page = openPage(gate.url, { token: await tokenOf("poller"), address: addressOf(newClient()), tally });
    await page.poll(4);
    page.close();
    assert.deepEqual(tally.summary().wrong, {});
    assert.ok(tally.summary().requests >= 5);
  });
});

/** @param {Record<string, string>} headers */
const addressOf = (headers) => headers["cf-connecting-ip"];
