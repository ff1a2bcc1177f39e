/**
 * The origin for the measurements of speed, in a process of its own. So that it takes little of a
 * small machine, it reads of a request only the path, and its answers are ready: `/large…` gets
 * 250 KB, and every other path 1 KB.
 *
 *     node bench/speed/origin.mjs
 */
import { once } from "node:events";
import { createServer } from "node:net";
import { spawnServer } from "../../scripts/lib/process.mjs";

export const SMALL = 1_000;
export const LARGE = 250_000;

const HEAD_END = Buffer.from("\r\n\r\n");

/** Starts it. */
export async function startOrigin() {
  const ready = /^origin on (http:\S+)$/;
  const server = await spawnServer(process.execPath, [import.meta.filename], { ready, name: "the origin" });
  return { url: server.ready[0][1], stop: server.stop };
}

/** @param {number} bytes */
function answerOf(bytes) {
  const head = [
    "HTTP/1.1 200 OK",
    "Content-Type: application/json",
    "Date: Wed, 25 Nov 2026 00:00:00 GMT",
    'ETag: "1"',
    `Content-Length: ${bytes}`,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${" ".repeat(bytes)}`);
}

async function serve() {
  const [small, large] = [answerOf(SMALL), answerOf(LARGE)];
  const server = createServer({ noDelay: true }, (socket) => {
    let received = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      for (let end = received.indexOf(HEAD_END); end >= 0; end = received.indexOf(HEAD_END)) {
        socket.write(received.toString("latin1", 0, 32).includes(" /large") ? large : small);
        received = received.subarray(end + HEAD_END.length);
      }
    });
    socket.on("error", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  console.log(`origin on http://127.0.0.1:${port}`);
}

if (process.argv[1] === import.meta.filename) await serve();
