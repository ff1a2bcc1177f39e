/** Why there is no response: see `origin.rs`. */
const FAILED = 0;
const LATE = 1;

/**
 * The size of the largest chunk of a request's body, in bytes. An upload in chunks of 4 KiB takes
 * five times as much CPU.
 */
const LARGEST_CHUNK = 65_536;

/**
 * Sends the client's request on, changed as `plan` says. It calls `done` once, whatever happens.
 * Redirects are left to the client.
 *
 * @param {Request} client
 * @param {string} plan in lines: the URL, the names of the only headers that are kept (or `*` if
 *   all are), the names of those that are removed, and the names and values of those that are set,
 *   in turns. Each of the names in one line has a comma at its end.
 * @param {number} ms the time that the origin has for its response. It starts when the whole
 *   request has been sent. Until then, it starts again with each chunk that the client sends.
 * @param {(status: number, lines: string, response?: Response) => void} done `status`: of the
 *   response, or why there is none; `lines`: the names and values of its headers, in turns, each
 *   with a line feed at its end
 */
export async function send(client, plan, ms, done) {
  const alarm = new Alarm(ms);
  let lines = "";
  let response;
  try {
    const request = forwarded(client, plan);
    /** @type {RequestInit} */
    const init = { redirect: "manual", signal: alarm.signal };
    const upload = uploadOf(request);
    if (upload) init.body = upload.readable;
    const answered = fetch(request, init);
    // The upload goes on if the origin answers before it has the whole body.
    if (upload) pass(upload, alarm);
    response = await answered;
    for (const [name, value] of response.headers) lines += `${name}\n${value}\n`;
    // The client did not ask for another protocol, so it cannot speak one.
    if (response.status === 101 && !(/** @type {any} */ (response).webSocket)) response = undefined;
  } catch {
    // `alarm` knows why.
  }
  alarm.stop();
  done(response?.status ?? (alarm.rang ? LATE : FAILED), lines, response);
}

/**
 * The client's request with another URL and other headers. Its body stays the same stream.
 *
 * Headers that do not change are copied without being read: as JavaScript strings, their octets
 * that are not UTF-8 would become U+FFFD. Nor is `cf` read, which would be parsed first.
 * @param {Request} client
 * @param {string} plan as of `send`
 */
function forwarded(client, plan) {
  const [url, keep, remove, ...set] = plan.split("\n");
  const request = new Request(url, client);
  const { headers } = request;
  if (keep !== "*") {
    const kept = keep.split(",");
    for (const name of [...headers.keys()]) if (!kept.includes(name)) headers.delete(name);
  }
  const removed = remove.split(",");
  for (let at = 0; at + 1 < removed.length; at++) headers.delete(removed[at]);
  for (let at = 0; at + 1 < set.length; at += 2) headers.set(set[at], set[at + 1]);
  return request;
}

/** Aborts a request when its time is over. Each chunk that is passed on starts the time again. */
class Alarm {
  #controller = new AbortController();
  #since = Date.now();
  /** Whether the request is answered, or has failed. */
  #stopped = false;
  /** Whether its time was over. */
  rang = false;

  /** @param {number} ms */
  constructor(ms) {
    this.ms = ms;
    this.timer = setTimeout(() => this.#look(), ms);
  }

  get signal() {
    return this.#controller.signal;
  }

  /** Aborts the request if its time is over, and looks again later otherwise. */
  #look() {
    const left = this.ms - Math.max(Date.now() - this.#since, 0);
    if (left > 0) {
      this.timer = setTimeout(() => this.#look(), left);
    } else {
      this.rang = true;
      this.#controller.abort();
    }
  }

  /** Gives the request its whole time again. */
  progress() {
    this.#since = Date.now();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.timer);
  }

  /** Aborts after the client broke off, so that the origin does not take the part for the whole. */
  abort() {
    if (!this.#stopped) this.#controller.abort();
  }
}

/**
 * @typedef {object} Upload a body on its way from the client to the origin
 * @property {ReadableStreamBYOBReader} from
 * @property {WritableStreamDefaultWriter} to
 * @property {ReadableStream} readable what the origin gets
 * @property {number} room the size of the memory that a chunk is read into
 */

/**
 * Puts a pipe between the client's body and the origin. Nothing if there is no body, or if the
 * runtime passes it on itself.
 *
 * The runtime refuses to make a `GET` with a body, but it forwards one that it received. A body
 * that comes from another Worker, and not from the network, may not be a stream of bytes.
 * @param {Request} request
 * @returns {Upload | undefined}
 */
function uploadOf({ method, headers, body }) {
  if (method === "GET" || method === "HEAD" || !body) return undefined;
  const length = lengthIn(headers);
  const { readable, writable } = pipe(length);
  let from;
  try {
    from = /** @type {any} */ (body).getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
  const room = Math.min(Math.max(length ?? LARGEST_CHUNK, 1), LARGEST_CHUNK);
  return { from, to: writable.getWriter(), readable, room };
}

/**
 * Passes an upload on.
 * @param {Upload} upload
 * @param {Alarm} alarm
 */
async function pass({ from, to, room }, alarm) {
  let memory = new Uint8Array(room);
  for (;;) {
    let piece;
    try {
      piece = await from.read(memory);
    } catch {
      // The client broke off.
      alarm.abort();
      return ignore(to.abort());
    }
    alarm.progress();
    try {
      await (piece.done ? to.close() : to.write(piece.value));
    } catch {
      // The origin takes no more. It may have answered already.
      return ignore(from.cancel());
    }
    alarm.progress();
    if (piece.done) return;
    // The origin has the chunk: the next one may use the same memory.
    memory = new Uint8Array(piece.value.buffer);
  }
}

/**
 * The `Content-Length`, if there is one.
 * @param {Headers} headers
 */
function lengthIn(headers) {
  const text = headers.get("content-length") ?? "";
  return /^\+?\d+$/.test(text) && Number(text) < 2 ** 64 ? Number(text) : undefined;
}

/**
 * Both ends of a pipe for a body of this length, if that is known. The pipe has no buffer: each
 * write waits until the bytes are read.
 * @param {number | undefined} length in bytes
 * @returns {TransformStream}
 */
function pipe(length) {
  const { FixedLengthStream, IdentityTransformStream } = /** @type {any} */ (globalThis);
  return length === undefined ? new IdentityTransformStream() : new FixedLengthStream(length);
}

/**
 * Nothing waits for it, and its failure changes nothing.
 * @param {Promise<unknown>} promise
 */
function ignore(promise) {
  promise.catch(() => {});
}
