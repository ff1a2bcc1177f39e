/**
 * Herds: what many clients at once cost an origin that fails, and how soon they have something
 * fresh once it is back.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { askRaw, chunk, END, RESET, respond } from "../support/raw.mjs";
import { cacheStatus, problem, startGateBefore, until } from "./kit.mjs";
import { SETTLED, setUpRaw } from "./raw-kit.mjs";

const edge = {
  origin_timeout: "2500ms",
  limits: { many: { by: "ip", window: "60s", quota: 1_000_000 } },
  routes: [
    SETTLED,
    { path: "/lasting/{n}", cache: { ttl: "10m" } },
    { path: "/shielded/{n}", cache: { ttl: "200ms", stale_while_revalidate: "10m", stale_if_error: "10m" } },
    {
      path: "/limited/{n}",
      limits: ["many"],
      cache: { ttl: "200ms", stale_while_revalidate: "10m", stale_if_error: "10m" },
    },
    { path: "/fallback/{n}", cache: { ttl: "200ms", stale_if_error: "10m" } },
  ],
};
const { here, there, serve, requestsOf, raw } = await setUpRaw({ edge });
const [local] = (await startGateBefore({ origin: raw }, { edge })).isolates;

/** The gate with Redis and without. */
const gates = /** @type {const} */ ([
  ["with Redis", here],
  ["in local mode", local],
]);

const head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n";
const failure = (/** @type {string[]} */ ...fields) => respond({ status: 503, reason: "Down", fields, body: "own" });

/**
 * How an origin fails: what it sends, and what its own client gets of it.
 * @type {[string, import("../support/raw.mjs").Pieces, number?][]}
 */
const FAULTS = [
  ["is reset", [RESET], 502],
  ["closes", [END], 502],
  ["sends nonsense", ["nonsense\r\n\r\n", END], 502],
  ["answers what must not be stored", failure("Cache-Control: no-store"), 503],
  ["answers what is stale at once", failure("Cache-Control: max-age=0"), 503],
  ["answers more than is shared", respond({ status: 500, body: "x".repeat(100_000) }), 500],
  ["breaks off by length", [`${head}Content-Length: 100\r\n\r\nabc`, 20, END]],
  ["breaks off between chunks", [`${head}Transfer-Encoding: chunked\r\n\r\n`, chunk("abc"), 20, RESET]],
  ["breaks off a failure", ["HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nabc", 20, END]],
];

/** How long the origin takes, so that all clients have come by then. */
const SLOWLY = 300;

/**
 * Eleven clients at once. A client whose answer breaks off gets `null`.
 * @param {{ url: string }} isolate @param {string} path
 */
async function eleven(isolate, path) {
  const replies = await Promise.allSettled(Array.from({ length: 11 }, () => askRaw(isolate, path)));
  return replies.map((reply) => (reply.status === "fulfilled" && reply.value.whole ? reply.value : null));
}

// These tests wait more than they compute.
describe("a leader fails", { concurrency: 6 }, () => {
  for (const [where, isolate] of gates) {
    for (const [what, pieces, status] of FAULTS) {
      test(`eleven on an origin that ${what} once are two calls, ${where}`, async () => {
        const good = respond({ body: "good" });
        const path = serve("/lasting/", (call) => [SLOWLY, .../** @type {any} */ (call === 1 ? pieces : good)]);
        const replies = await eleven(isolate, path);
        assert.equal(requestsOf(path).length, 2);
        const others = replies.filter((reply) => reply?.text === "good");
        assert.equal(others.length, 10, "all but one have what the second call brought");
        assert.equal(others.filter((reply) => reply && cacheStatus(reply).collapsed).length, 9);
      });

      test(`eleven on an origin that ${what} are two calls, ${where}`, async () => {
        const path = serve("/lasting/", () => [SLOWLY, .../** @type {any} */ (pieces)]);
        const replies = await eleven(isolate, path);
        assert.equal(requestsOf(path).length, 2);
        const told = replies.filter((reply) => reply && cacheStatus(reply).detail === "shared-failure");
        assert.equal(told.length, 9);
        for (const reply of told) problem(/** @type {any} */ (reply), 502);
        for (const reply of replies) if (reply && !told.includes(reply)) assert.equal(reply.status, status);
        const later = await askRaw(isolate, path);
        assert.equal(cacheStatus(later).detail, "shared-failure", "for a second");
        await until(async () => {
          await askRaw(isolate, path).catch(() => {});
          return requestsOf(path).length > 2;
        });
      });
    }

    test(`eleven on an origin that hangs are one call, ${where}`, async () => {
      const path = serve("/lasting/", () => [10_000]);
      const replies = await eleven(isolate, path);
      for (const reply of replies) problem(/** @type {any} */ (reply), 504);
      const calls = requestsOf(path).length;
      assert.ok(calls <= 2, `${calls} calls`);
    });
  }
});

