/**
 * The shipped `wrangler.toml` before the frontend's users: terminals that poll as its pages do. No
 * honest one is refused, and what they cost the store stays small.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PROFILES } from "../../bench/terminals/profiles.mjs";
import { createTally, openPage, play, terminals } from "../../bench/terminals/terminal.mjs";
import { shippedEdge } from "../../scripts/lib/shipped.mjs";
import { seed } from "../support/random.mjs";
import { costOf, newClient, startGateBefore, surroundings } from "./kit.mjs";

/** How many of each profile there are, and how many of these share an address. */
const USERS = { A: 5, B: 15 };
const OFFICE = 4;

/** In seconds. Permits are fetched ahead once the rhythm of a client is known. */
const WARM_UP = 10;
const SECONDS = 20;

/** Commands per request after that. If each request asked the store it would be over four. */
const MOST = 1.6;

/** More than the window of a user holds, so that the last ones are refused. */
const QUOTES = 500;

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
  test("nobody is refused, and a request costs few commands", async () => {
    const gate = await shippedGate("terminals");
    const all = { seconds: SECONDS, seed: SEED, office: OFFICE, arriving: 2 };
    const crowd = [
      ...terminals({ ...all, profile: PROFILES.A, users: USERS.A }),
      ...terminals({ ...all, profile: PROFILES.B, users: USERS.B, first: USERS.A }),
    ];
    const tally = createTally();
    const playing = play(crowd, { isolates: gate.isolates, tokenOf, seconds: SECONDS, tally });
    await sleep(WARM_UP * 1_000);
    const before = tally.summary().requests;
    const { calls: _, ...commands } = await costOf(around, () => playing);
    const { requests, wrong } = tally.summary();
    assert.deepEqual(wrong, {});
    const perRequest = Object.values(commands).reduce((sum, count) => sum + count, 0) / (requests - before);
    assert.ok(perRequest <= MOST, `${perRequest}: ${JSON.stringify(commands)} for ${requests - before} requests`);
  });

  test("quotes leave a cancel its permits", async () => {
    const gate = await shippedGate("terminals-cancel");
    const tally = createTally();
    const page = openPage(gate.url, { token: await tokenOf("trader"), address: addressOf(newClient()), tally });
    const order = { exchangeId: "binance", symbol: "BTCUSDT", side: "buy", type: "limit", price: 1, quantity: 1 };
    const { id } = JSON.parse((await page.ask("/api/orders", { method: "POST", body: order })).text);
    for (let n = 0; n < QUOTES; n++) await page.ask("/api/v1/market-data/orderbook?symbol=bitcoin&limit=20");
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
