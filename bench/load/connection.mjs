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
/** The last chunk of a body that has no other. */
const ONLY_CHUNK = LAST_CHUNK.subarray(2);
const NOTHING = Buffer.alloc(0);

/**
 * @param {string} url `http://host:port`
 * @param {{ bodies?: boolean }} [options] `bodies: false`: bodies are read, but the replies do not
 *   have them
 */
export async function openConnection(url, { bodies = true } = {}) {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, "connect");

  /** @type {Arriving | undefined} */
  let arriving;
  /** @type {{ resolve: (reply: Reply) => void, reject: (error: Error) => void } | undefined} */
  let waiting;
  socket.on("data", (chunk) => {
    arriving ??= new Arriving(bodies);
    const reply = arriving.take(chunk);
    if (!reply) return;
    arriving = undefined;
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
 * @param {[string, string][]} [headers] more of them
 */
export function get(path, key, headers = []) {
  const more = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\nHost: api.omnitrade.example\r\nX-Api-Key: ${key}\r\nCf-Connecting-Ip: 192.0.2.1\r\n${more}\r\n`,
  );
}

/** A reply of which a part has arrived. No reply is followed by another in the same bytes. */
class Arriving {
  /** What has arrived of the head. */
  /** @type {Buffer} */
  #start = NOTHING;
  /** @type {string | undefined} */
  #head;
  /** How long the body is, if the head says so. @type {number | undefined} */
  #length;
  #received = 0;
  /** What is kept of the body. @type {Buffer[]} */
  #kept = [];

  /** @param {boolean} keeps whether the reply has the body */
  constructor(keeps) {
    this.keeps = keeps;
  }

  /**
   * The reply, if it is complete with these bytes.
   * @param {Buffer} chunk
   * @returns {Reply | undefined}
   */
  take(chunk) {
    if (this.#head !== undefined) return this.#takeBody(this.#head, chunk);
    const bytes = this.#start.length === 0 ? chunk : Buffer.concat([this.#start, chunk]);
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      this.#start = bytes;
      return;
    }
    const head = bytes.toString("latin1", 0, end);
    this.#head = head;
    this.#length = lengthOf(head);
    return this.#takeBody(head, bytes.subarray(end + HEAD_END.length));
  }

  /** @param {string} head @param {Buffer} chunk */
  #takeBody(head, chunk) {
    this.#received += chunk.length;
    // Without a length, the end of the bytes tells whether the body is complete.
    const isKept = this.keeps || this.#length === undefined;
    if (isKept && chunk.length > 0) this.#kept.push(chunk);
    const isComplete = this.#length === undefined ? this.#endsWithLastChunk() : this.#received >= this.#length;
    if (!isComplete) return;
    const body = !this.keeps ? NOTHING : this.#kept.length === 1 ? this.#kept[0] : Buffer.concat(this.#kept);
    return { status: statusOf(head), head, body };
  }

  #endsWithLastChunk() {
    const last = this.#kept.at(-1);
    if (last === undefined) return false;
    if (last.length < LAST_CHUNK.length && this.#kept.length > 1) this.#kept = [Buffer.concat(this.#kept)];
    const end = this.#kept[this.#kept.length - 1].subarray(-LAST_CHUNK.length);
    return end.equals(LAST_CHUNK) || (this.#kept.length === 1 && end.equals(ONLY_CHUNK));
  }
}

/** @param {string} head */
function statusOf(head) {
  return Number(head.slice(9, 12));
}

/** The length of the body, unless it is sent in chunks. @param {string} head */
function lengthOf(head) {
  const status = statusOf(head);
  if (status === 204 || status === 304) return 0;
  const match = head.match(/\r\ncontent-length: *(\d+)/i);
  return match ? Number(match[1]) : undefined;
}