/** How often a failing origin is asked whether it is back, in milliseconds. */
const PROBE = 100;

for (const [where, isolate] of gates) {
  for (const folder of ["/shielded/", "/limited/", "/fallback/"]) {
    for (const [what, pieces, lasts] of /** @type {[string, import("../support/raw.mjs").Pieces, number][]} */ ([
      [FAULTS[0][0], FAULTS[0][1], 1_500],
      [FAULTS[3][0], FAULTS[3][1], 1_500],
      [FAULTS[6][0], FAULTS[6][1], 1_500],
      // It is known when the first call has had its time.
      ["hangs", [60_000], 3_000],
    ])) {
      // Clients that wait for the origin get what is broken, and wait for as long as it hangs.
      if (folder === "/fallback/" && (what === "hangs" || what === FAULTS[6][0])) continue;
      test(`${folder} is fresh again with the first call after an outage: it ${what}, ${where}`, async (t) => {
        let isDown = false;
        const path = serve(folder, (call) =>
          isDown ? /** @type {any} */ (pieces) : respond({ body: `call ${call}` }),
        );
        assert.equal((await askRaw(isolate, path)).text, "call 1");
        isDown = true;
        const began = Date.now();
        let isOver = false;
        let fresh = Infinity;
        /** @type {Promise<void>[]} */
        const clients = Array.from({ length: 20 }, async () => {
          while (!isOver) {
            const { text } = await askRaw(isolate, path);
            const call = Number(text.slice("call ".length));
            if (call > 1) fresh = Math.min(fresh, call);
          }
        });
        await sleep(lasts);
        const during = requestsOf(path).length;
        isDown = false;
        const back = Date.now();
        await until(() => fresh < Infinity, { every: 5 });
        t.diagnostic(`fresh after ${Date.now() - back} ms, ${during} calls meanwhile`);
        isOver = true;
        await Promise.all(clients);
        const most = 1 + (back - began) / PROBE + 5;
        assert.ok(during <= most, `${during} calls in ${back - began} ms`);
        assert.equal(fresh, during + 1, "the first call that could succeed did");
      });
    }
  }
}

test("two isolates on a failing origin ask it in turns", async () => {
  let isDown = false;
  const path = serve("/shielded/", (call) => (isDown ? [RESET] : respond({ body: `call ${call}` })));
  for (const isolate of [here, there]) await askRaw(isolate, path);
  isDown = true;
  const began = Date.now();
  const end = began + 3_000;
  await Promise.all(
    [here, there, here, there].map(async (isolate) => {
      while (Date.now() < end) assert.equal((await askRaw(isolate, path)).text, "call 1");
    }),
  );
  const calls = requestsOf(path).length;
  // The one that has asked goes on until it hears that the other one does.
  const most = 2 + (1.5 * (Date.now() - began)) / PROBE;
  assert.ok(calls <= most, `${calls} calls`);
  isDown = false;
  for (const isolate of [here, there]) {
    await until(async () => (await askRaw(isolate, path)).text !== "call 1", { within: 2_000 });
  }
});
