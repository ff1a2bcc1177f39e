/** That isolates of one location, which share a Cache API, send an alert once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { post } from "../../src/shell/web/ops.js";

const URL_OF_HOOK = "https://hooks.example/x";

/**
 * Runs with this `fetch` and, if there is one, this cache in place of the platform's.
 * @param {import("node:test").TestContext} t
 * @param {() => Promise<Response>} answer
 * @param {object} [cache]
 */
function platform(t, answer, cache) {
  const sent = /** @type {string[]} */ ([]);
  const real = globalThis.fetch;
  globalThis.fetch = async (_, init) => {
    sent.push(String(init?.body));
    return answer();
  };
  /** @type {any} */ (globalThis).caches = cache && { default: cache };
  t.after(() => {
    globalThis.fetch = real;
    delete (/** @type {any} */ (globalThis).caches);
  });
  return sent;
}

/** A Cache API that several isolates share. */
function sharedCache() {
  /** @type {Map<string, Response>} */
  const kept = new Map();
  return {
    kept,
    match: async (/** @type {string} */ place) => kept.get(place),
    put: async (/** @type {string} */ place, /** @type {Response} */ response) => void kept.set(place, response),
    delete: async (/** @type {string} */ place) => kept.delete(place),
  };
}

const fine = async () => new Response(null, { status: 204 });

test("of two isolates of a location one sends, and both marks differ", async (t) => {
  const cache = sharedCache();
  const sent = platform(t, fine, cache);
  assert.equal(await post(URL_OF_HOOK, "1", "a-firing", "a-resolved"), "");
  assert.equal(await post(URL_OF_HOOK, "2", "a-firing", "a-resolved"), "");
  assert.equal(await post(URL_OF_HOOK, "3", "a-resolved", "a-firing"), "");
  assert.deepEqual(sent, ["1", "3"]);
  // The end of an outage is the end of its mark: the next one is told.
  assert.equal(await post(URL_OF_HOOK, "4", "a-firing", "a-resolved"), "");
  assert.deepEqual(sent, ["1", "3", "4"]);
  const [mark] = cache.kept.values();
  assert.equal(mark.headers.get("cache-control"), "max-age=300");
});

test("if the webhook fails, another isolate tries", async (t) => {
  let status = 500;
  const sent = platform(t, async () => new Response(null, { status }), sharedCache());
  assert.equal(await post(URL_OF_HOOK, "1", "a", "b"), "it answered 500");
  status = 200;
  assert.equal(await post(URL_OF_HOOK, "2", "a", "b"), "");
  assert.equal(await post(URL_OF_HOOK, "3", "a", "b"), "");
  assert.deepEqual(sent, ["1", "2"]);
});

test("without a cache, or with one that fails, each isolate sends", async (t) => {
  const fails = async () => {
    throw new Error("no cache here");
  };
  for (const cache of [undefined, { match: fails, put: fails, delete: fails }]) {
    const sent = platform(t, fine, cache);
    for (const body of ["1", "2"]) assert.equal(await post(URL_OF_HOOK, body, "a", "b"), "");
    assert.deepEqual(sent, ["1", "2"]);
  }
});

test("a webhook that cannot be reached says so without its address", async (t) => {
  platform(t, async () => {
    throw new TypeError(`cannot reach ${URL_OF_HOOK}`);
  });
  assert.equal(await post(URL_OF_HOOK, "1", "a", "b"), "it cannot be reached");
});
