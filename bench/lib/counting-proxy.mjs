/** A proxy in front of the REST Redis that counts the HTTP calls, and keeps the latest one. */
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";

/**
 * @typedef {{ path: string, headers: [string, string][], body: string }} Call
 */

/**
 * @param {string} target `http://host:port`
 * @returns {Promise<{
 *   url: string, calls: () => number, latest: () => Call | undefined, stop: () => void
 * }>}
 */
export async function startCountingProxy(target) {
  const agent = new Agent({ keepAlive: true });
  const { hostname, port } = new URL(target);
  let count = 0;
  /** @type {Call | undefined} */
  let latest;
  const server = createServer((incoming, outgoing) => {
    count++;
    const { method, url: path, headers } = incoming;
    const forwarded = request({ agent, hostname, port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on("error", () => outgoing.destroy());
    incoming.pipe(forwarded);
    const call = { path: path ?? "/", headers: /** @type {[string, string][]} */ (Object.entries(headers)), body: "" };
    incoming.setEncoding("utf8").on("data", (/** @type {string} */ text) => {
      call.body += text;
    });
    incoming.on("end", () => {
      latest = call;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${address.port}`,
    calls: () => count,
    latest: () => latest,
    stop: () => {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    },
  };
}
