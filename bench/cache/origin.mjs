/**
 * The origin for the measurements of the cache: every answer says when it was requested and when it
 * was made, so that its age is known to every client, whenever and from whichever front it gets the
 * answer.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { stamped } from "./stamp.mjs";

/** The size of a small answer in bytes, about that of an order book with fifteen levels. */
const SMALL = 1_000;

/** The size of a large answer in bytes, that of the list of 250 coins. */
export const LARGE = 250_000;

/** @typedef {Awaited<ReturnType<typeof startStampedOrigin>>} StampedOrigin */

/**
 * `/large…` answers with {@link LARGE} bytes, every other path with about 1 KB; no answer names a
 * lifetime.
 */
export async function startStampedOrigin() {
  /** @type {Map<string, number>} */
  const calls = new Map();
  const trouble = {
    /** How long each answer is delayed, in milliseconds. */
    latency: 0,
    /** @type {null | "reset" | "hang" | 503} */
    fault: null,
  };
  const server = createServer((request, response) => {
    const asked = Date.now();
    const path = request.url ?? "/";
    const call = (calls.get(path) ?? 0) + 1;
    calls.set(path, call);
    const { fault } = trouble;
    if (fault === "hang") return;
    setTimeout(() => {
      if (fault === "reset") return request.socket.resetAndDestroy();
      if (fault === 503) return response.writeHead(503, { "content-length": 0 }).end();
      const body = stamped({ asked, made: Date.now(), call }, path.startsWith("/large") ? LARGE : SMALL);
      response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body);
    }, trouble.latency);
  });
  server.keepAliveTimeout = 65_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    trouble,
    /** How often a path, with its query, was requested. @param {string} path */
    calls: (path) => calls.get(path) ?? 0,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
