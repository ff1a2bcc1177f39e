/**
 * One measurement of the npm package and its peer, in a process of its own:
 *
 *     node contest.mjs WHAT URL TOKEN MILLISECONDS CLIENTS
 *
 * It prints calls per second and processor time per call of both, as JSON. They run in turns, for
 * so many milliseconds each.
 */
import { setImmediate as turn } from "node:timers/promises";
import { RateLimiter, Redis } from "@omnitrade/edge";
import { Ratelimit } from "@upstash/ratelimit";
import { Redis as Peer } from "@upstash/redis";

const [what, url, token, milliseconds, clients] = process.argv.slice(2);
const PLENTY = 100_000_000;
const SUBJECTS = 1_000;

const redis = new Redis({ url, token });
const settings = /** @type {const} */ ({ quota: PLENTY, window: "60s", redis, timeout: "5s" });

/** @typedef {(n: number) => unknown} Call */

/** @type {Record<string, () => Promise<{ ours: Call, peer: Call, apart?: boolean }>>} */
const CONTESTS = { blocked, exact: async () => exact(), "exact-apart": async () => ({ ...exact(), apart: true }) };

/** What memory answers: permits fetched ahead, and the peer's refusal that it remembers. */
async function blocked() {
  const leased = new RateLimiter({ ...settings, name: "bench-leased", strategy: "lease" });
  const peer = new Ratelimit({ redis: new Peer({ url, token }), limiter: Ratelimit.slidingWindow(1, "60 s") });
  for (let n = 0; n < 3; n++) await peer.limit("blocked");
  if ((await peer.limit("blocked")).reason !== "cacheBlock") throw new Error("the peer does not remember");
  return {
    // A lease is used up now and then: that call asks the store.
    ours: () => leased.limitNow("leased") ?? leased.limit("leased"),
    peer: () => peer.limit("blocked"),
  };
}

function exact() {
  const limiter = new RateLimiter({ ...settings, name: "bench-exact" });
  const peer = new Ratelimit({ redis: new Peer({ url, token }), limiter: Ratelimit.slidingWindow(PLENTY, "60 s") });
  const id = (/** @type {number} */ n) => `subject-${n % SUBJECTS}`;
  return {
    ours: (/** @type {number} */ n) => limiter.limit(id(n)),
    peer: (/** @type {number} */ n) => peer.limit(id(n)),
  };
}

/**
 * @param {Call} call
 * @param {number} ms
 * @param {boolean} apart each client waits for a turn of its own before it calls, as requests of a
 *   server come
 */
async function measure(call, ms, apart) {
  const end = performance.now() + ms;
  const before = process.cpuUsage();
  let calls = 0;
  const client = async () => {
    while (performance.now() < end) {
      if (apart) await turn();
      // A clock reading takes as long as some of these calls.
      for (let n = 0; n < 20; n++) {
        const result = call(calls++);
        if (result instanceof Promise) await result;
      }
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: Number(clients) }, client));
  const { user, system } = process.cpuUsage(before);
  return { perSecond: (calls / (performance.now() - started)) * 1_000, cpuMicroseconds: (user + system) / calls };
}

const { ours, peer, apart = false } = await CONTESTS[what]();
// Compiled code, and a script that the server knows.
for (const call of [ours, peer]) await measure(call, Number(milliseconds) / 2, apart);
const results = {
  ours: await measure(ours, Number(milliseconds), apart),
  peer: await measure(peer, Number(milliseconds), apart),
};
process.stdout.write(JSON.stringify(results));
// The peer keeps its process alive.
process.exit(0);
