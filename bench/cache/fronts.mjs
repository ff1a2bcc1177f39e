/**
 * Starts what is measured in front of the same origin: the gate with one isolate and with two, and
 * its peers.
 */
import { bundleCountingWorker } from "../../tests/support/counting.mjs";
import { startCountingProxy } from "../lib/counting-proxy.mjs";
import { EDGE } from "./job.mjs";
import { startStampedOrigin } from "./origin.mjs";
import { PEERS } from "./peers.mjs";

/** @typedef {Awaited<ReturnType<typeof startFronts>>} Fronts */

/** The token of the admin endpoints. */
export const TOKEN = "a-token-for-the-measurements";

/** @param {import("../lib/ground.mjs").Ground} ground */
export async function startFronts({ start, rest }) {
  /** @type {(() => unknown)[]} */
  const stops = [];
  const stop = async () => {
    for (const stop of stops.toReversed()) await stop();
  };
  try {
    const origin = await startStampedOrigin();
    stops.push(origin.stop);
    const proxy = await startCountingProxy(rest.url);
    stops.push(proxy.stop);
    const gate = async (/** @type {string} */ name, isolates = 1, more = {}, restUrl = rest.url) => {
      const contestant = { name, title: name, vars: { EDGE_ADMIN_TOKEN: TOKEN }, ...more };
      const job = { ...EDGE, origin: origin.url };
      const started = await start(contestant, job, { isolates, restUrl });
      stops.push(started.stop);
      return { urls: started.isolates.map(({ url }) => url), pid: started.pid };
    };
    const one = await gate("cache-1");
    const two = await gate("cache-2", 2);
    // A separate gate, because the proxy that counts the calls is slower than the store that it
    // precedes.
    const metered = await gate("cache-metered", 2, {}, proxy.url);
    const counting = await gate("cache-counting", 1, { script: await bundleCountingWorker() });
    const plain = await gate("plain", 1, { source: "bench/peer/bytes.mjs" });
    const peers = [];
    for (const { program, start } of PEERS) {
      const peer = program === undefined ? undefined : await start(origin.port);
      if (peer) stops.push(peer.stop);
      peers.push(peer);
    }
    return { origin, proxy, one, two, metered, counting, plain, peers, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
