/** The servers of a soak: a Redis behind a tap that can fail, an origin that can, and isolates. */
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { startRedis, startRestRedis } from "../../scripts/lib/servers.mjs";
import { startGate } from "../support/gate.mjs";
import { commandsOf, listenOn, startTap, storeVars } from "../worker/kit.mjs";

export const ISOLATES = 3;

/** The limits by name: permits, and the window in milliseconds. */
export const LIMITS = /** @type {const} */ ({
  exact: { quota: 20, window: 2_000, localShare: 0.5 },
  lease: { quota: 60, window: 10_000, localShare: 0.25 },
});

/** How old an answer of a cached route may be at most, in milliseconds. */
export const CEILING = 6_000;

/**
 * The deadline of a store call, in milliseconds: not so short that a busy machine looks like a
 * fault.
 */
const TIMEOUT = 500;

/**
 * For an isolate the platform has 128 MB in all. Without a bound V8 lets garbage grow as long as
 * the machine has memory, and so hides what is lost.
 */
const V8_FLAGS = ["--max-heap-size=48"];

/** How many cached resources there are. */
export const RESOURCES = 8;

const EDGE = {
  limits: {
    exact: { by: "ip", window: "2s", quota: LIMITS.exact.quota },
    lease: { by: "ip", window: "10s", quota: LIMITS.lease.quota, strategy: "lease", local_share: "25%" },
  },
  routes: [
    { path: "/exact", limits: ["exact"] },
    { path: "/lease", limits: ["lease"] },
    {
      path: "/cached/{n}",
      limits: [],
      cache: { ttl: "1s", stale_while_revalidate: "1s", stale_if_error: "5s" },
    },
    { path: "/limited-and-cached", limits: ["exact"], cache: { ttl: "1s" } },
    { path: "/mine", limits: [], cache: {} },
    { path: "/token", limits: [], cache: {} },
  ],
  client: { keys: "any" },
  redis: { key_prefix: "{soak}", timeout: `${TIMEOUT}ms` },
};

/**
 * What the origin does with a request.
 * @typedef {null | "fails" | "hangs" | "resets" | "drips" | "slow"} OriginFault
 */

/**
 * What happens to a call of the store.
 * @typedef {null | "hang" | "stall" | "reset" | "nonsense" | 500 | "slow" | "flapping"} StoreFault
 */

/** The end of each answer of the origin, in Unix ms, by its number. @typedef {number[]} Ends */

/** Starts everything. `stop` ends it. */
export async function startWorld() {
  /** @type {(() => Promise<unknown>)[]} */
  const ends = [];
  const stop = async () => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    const redis = await startRedis();
    ends.push(() => redis.stop());
    const rest = await startRestRedis({ redisUrl: redis.url });
    ends.push(() => rest.stop());
    const tap = await startTap(rest.url);
    ends.push(() => tap.close());
    const origin = await startOrigin();
    ends.push(() => origin.close());
    const gate = await startGate({
      edge: { ...EDGE, origin: origin.url, origin_timeout: "2s" },
      vars: storeVars({ url: tap.url, token: rest.token }),
      isolates: ISOLATES,
      v8Flags: V8_FLAGS,
    });
    ends.push(() => gate.stop());
    return { gate, origin, redis, store: faulty(tap), commands: commandsOf(rest), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @typedef {Awaited<ReturnType<typeof startWorld>>} World */

/** A tap whose fault may be that it is slow, or that each second call fails. */
function faulty(/** @type {Awaited<ReturnType<typeof startTap>>} */ tap) {
  const store = { fault: /** @type {StoreFault} */ (null), calls: () => tap.calls, answers: tap.answers };
  const isFault = () => store.fault !== "slow" && (store.fault !== "flapping" || tap.calls % 2 === 0);
  Object.defineProperties(tap, {
    fault: { get: () => (!isFault() ? null : store.fault === "flapping" ? "reset" : store.fault) },
    barrier: { get: () => (store.fault === "slow" ? sleep(2 * TIMEOUT) : undefined) },
  });
  return store;
}

/** An origin whose answers say by themselves when they were made, and for whom. */
async function startOrigin() {
  let made = 0;
  const origin = {
    url: "",
    fault: /** @type {OriginFault} */ (null),
    /** When each answer was complete, by its number. */
    ends: /** @type {Ends} */ ([]),
    close: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
  const server = createServer(async (from, to) => {
    to.on("error", () => {});
    const { fault } = origin;
    if (fault === "hangs") return;
    if (fault === "resets") return from.socket.resetAndDestroy();
    if (fault === "slow") await sleep(800);
    if (fault === "fails") return to.writeHead(500).end("failed");
    const number = made++;
    const who = from.headers["x-api-key"] ?? from.headers.authorization ?? null;
    const body = JSON.stringify({ number, path: from.url, who });
    const cacheControl = { "/mine": "private, max-age=60", "/token": "max-age=60" }[from.url ?? ""];
    to.writeHead(200, {
      "content-type": "application/json",
      "content-length": body.length,
      ...(cacheControl && { "cache-control": cacheControl }),
    });
    if (fault === "drips") {
      for (let at = 0; at < body.length; at += 10) {
        to.write(body.slice(at, at + 10));
        await sleep(50);
      }
    }
    origin.ends[number] = Date.now();
    to.end(fault === "drips" ? undefined : body);
  });
  server.keepAliveTimeout = 65_000;
  origin.url = await listenOn(server);
  return origin;
}
