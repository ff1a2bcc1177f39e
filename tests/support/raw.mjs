/**
 * Exact bytes on both sides of the gate: an origin and a client on plain sockets.
 *
 * Node's own HTTP decodes, folds, orders, checks and adds, but a test of what the gate does to a
 * message has to see the message itself. Here a text holds octets, one per character (latin1): the
 * test's bytes are sent unchanged and received bytes are shown unchanged. The only knowledge of
 * HTTP in this file is where a message ends.
 */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** How long a client waits for bytes that do not come, in milliseconds. */
const PATIENCE = 20_000;

/** A piece that ends this side of the connection. */
export const END = Symbol("end");

/** A piece that resets the connection. Bytes that have not left by then are lost. */
export const RESET = Symbol("reset");

/**
 * @typedef {string | Uint8Array} Bytes a text is octets, one for each character
 * @typedef {Bytes | number | typeof END | typeof RESET | null | undefined} Piece bytes; or a pause
 *   in milliseconds; or the end
 * @typedef {Piece | Iterable<Piece | Promise<Piece>> | AsyncIterable<Piece>} Pieces they are sent
 *   one after another, each when the one before has left, and a promise when it is kept
 */

/** @param {Bytes} bytes @returns {Buffer} */
export function octets(bytes) {
  return typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
}

/** The octets of a text in UTF-8, as a text of octets. @param {string} text */
export function utf8(text) {
  return Buffer.from(text).toString("latin1");
}

/**
 * The bytes of a message, for tests in which only its fields and its body matter.
 * @typedef {object} Message
 * @property {string[]} [fields] whole lines, without the line's end: `Name: value`
 * @property {Bytes} [body]
 * @property {"length" | "chunked" | "close" | "none"} [framing] by `Content-Length` (the default of
 *   responses, and of requests that have a body), in chunks, up to the end of the connection, or
 *   none: what has no body needs none
 */

/**
 * A response. If it is framed by the end of the connection, it ends the connection.
 * @param {Message & { status?: number | string, reason?: string }} [message]
 * @returns {(Buffer | typeof END)[]} pieces
 */
export function respond({ status = 200, reason = "OK", fields = [], body = "", framing = "length" } = {}) {
  const bytes = message(`HTTP/1.1 ${status} ${reason}`, { fields, body, framing });
  return framing === "close" ? [bytes, END] : [bytes];
}

/**
 * A request. Without a body it has no framing.
 * @param {string} target
 * @param {Message & { method?: string, host?: string }} [message]
 */
export function request(target, { method = "GET", host = "edge.example", fields = [], body, framing } = {}) {
  const way = framing ?? (body === undefined ? "none" : "length");
  return message(`${method} ${target} HTTP/1.1`, { fields: [`Host: ${host}`, ...fields], body, framing: way });
}

/** @param {string} line @param {Message} message */
function message(line, { fields = [], body = "", framing }) {
  const content = octets(body);
  const lines = [line, ...fields];
  if (framing === "length") lines.push(`Content-Length: ${content.length}`);
  if (framing === "chunked") lines.push("Transfer-Encoding: chunked");
  const chunks = content.length === 0 ? [chunk("")] : [chunk(content), chunk("")];
  const sent = framing === "chunked" ? Buffer.concat(chunks) : content;
  return Buffer.concat([octets([...lines, "", ""].join("\r\n")), sent]);
}

/** One chunk of a chunked body; the empty chunk ends it. @param {Bytes} bytes */
export function chunk(bytes) {
  const content = octets(bytes);
  return Buffer.concat([octets(`${content.length.toString(16)}\r\n`), content, octets("\r\n")]);
}

/**
 * The head of a message.
 * @typedef {object} Head
 * @property {string} head the exact bytes, up to and with the empty line
 * @property {string} line the first line
 * @property {[name: string, value: string][]} fields in their order, each line for itself; only the
 *   white space around a value is taken off
 */

