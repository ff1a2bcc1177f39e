/** Asks a Redis for its own counts of commands, which include those inside scripts. */
import { once } from "node:events";
import { connect } from "node:net";

/**
 * @typedef {object} RedisInfo
 * @property {(section: string) => Promise<Map<string, string>>} info a section of `INFO`
 * @property {() => Promise<Map<string, number>>} calls how often each command ran, except `INFO`
 * @property {() => void} close
 */

/**
 * @param {number} port
 * @returns {Promise<RedisInfo>}
 */
export async function connectToRedis(port) {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  socket.unref();

  const info = async (/** @type {string} */ section) => {
    socket.ref();
    socket.write(`INFO ${section}\r\n`);
    const text = await bulkString(socket);
    socket.unref();
    const lines = text.split("\r\n").flatMap((line) => line.match(/^([^#:]+):(.*)$/) ?? []);
    /** @type {Map<string, string>} */
    const fields = new Map();
    for (let i = 0; i < lines.length; i += 3) fields.set(lines[i + 1], lines[i + 2]);
    return fields;
  };
  const calls = async () => {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const [name, fields] of await info("commandstats")) {
      const command = name.replace("cmdstat_", "");
      if (command !== "info") counts.set(command, Number(fields.match(/calls=(\d+)/)?.[1]));
    }
    return counts;
  };
  return { info, calls, close: () => socket.destroy() };
}

/**
 * @param {import("node:net").Socket} socket
 * @returns {Promise<string>}
 */
async function bulkString(socket) {
  let received = Buffer.alloc(0);
  for await (const [chunk] of onData(socket)) {
    received = Buffer.concat([received, chunk]);
    const header = received.toString("latin1").match(/^\$(\d+)\r\n/);
    if (!header) continue;
    const start = header[0].length;
    const end = start + Number(header[1]);
    if (received.length >= end + 2) return received.subarray(start, end).toString("utf8");
  }
  throw new Error("Redis closed the connection");
}

/** @param {import("node:net").Socket} socket */
async function* onData(socket) {
  while (!socket.destroyed) yield await once(socket, "data");
}
