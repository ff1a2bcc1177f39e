/**
 * The origin of the measurements of the cache: every answer tells when it was asked for and when it was
 * made, so that whoever gets it, however late and by way of whom, can tell its age.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { stamped } from "./stamp.mjs";

/** How much a small answer weighs, about as an order book of fifteen levels. */
const SMALL = 1_000;

/** As the list of 250 coins weighs. */
export const LARGE = 250_000;

/** @typedef {Awaited<ReturnType<typeof startStampedOrigin>>} StampedOrigin */

/** `/large…` answers {@link LARGE} bytes, every other path about 1 KB; nothing says how long it is fresh. */
export async function startStampedOrigin() {
  /** @type {Map<string, number>} */
  const calls = new Map();
  const trouble = {
    /** Milliseconds before the answer. */
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
    /** How often a path, with its query, was asked for. @param {string} path */
    calls: (path) => calls.get(path) ?? 0,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