/** @param {string} text @returns {Head} */
function headOf(text) {
  const [line, ...lines] = text.slice(0, -4).split("\r\n");
  return {
    head: text,
    line,
    fields: lines.map((field) => {
      const colon = field.indexOf(":");
      if (colon < 0) return [field, ""];
      return [field.slice(0, colon), field.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")];
    }),
  };
}

/**
 * The values of a field's lines, in their order.
 * @param {Pick<Head, "fields">} message
 * @param {string} name in any case
 */
export function linesOf({ fields }, name) {
  return fields.filter(([known]) => known.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

/**
 * The lines of a field as one value, or `undefined` if there is none (RFC 9110 §5.3).
 * @param {Pick<Head, "fields">} message
 * @param {string} name in any case
 */
export function combined(message, name) {
  const values = linesOf(message, name);
  return values.length === 0 ? undefined : values.join(", ");
}

/** @param {Head} head @param {boolean} isRequest */
function framingOf(head, isRequest) {
  if (linesOf(head, "transfer-encoding").some((value) => /(^|,)[ \t]*chunked[ \t]*$/i.test(value))) return "chunked";
  const length = combined(head, "content-length");
  if (length !== undefined) return Number(length.split(",")[0]);
  return isRequest ? 0 : "close";
}

/** The bytes that have arrived on a connection and were not taken yet. */
class Inbox {
  #bytes = Buffer.alloc(0);
  #wake = () => {};
  /** Whether the peer has ended its side, or the connection is gone. */
  over = false;
  /** Whether the connection was reset. */
  broken = false;

  /** @param {import("node:net").Socket} socket @param {{ patience?: number }} [options] */
  constructor(socket, { patience } = {}) {
    this.patience = patience;
    socket.on("data", (data) => {
      this.#bytes = this.#bytes.length === 0 ? data : Buffer.concat([this.#bytes, data]);
      this.#wake();
    });
    const end = () => {
      this.over = true;
      this.#wake();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", () => {
      this.broken = true;
    });
  }

  /** The bytes that have arrived, without taking them. */
  get waiting() {
    return this.#bytes;
  }

  /** Waits for more bytes. Returns false if none will come. */
  async more() {
    const known = this.#bytes.length;
    const deadline = this.patience === undefined ? Infinity : Date.now() + this.patience;
    while (this.#bytes.length === known) {
      if (this.over) return false;
      if (Date.now() >= deadline) {
        throw new Error(`no more bytes in ${this.patience} ms after ${JSON.stringify(this.#bytes.toString("latin1"))}`);
      }
      await new Promise((resolve) => {
        const timer = deadline === Infinity ? undefined : setTimeout(resolve, deadline - Date.now());
        this.#wake = () => {
          clearTimeout(timer);
          resolve(undefined);
        };
      });
    }
    return true;
  }

  /** Takes up to `most` bytes as soon as there are any; an empty buffer at the end. */
  async some(most = Infinity) {
    while (this.#bytes.length === 0 && (await this.more()));
    return this.#take(Math.min(most, this.#bytes.length));
  }

  /**
   * Takes all bytes up to and including `mark`; null if the connection ends before.
   * @param {string} mark
   */
  async upTo(mark) {
    for (;;) {
      const at = this.#bytes.indexOf(mark, 0, "latin1");
      if (at >= 0) return this.#take(at + mark.length).toString("latin1");
      if (!(await this.more())) return null;
    }
  }

  /** @param {number} length */
  #take(length) {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }
}

/**
 * The body of a message without its framing, piece by piece. Returns whether it is complete.
 * @param {Inbox} inbox
 * @param {number | "chunked" | "close"} framing
 * @returns {AsyncGenerator<Buffer, boolean>}
 */
async function* bodyOf(inbox, framing) {
  if (framing === "close") {
    for (;;) {
      const piece = await inbox.some();
      if (piece.length === 0) return !inbox.broken;
      yield piece;
    }
  }
  if (framing !== "chunked") return yield* exactly(inbox, framing);
  for (;;) {
    const size = Number.parseInt((await inbox.upTo("\r\n")) ?? "", 16);
    if (Number.isNaN(size)) return false;
    if (size > 0 && !(yield* exactly(inbox, size))) return false;
    if (size > 0 && (await inbox.upTo("\r\n")) === null) return false;
    if (size > 0) continue;
    // Trailers, and the line that ends them.
    for (;;) {
      const line = await inbox.upTo("\r\n");
      if (line === null) return false;
      if (line === "\r\n") return true;
    }
  }
}

/** @param {Inbox} inbox @param {number} length @returns {AsyncGenerator<Buffer, boolean>} */
async function* exactly(inbox, length) {
  for (let left = length; left > 0; ) {
    const piece = await inbox.some(left);
    if (piece.length === 0) return false;
    left -= piece.length;
    yield piece;
  }
  return true;
}

/** @type {WeakMap<import("node:net").Socket, Promise<void>>} */
const ends = new WeakMap();

/** A promise that resolves when a connection is gone. @param {import("node:net").Socket} socket */
function goneOf(socket) {
  const known = ends.get(socket);
  if (known) return known;
  /** @type {Promise<void>} */
  const gone = new Promise((resolve) => (socket.destroyed ? resolve() : socket.once("close", () => resolve())));
  ends.set(socket, gone);
  return gone;
}

/**
 * Sends pieces. Returns false if the connection ends before they have left.
 * @param {import("node:net").Socket} socket
 * @param {Pieces} pieces
 */
async function transmit(socket, pieces) {
  const gone = goneOf(socket);
  const isOne = typeof pieces !== "object" || pieces === null || pieces instanceof Uint8Array;
  const all = /** @type {any} */ (isOne ? [pieces] : pieces);
  const next = all[Symbol.asyncIterator]?.() ?? all[Symbol.iterator]();
  for (;;) {
    const { done, value } = /** @type {IteratorResult<any>} */ (
      await Promise.race([next.next(), gone.then(() => ({ done: true, value: null }))])
    );
    if (done) break;
    /** @type {Piece} */
    const piece = await Promise.race([value, gone]);
    if (piece === END) socket.end();
    else if (piece === RESET) socket.resetAndDestroy();
    else if (typeof piece === "number") await Promise.race([sleep(piece, undefined, { ref: false }), gone]);
    else if (piece !== null && piece !== undefined && !socket.destroyed) {
      if (!socket.write(octets(piece))) await Promise.race([once(socket, "drain"), gone]).catch(() => {});
    }
    if (socket.destroyed) break;
  }
  if (socket.destroyed) Promise.resolve(next.return?.()).catch(() => {}); // Nobody waits for the rest.
  return !socket.destroyed;
}

/**
 * @typedef {object} RawConnection the gate's connection to the origin
 * @property {number} id from 1
 * @property {import("node:net").Socket} socket to be paused, say
 * @property {boolean} closed whether the gate has closed it, or it is gone
 * @property {Promise<void>} whenClosed
 */

/**
 * @typedef {Head & {
 *   method: string,
 *   target: string,
 *   body: Buffer,
 *   whole: boolean,
 *   connection: RawConnection,
 * }} RawRequest what the origin has received; `body` is what has come of it so far, without its
 *   framing
 */

/**
 * @typedef {(request: RawRequest) => Pieces | Promise<Pieces>} Answer
 */

/**
 * Starts an origin that answers with exact bytes, on a free port. A connection takes one request
 * after another until it ends. It sends nothing but the pieces of the answers.
 *
 * @param {Answer} [answer] answers a request that is in; absent: an empty 200
 */
export async function startRawOrigin(answer = () => respond()) {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  const origin = {
    url: "",
    /** Answers a request once all of it has arrived. */
    answer,
    /**
     * Answers a request as soon as its head has arrived; returns nothing if `answer` should do it.
     */
    answerHead: /** @type {(request: RawRequest) => Pieces | undefined} */ (() => undefined),
    /** Answers for the next requests, in order. `answer` is asked only if this is empty. */
    queue: /** @type {Pieces[]} */ ([]),
    /**
     * The requests since the test last emptied this. A request appears as soon as its head has
     * arrived.
     */
    requests: /** @type {RawRequest[]} */ ([]),
    connections: /** @type {RawConnection[]} */ ([]),
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };

  server.on("connection", async (socket) => {
    sockets.add(socket);
    const inbox = new Inbox(socket);
    /** @type {RawConnection} */
    const connection = {
      id: origin.connections.length + 1,
      socket,
      closed: false,
      whenClosed: new Promise((resolve) => {
        const close = () => {
          connection.closed = true;
          resolve();
        };
        socket.once("end", close);
        socket.once("close", close);
      }),
    };
    origin.connections.push(connection);
    socket.once("close", () => sockets.delete(socket));
    for (;;) {
      const text = await inbox.upTo("\r\n\r\n");
      if (text === null) break;
      const head = headOf(text);
      const [method, target] = head.line.split(" ");
      const request = { ...head, method, target, body: Buffer.alloc(0), whole: false, connection };
      origin.requests.push(request);
      const early = origin.answerHead(request);
      const sent = early === undefined ? null : transmit(socket, early);
      const pieces = bodyOf(inbox, framingOf(head, true));
      for (let piece = await pieces.next(); ; piece = await pieces.next()) {
        if (piece.done) {
          request.whole = piece.value;
          break;
        }
        request.body = Buffer.concat([request.body, piece.value]);
      }
      if (!request.whole) break;
      if (!(await (sent ?? transmit(socket, origin.queue.shift() ?? (await origin.answer(request)))))) break;
    }
    // The gate has ended its side, so nobody reads what may still be sent.
    if (!socket.destroyed) socket.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  origin.url = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
  return origin;
}

/**
 * What a client has received: a reply of the kit, and the exact bytes beside it.
 * @typedef {Head & import("../worker/kit.mjs").Reply & {
 *   reason: string,
 *   whole: boolean,
 *   trailing: string,
 * }} RawReply `whole`: the body ended where its framing says; `body`: without its framing, but with
 *   its coding; `text`: the body's octets, one for each character
 */

/**
 * Opens a connection to the gate, or to anything else.
 * @param {{ url: string }} server
 */
export async function connectRaw({ url }) {
  const { hostname, port } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, noDelay: true, allowHalfOpen: true });
  const inbox = new Inbox(socket, { patience: PATIENCE });
  await once(socket, "connect");
  let sentAt = Date.now();
  const client = {
    /** The socket, for example to pause it. */
    socket,
    /** Whether the gate has ended its side. */
    get closed() {
      return inbox.over;
    },
    /**
     * Sends pieces. Returns false if the connection ends before they have left.
     * @param {Pieces} pieces
     */
    send: (pieces) => {
      sentAt = Date.now();
      return transmit(socket, pieces);
    },
    /**
     * Reads the head of the next response, which may be an interim one (1xx).
     * @returns {Promise<Head & { status: number, reason: string }>}
     */
    head: async () => {
      const text = await inbox.upTo("\r\n\r\n");
      if (text === null) {
        const got = JSON.stringify(inbox.waiting.toString("latin1"));
        throw new Error(`the connection ${inbox.broken ? "was reset" : "ended"} before a head; it has sent ${got}`);
      }
      const head = headOf(text);
      const [, status, reason] = head.line.match(/^HTTP\/1\.[01] (\d{3}) ?(.*)$/s) ?? [];
      if (status === undefined) throw new Error(`no status line: ${JSON.stringify(head.line)}`);
      return { ...head, status: Number(status), reason };
    },
    /**
     * The body that follows a head, piece by piece as it arrives. Returns whether it is complete.
     * @param {Head & { status: number }} head
     * @param {{ method?: string }} [options] what was asked: a response to `HEAD` has no body
     */
    body: (head, { method = "GET" } = {}) => {
      const isBare = method === "HEAD" || head.status < 200 || head.status === 204 || head.status === 304;
      return bodyOf(inbox, isBare ? 0 : framingOf(head, false));
    },
    /**
     * Reads the next whole response, and skips interim ones.
     * @param {{ method?: string }} [options] what was asked: a response to `HEAD` has no body
     * @returns {Promise<RawReply>}
     */
    reply: async (options) => {
      let head = await client.head();
      while (head.status < 200 && head.status !== 101) head = await client.head();
      const receivedAt = Date.now();
      const pieces = client.body(head, options);
      const parts = [];
      let piece = await pieces.next();
      for (; !piece.done; piece = await pieces.next()) parts.push(piece.value);
      const body = Buffer.concat(parts);
      const names = new Set(head.fields.map(([name]) => name.toLowerCase()));
      return {
        ...head,
        headers: Object.fromEntries([...names].map((name) => [name, /** @type {any} */ (combined(head, name))])),
        rawHeaders: head.fields.flat(),
        body,
        text: body.toString("latin1"),
        whole: piece.value,
        trailing: inbox.waiting.toString("latin1"),
        sentAt,
        receivedAt,
      };
    },
    /** Ends this side. What the gate still sends can be read. */
    end: () => socket.end(),
    /** Resets the connection, as a killed process does. */
    reset: () => socket.resetAndDestroy(),
    /** Closes the connection, as a browser does when its tab is closed. */
    close: () => socket.destroy(),
  };
  return client;
}

/**
 * Sends one request on its own connection and reads the whole response.
 * @param {{ url: string }} server
 * @param {string} target
 * @param {Parameters<typeof request>[1]} [options]
 * @returns {Promise<RawReply>}
 */
export async function askRaw(server, target, options = {}) {
  const client = await connectRaw(server);
  try {
    client.send(request(target, options));
    return await client.reply(options);
  } finally {
    client.close();
  }
}
