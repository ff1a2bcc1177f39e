/**
 * Many clients of an entry that goes stale every second, on two isolates: which of them call the
 * origin, and which wait for it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, setUp } from "./kit.mjs";

const made = "/__origin/headers";
const TTL = 1_000;
const CLIENTS = 50;
const LENGTH = 3 * TTL + TTL / 2;

const { gate, origin } = await setUp({
  isolates: 2,
  edge: {
    routes: [{ path: made, cache: { ttl: `${TTL}ms`, stale_while_revalidate: "30s", stale_if_error: "30s" } }],
  },
});

test("of fifty clients on two isolates one refreshes, and none waits for it", async () => {
  const path = `${made}?__body={n}&__delay=60`;
  // This request comes alone, so that all others begin with its answer.
  const base = Number((await ask(gate.isolates[0], path)).text) - 1;
  const started = Date.now();
  const end = started + LENGTH;
  let waited = 0;
  let answers = 0;
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, n) => {
      while (Date.now() < end) {
        const begun = origin.counters.of(made);
        const reply = await ask(gate.isolates[n % 2], path);
        assert.equal(reply.status, 200);
        // The answer was made by a call that began after the request.
        if (Number(reply.text) - base > begun) waited++;
        answers++;
      }
    }),
  );
  assert.ok(answers > CLIENTS, `${answers} answers`);
  const calls = origin.counters.of(made);
  // The first call, and one for each time that the entry has gone stale; one more in case that two
  // isolates meet.
  const most = 1 + Math.ceil((Date.now() - started) / TTL) + 1;
  assert.ok(calls <= most, `${calls} calls of the origin, ${most} at most`);
  assert.equal(waited, 0, "answers that waited for the origin");
});
