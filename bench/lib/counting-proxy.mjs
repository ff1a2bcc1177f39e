/** A proxy in front of the REST Redis that counts the HTTP calls. */
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";

/**
 * @param {string} target `http://host:port`
 * @returns {Promise<{ url: string, calls: () => number, stop: () => void }>}
 */
export async function startCountingProxy(target) {
  const agent = new Agent({ keepAlive: true });
  const { hostname, port } = new URL(target);
  let count = 0;
  const server = createServer((incoming, outgoing) => {
    count++;
    const { method, url: path, headers } = incoming;
    const forwarded = request({ agent, hostname, port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on("error", () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${address.port}`,
    calls: () => count,
    stop: () => {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    },
  };
}
