import { pipe } from "./pipe.js";

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
    const { request, init, upload } = isWorker() ? forwarded(client, plan) : made(client, plan);
    const answered = fetch(request, { ...init, signal: alarm.signal });
    // The upload goes on if the origin answers before it has the whole body.
    if (upload) pass(upload, alarm);
    response = await answered;
    if (!isWorker()) response = decoded(response);
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
 * Whether this is a Worker, whose runtime does more with requests than the Fetch Standard says.
 */
function isWorker() {
  return "IdentityTransformStream" in globalThis;
}

/**
 * @typedef {object} Onward a request on its way to the origin
 * @property {Request} request
 * @property {RequestInit} init what `fetch` gets beside it
 * @property {Upload | undefined} upload its body, if that is passed on here
 */

/**
 * The client's request with another URL and other headers. Its body stays the same stream.
 *
 * Headers that do not change are copied without being read: as JavaScript strings, their octets
 * that are not UTF-8 would become U+FFFD. Nor is `cf` read, which would be parsed first.
 * @param {Request} client
 * @param {string} plan as of `send`
 * @returns {Onward}
 */
function forwarded(client, plan) {
  const [url, ...changes] = plan.split("\n");
  const request = new Request(url, client);
  change(request.headers, changes);
  const upload = uploadOf(request);
  /** @type {RequestInit} */
  const init = { redirect: "manual" };
  if (upload) init.body = upload.readable;
  return { request, init, upload };
}

/**
 * The same by the Fetch Standard. Neither what the client's request says to a browser nor its
 * signal goes on: others may wait for the response.
 * @param {Request} client
 * @param {string} plan as of `send`
 * @returns {Onward}
 */
function made({ method, headers: own, body }, plan) {
  const [url, ...changes] = plan.split("\n");
  const headers = new Headers(own);
  change(headers, changes);
  // The first is made of the URL, and the second refused by Node.
  headers.delete("host");
  headers.delete("expect");
  const codings = headers.get("accept-encoding");
  if (codings !== null) headers.set("accept-encoding", decodable(codings));
  /** @type {RequestInit & { duplex: "half" }} */
  const init = { method, headers, redirect: "manual", duplex: "half" };
  let upload;
  if (body && method !== "GET" && method !== "HEAD") {
    const { readable, writable } = pipe(lengthIn(headers));
    upload = { from: body.getReader(), to: writable.getWriter(), readable, room: 0 };
    init.body = readable;
  }
  return { request: new Request(url, init), init: {}, upload };
}

/** The content codings that all platforms undo before a program reads a body. */
const UNDONE = ["gzip", "x-gzip", "deflate", "br"];

/**
 * Of an `Accept-Encoding`, the codings that can be handed on or undone, whatever the platform does.
 * @param {string} codings
 */
function decodable(codings) {
  const all = codings.split(",").map((member) => member.trim());
  const kept = all.filter((member) => [...UNDONE, "identity"].includes(nameOf(member)));
  return kept.join(", ") || "identity";
}

/**
 * The name of a content coding, without a weight.
 * @param {string} member
 */
function nameOf(member) {
  return member.split(";")[0].trim().toLowerCase();
}

/**
 * The response, whose head says nothing of a content coding that the platform has undone. A
 * Worker's runtime applies it again on the way to the client; other platforms do not.
 *
 * Only what came from the network has a URL. What another function of the program has answered is
 * as its head says.
 * @param {Response} response
 */
function decoded(response) {
  const { status, statusText, headers, body, url } = response;
  const codings = headers.get("content-encoding")?.split(",").map(nameOf) ?? [];
  const isUndone = codings.length > 0 && codings.every((coding) => UNDONE.includes(coding));
  if (!isUndone || url === "" || status < 200 || status === 304) return response;
  const own = new Headers(headers);
  for (const name of ["content-encoding", "content-length", ...DIGESTS]) own.delete(name);
  // RFC 9110 §8.8.1: a strong validator changes whenever the octets of the content do.
  const tag = own.get("etag");
  if (tag !== null && !tag.startsWith("W/")) own.set("etag", `W/${tag}`);
  const content = status === 204 || status === 205 ? null : body;
  return new Response(content, { status, statusText, headers: own });
}

/** What tells the octets of a body as it was sent. */
const DIGESTS = ["content-digest", "repr-digest", "digest", "content-md5"];

/**
 * @param {Headers} headers
 * @param {string[]} changes lines of a plan, without the URL
 */
function change(headers, [keep, remove, ...set]) {
  if (keep !== "*") {
    const kept = keep.split(",");
    for (const name of [...headers.keys()]) if (!kept.includes(name)) headers.delete(name);
  }
  const removed = remove.split(",");
  for (let at = 0; at + 1 < removed.length; at++) headers.delete(removed[at]);
  for (let at = 0; at + 1 < set.length; at += 2) headers.set(set[at], set[at + 1]);
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
 * @property {ReadableStreamBYOBReader | ReadableStreamDefaultReader} from
 * @property {WritableStreamDefaultWriter} to
 * @property {ReadableStream} readable what the origin gets
 * @property {number} room the size of the memory that a chunk is read into; 0: chunks bring their
 *   own
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
  let memory = room > 0 ? new Uint8Array(room) : undefined;
  for (;;) {
    let piece;
    try {
      piece = await (memory ? from.read(memory) : /** @type {ReadableStreamDefaultReader} */ (from).read());
    } catch {
      // The client broke off.
      alarm.abort();
      return ignore(to.abort(new Error("the upload broke off")));
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
    if (memory) memory = new Uint8Array(piece.value.buffer);
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
 * Nothing waits for it, and its failure changes nothing.
 * @param {Promise<unknown>} promise
 */
function ignore(promise) {
  promise.catch(() => {});
}
