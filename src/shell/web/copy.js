/**
 * A body that a client reads while it is copied for the cache: a client that reads slowly holds
 * back neither the cache nor more memory than is bounded here.
 */
import { flow, pipe } from "./pipe.js";

/** How many bytes a client may always be behind the cache. */
const NEAR = 65_536;

/** How many bytes beyond that all clients together may be behind, and one half of what is left. */
const FAR = 8 * 1_024 * 1_024;

/** How long the cache waits for a client that is too far behind, in milliseconds. */
const PATIENCE = 1_000;

/**
 * How long a client counts that reads nothing, in milliseconds. The platform may have ended its
 * request without telling.
 */
const REMEMBERED = 120_000;

/** The size of the largest chunk that is read, in bytes. */
const LARGEST_CHUNK = 65_536;

/** What a copy fails with if its client reads too slowly: see `origin.rs`. */
const SLOW = "slow";

/**
 * By client: how many bytes it is too far behind, and since when. These are numbers, because the
 * clients belong to other requests.
 * @type {Map<symbol, { bytes: number, since: number }>}
 */
const behind = new Map();

/**
 * Passes a body on to a client and copies it for the cache.
 *
 * The platform could copy it too, but it would keep whatever its slower reader has not read yet.
 * Here the cache may be ahead of its client as long as there is room. Then it waits for the client,
 * and if that takes long, it does without the copy and leaves the body to the client.
 * @param {ReadableStream} body
 * @param {number | undefined} length in bytes, if it is known
 * @param {boolean} isOwn as `flow` has it
 * @returns {{ readable: ReadableStream, copy: ReadableStream, over: Promise<void> }} what the
 *   client reads, what the cache reads, and a promise that is kept when the cache reads no more of
 *   it and the client has what the cache has
 */
export function copied(body, length, isOwn) {
  const { readable, writable } = pipe(length);
  const [copy, client] = [new Copy(), new Client(writable)];
  run(body, length, copy, client, () => flow(body, writable, isOwn));
  return { readable, copy: copy.stream, over: copy.isOver.then(() => client.hasAll()) };
}

/**
 * @param {ReadableStream} body
 * @param {number | undefined} length
 * @param {Copy} copy
 * @param {Client} client
 * @param {() => void} passOn leaves the rest of the body to the client
 */
async function run(body, length, copy, client, passOn) {
  try {
    const reader = readerOf(body, length);
    // The origin may not send any more.
    const leave = () => {
      if (client.isGone && !copy.isWanted) reader.cancel();
    };
    copy.isOver.then(leave);
    client.onLeave = leave;
    while (copy.isWanted) {
      const chunk = await reader.next();
      if (chunk === undefined) {
        copy.end();
        return await client.end();
      }
      copy.take(chunk);
      client.take(chunk);
      if (copy.isWanted && !(await client.isNear())) copy.fail(SLOW);
    }
    await client.hasAll();
    if (client.isGone) return;
    reader.release();
    client.release();
    passOn();
  } catch (error) {
    copy.fail(error);
    client.fail(error);
  } finally {
    client.forget();
  }
}

/** A copy of a body for the cache, which reads it at once. */
class Copy {
  isWanted = true;
  /** @type {ReadableStreamDefaultController} */
  #controller = /** @type {any} */ (undefined);
  #over = () => {};

  constructor() {
    /** @type {Promise<void>} */
    this.isOver = new Promise((resolve) => {
      this.#over = () => {
        this.isWanted = false;
        resolve();
      };
    });
    this.stream = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => this.#over(),
    });
  }

  /** @param {Uint8Array} chunk */
  take(chunk) {
    if (this.isWanted) this.#controller.enqueue(chunk);
  }

  end() {
    if (this.isWanted) this.#controller.close();
    this.#over();
  }

  /** @param {unknown} reason */
  fail(reason) {
    if (this.isWanted) this.#controller.error(reason);
    this.#over();
  }
}

/** A client that reads from a pipe. */
class Client {
  #id = Symbol();
  #left = 0;
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** Whether it has hung up. */
  isGone = false;
  onLeave = () => {};

  /** @param {WritableStream} writable */
  constructor(writable) {
    this.writer = writable.getWriter();
    this.writer.closed.catch(() => this.#leaves());
  }

  /** @param {Uint8Array} chunk */
  take(chunk) {
    if (this.isGone) return;
    this.#left += chunk.length;
    this.writer.write(chunk).then(
      () => this.#reads(chunk.length),
      () => this.#leaves(),
    );
  }

  /** Whether it is not too far behind, or is so no more in time. */
  async isNear() {
    const deadline = Date.now() + PATIENCE;
    while (!this.#isNear()) {
      const left = deadline - Date.now();
      if (left <= 0) return false;
      await this.#progress(left);
    }
    return true;
  }

  #isNear() {
    const bytes = this.#left - NEAR;
    if (bytes <= 0) {
      behind.delete(this.#id);
      return true;
    }
    const isNear = bytes <= (FAR - othersBehind(this.#id)) / 2;
    if (isNear) behind.set(this.#id, { bytes, since: Date.now() });
    return isNear;
  }

  /** Waits until it has read all that it was given, or is gone. */
  async hasAll() {
    while (this.#left > 0) await this.#progress();
  }

  async end() {
    // It has hung up, or the body is not as long as it should be.
    await this.writer.close().catch(() => {});
  }

  /** @param {unknown} reason */
  fail(reason) {
    this.writer.abort(reason).catch(() => {});
  }

  release() {
    this.writer.releaseLock();
  }

  forget() {
    behind.delete(this.#id);
  }

  /** @param {number} bytes */
  #reads(bytes) {
    this.#left -= bytes;
    if (behind.has(this.#id)) this.#isNear();
    this.#tell();
  }

  #leaves() {
    this.isGone = true;
    this.#left = 0;
    this.forget();
    this.#tell();
    this.onLeave();
  }

  #tell() {
    for (const tell of this.#waiting) tell();
    this.#waiting.clear();
  }

  /**
   * Waits until it reads or leaves, for so long at most.
   * @param {number} [ms]
   */
  async #progress(ms) {
    let timer;
    await /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        this.#waiting.add(resolve);
        if (ms !== undefined) timer = setTimeout(resolve, ms);
      })
    );
    clearTimeout(timer);
  }
}

/**
 * How many bytes the other clients are too far behind.
 * @param {symbol} id
 */
function othersBehind(id) {
  let sum = 0;
  for (const [other, { bytes, since }] of behind) {
    if (since < Date.now() - REMEMBERED) behind.delete(other);
    else if (other !== id) sum += bytes;
  }
  return sum;
}

/**
 * Reads a body in large chunks if the platform can: each costs as much as a small one. A chunk has
 * memory of its own.
 * @param {ReadableStream} body
 * @param {number | undefined} length
 */
function readerOf(body, length) {
  const room = Math.min(Math.max(length ?? LARGEST_CHUNK, 1), LARGEST_CHUNK);
  /** @type {any} */
  let bytes;
  try {
    bytes = body.getReader({ mode: "byob" });
  } catch {
    // It is not a stream of bytes.
  }
  const reader = bytes ?? body.getReader();
  return {
    /** @returns {Promise<Uint8Array | undefined>} */
    next: async () => {
      const { done, value } = bytes ? await bytes.read(new Uint8Array(room)) : await reader.read();
      if (done) return undefined;
      // Otherwise a small chunk would keep the memory of a large one.
      return value.length < value.buffer.byteLength / 2 ? value.slice() : value;
    },
    cancel: () => reader.cancel().catch(() => {}),
    release: () => reader.releaseLock(),
  };
}
