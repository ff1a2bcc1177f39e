/**
 * Strangers: clients, API keys, URLs and `Origin`s that come once, and what they cost those who
 * come again and again. `npm run strangers` does it with a million of them, and measures memory.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { crowd, EDGE, QUOTA } from "../strangers/crowd.mjs";
import { respond, startRawOrigin } from "../support/raw.mjs";
import { startGateBefore, surroundings } from "./kit.mjs";

const around = await surroundings();
const large = respond({ body: "x".repeat(40_000) });
const raw = await startRawOrigin(({ target }) => (target.startsWith("/made-up/") ? large : respond({ body: "small" })));
after(() => raw.close());

/** A memory that six of the strangers' answers fill. */
const cache = { l1_size: "256KB", compress_from: "off" };

for (const [where, strangers, store] of /** @type {const} */ ([
  ["in local mode", 4_000, undefined],
  ["with Redis", 2_000, around.store],
])) {
  test(`strangers cost others neither hits nor limits, ${where}`, async (t) => {
    const gate = await startGateBefore({ origin: raw, store }, { edge: { ...EDGE, cache } });
    const seen = await crowd(gate.url, { strangers, perBusy: 10 });
    t.diagnostic(`${JSON.stringify(seen)}`);
    assert.deepEqual(Object.keys(seen.statuses), ["200"], "a stranger has a quota");
    assert.ok(seen.hits >= 0.95, `${seen.hits}`);
    assert.ok(seen.refused > 0, "the clients ask for more than they may");
    assert.ok(seen.most <= QUOTA, `${seen.most} in a window`);
  });
}
