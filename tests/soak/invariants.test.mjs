/** Each invariant of a soak finds what breaks it, and nothing in logs that are well. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSFER, violations } from "./invariants.mjs";
import { CEILING, ISOLATES, LIMITS } from "./world.mjs";

/** @typedef {import("./invariants.mjs").Logs} Logs */
/** @typedef {import("./traffic.mjs").Entry} Entry */

const NOW = 1_700_000_000_000;

/** @param {Partial<Entry>} [changes] @returns {Entry} */
function entry({ path = "/exact", sentAt = NOW, ...changes } = {}) {
  const body = { number: 0, path, who: null };
  return {
    ...{
      client: "10.0.0.1",
      isolate: 0,
      path,
      who: null,
      sentAt,
      receivedAt: sentAt + 5,
      status: 200,
      limiter: "redis",
      body,
    },
    ...changes,
  };
}

/** @param {Partial<Logs>} changes */
function found(changes) {
  /** @type {Logs} */
  const well = {
    entries: [entry()],
    phases: [],
    answers: [],
    ends: [NOW],
    endless: [],
    memory: new Array(8).fill(100e6),
  };
  return violations({ ...well, ...changes });
}

/** @param {number} count @param {Partial<Entry>} [changes] */
function many(count, changes) {
  return Array.from({ length: count }, (_, n) => entry({ sentAt: NOW + n, ...changes }));
}

test("logs that are well have no violations", () => {
  assert.deepEqual(found({}), []);
  assert.deepEqual(found({ entries: many(LIMITS.exact.quota) }), []);
});

test("a request without an answer is one", () => {
  assert.match(found({ entries: [entry({ status: 0, body: null })] })[0], /was not answered/);
});

test("a window that holds more than the quota is one", () => {
  const { quota, window } = LIMITS.exact;
  assert.match(found({ entries: many(quota + 1) })[0], /21 in a window .* allowed 20/);
  // Of two limits, of two clients, or of two windows they are none; nor are refusals.
  assert.deepEqual(found({ entries: [...many(quota), entry({ path: "/lease" })] }), []);
  assert.deepEqual(found({ entries: [...many(quota), entry({ client: "10.0.0.2" })] }), []);
  assert.deepEqual(found({ entries: [...many(quota), entry({ sentAt: NOW + window + 1 })] }), []);
  assert.deepEqual(found({ entries: [...many(quota), ...many(9, { status: 429 })] }), []);
  // An answer of the origin that is an error was admitted.
  assert.equal(found({ entries: many(quota + 1, { path: "/limited-and-cached" }) }).length, 1);
});

test("while isolates decide by themselves the bound is that of the docs", () => {
  const { quota, localShare } = LIMITS.exact;
  const most = quota * (1 + ISOLATES * localShare);
  assert.deepEqual(found({ entries: many(most, { limiter: "local" }) }), []);
  assert.equal(found({ entries: many(most + 1, { limiter: "local" }) }).length, 1);
});

test("an answer that is older than its ceiling is one", () => {
  const path = "/cached/1";
  assert.deepEqual(found({ entries: [entry({ path, sentAt: NOW + CEILING + TRANSFER })] }), []);
  assert.match(found({ entries: [entry({ path, sentAt: NOW + CEILING + TRANSFER + 1 })] })[0], /6501 ms old/);
});

test("an answer for another, or to another question, is one", () => {
  const body = { number: 0, path: "/mine", who: "key-of-10.0.0.2" };
  assert.match(found({ entries: [entry({ path: "/mine", who: "key-of-10.0.0.1", body })] })[0], /got the answer/);
  assert.match(found({ entries: [entry({ path: "/exact", body })] })[0], /got the answer/);
});

test("an error of a server is one unless something failed shortly before", () => {
  const entries = [entry({ status: 500, body: null })];
  assert.match(found({ entries })[0], /although nothing failed/);
  /** @type {import("./faults.mjs").Phase} */
  const phase = { from: NOW - 500, until: NOW - 100, store: null, origin: "fails" };
  assert.deepEqual(found({ entries, phases: [phase] }), []);
  assert.equal(found({ entries, phases: [{ ...phase, origin: null, store: "hang" }] }).length, 1);
  const reduced = [entry({ status: 503, body: null })];
  assert.deepEqual(found({ entries: reduced, phases: [{ ...phase, origin: null, store: "hang" }] }), []);
  // A store that is slow because the machine is busy fails, too.
  assert.equal(found({ entries: reduced, answers: [{ at: NOW, took: 5 }] }).length, 1);
  assert.deepEqual(found({ entries: reduced, answers: [{ at: NOW, took: 600 }] }), []);
});

test("a key that never expires is one, and so is memory that grows", () => {
  assert.deepEqual(found({ endless: ["k"] }), ["k is in Redis for ever"]);
  const memory = [100, 100, 110, 110, 140, 140, 190, 190].map((mb) => mb * 1e6);
  assert.match(found({ memory })[0], /memory has grown from 110.0 MB to 190.0 MB/);
  assert.deepEqual(found({ memory: [] }), ["memory was not measured"]);
});
