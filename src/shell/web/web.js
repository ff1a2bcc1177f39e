/**
 * What `head.rs` needs of a request, in one text: the method, the URL, and for each of these names
 * the value of the header after a `=`, or nothing if there is no such header. They are apart by
 * line feeds, which none of them can hold.
 * @param {Request} request
 * @param {string[]} names
 */
export function headOf({ method, url, headers }, names) {
  let head = `${method}\n${url}`;
  for (const name of names) {
    const value = headers.get(name);
    head += value === null ? "\n" : `\n=${value}`;
  }
  return head;
}

/**
 * A response with these headers, once they are changed.
 * @param {number} status
 * @param {Headers} headers
 * @param {string} changes names and values in turns, apart by line feeds
 * @param {boolean} isNew whether the headers are empty still; else each name stands for the value
 *   that it has now
 * @param {Uint8Array | string | undefined} body
 */
export function answer(status, headers, changes, isNew, body) {
  const lines = changes === "" ? [] : changes.split("\n");
  for (let at = 0; at + 1 < lines.length; at += 2) {
    if (isNew) headers.append(lines[at], lines[at + 1]);
    else headers.set(lines[at], lines[at + 1]);
  }
  return new Response(body, { status, headers });
}

/**
 * The names of a request's headers, each once, apart by line feeds.
 * @param {Request} request
 */
export function namesOf({ headers }) {
  return [...headers.keys()].join("\n");
}

/**
 * The origin's response, once its head is changed. Its body stays the same stream. Fields that do
 * not change are copied without being read: as JavaScript strings, their octets that are not UTF-8
 * would become U+FFFD.
 * @param {Response} origin
 * @param {ReadableStream | null | undefined} body in place of its own
 * @param {string} changes in lines: the names of the headers to remove, each with a comma at its
 *   end; how many are set; the names and values of these, and then of those to append, in turns
 */
export function relay(origin, body, changes) {
  // 101: the other protocol has begun, and its socket belongs to this very object.
  if (origin.status === 101) return origin;
  const [remove, count, ...lines] = changes.split("\n");
  const response = copyOf(origin, body === undefined ? origin.body : body);
  const { headers } = response;
  const removed = remove.split(",");
  for (let at = 0; at + 1 < removed.length; at++) headers.delete(removed[at]);
  const appended = 2 * Number(count);
  for (let at = 0; at + 1 < lines.length; at += 2) {
    if (at < appended) headers.set(lines[at], lines[at + 1]);
    else headers.append(lines[at], lines[at + 1]);
  }
  return response;
}

/**
 * A copy of the response that may be changed.
 * @param {Response} origin
 * @param {ReadableStream | null} body
 */
function copyOf(origin, body) {
  const { status } = origin;
  // Fetch Standard, "null body status".
  const content = status === 204 || status === 205 || status === 304 ? null : body;
  try {
    // The second argument may be a response: status, text and headers are copied from it. Each
    // `Set-Cookie` stays a line of its own.
    return new Response(content, origin);
  } catch {
    // RFC 9112 §4 allows a tab in the reason phrase, the Fetch Standard does not. "A client SHOULD
    // ignore the reason-phrase content".
    return new Response(content, { status, headers: origin.headers });
  }
}

/** As `Promise.withResolvers`, which Node 20 does not have. */
export function withResolvers() {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/**
 * Starts a timer that does not keep a program from ending.
 * @param {() => void} callback
 * @param {number} ms
 */
export function setIdleTimeout(callback, ms) {
  const timer = setTimeout(callback, ms);
  /** @type {any} */ (timer)?.unref?.();
  /** @type {any} */ (globalThis).Deno?.unrefTimer?.(timer);
}
