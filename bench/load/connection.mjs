/**
 * One keep-alive connection that sends one request after the other. It is only a socket, so that on
 * a small machine the processor works for what is measured, and not for the measurement.
 */
import { once } from "node:events";
import { connect } from "node:net";

/**
 * @typedef {{ status: number, head: string, body: Buffer }} Reply `head`: in latin1, with the names
 *   as they were sent
 */

/** @typedef {Awaited<ReturnType<typeof openConnection>>} Connection */

const HEAD_END = Buffer.from("\r\n\r\n");
const LAST_CHUNK = Buffer.from("\r\n0\r\n\r\n");

/** @param {string} url `http://host:port` */
export async function openConnection(url) {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, "connect");

  let received = Buffer.alloc(0);
  /** @type {{ resolve: (reply: Reply) => void, reject: (error: Error) => void } | undefined} */
  let waiting;
  socket.on("data", (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const reply = complete(received);
    if (!reply) return;
    received = Buffer.alloc(0);
    waiting?.resolve(reply);
  });
  socket.on("error", (error) => waiting?.reject(error));
  socket.on("close", () => waiting?.reject(new Error("the connection was closed")));

  return {
    /**
     * @param {Buffer} request as {@link get} makes it
     * @returns {Promise<Reply>}
     */
    exchange: (request) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        socket.write(request);
      }),
    close: () => {
      waiting = undefined;
      socket.destroy();
    },
  };
}

/**
 * A GET request of a client with this API key.
 * @param {string} path
 * @param {string} key
 */
export function get(path, key) {
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\nHost: api.omnitrade.example\r\nX-Api-Key: ${key}\r\nCf-Connecting-Ip: 192.0.2.1\r\n\r\n`,
  );
}

/**
 * The reply, if these bytes are a complete one. No reply is followed by another in the same bytes.
 * @param {Buffer} bytes
 * @returns {Reply | undefined}
 */
function complete(bytes) {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return;
  const head = bytes.toString("latin1", 0, end);
  const body = bytes.subarray(end + HEAD_END.length);
  const length = head.match(/\r\ncontent-length: *(\d+)/i);
  const isComplete = length ? body.length >= Number(length[1]) : bytes.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK);
  return isComplete ? { status: Number(head.slice(9, 12)), head, body } : undefined;
}
