/** The status of an exchange that brought no reply: see `Outcome` in `fetch.rs`. */
const BROKEN = 0;
const LATE = 1;
const TOO_LARGE = 2;

/**
 * One HTTP exchange, for `fetch.rs`. It calls `done` once, whatever happens.
 *
 * @param {string} head in lines: the method, the address, the name of the reply's header that is of
 *   interest, and the names and values of the request's headers, in turns
 * @param {string | Uint8Array | undefined} body
 * @param {number} ms how long it may take
 * @param {number} most how many bytes the body of the reply may have
 * @param {(status: number, field?: string | null, body?: Uint8Array) => void} done
 */
export async function exchange(head, body, ms, most, done) {
  const [method, url, name, ...lines] = head.split("\n");
  /** @type {[string, string][]} */
  const headers = [];
  for (let at = 0; at + 1 < lines.length; at += 2) headers.push([lines[at], lines[at + 1]]);
  const controller = new AbortController();
  let status = BROKEN;
  const timer = setTimeout(() => {
    status = LATE;
    controller.abort();
  }, ms);
  let field;
  let bytes;
  try {
    // A redirect would take the token elsewhere.
    const init = /** @type {const} */ ({ method, headers, body, redirect: "manual", signal: controller.signal });
    const response = await fetch(url, init);
    field = response.headers.get(name);
    bytes = await read(response, most);
    status = bytes ? response.status : TOO_LARGE;
  } catch {
    // The status says what happened.
  }
  clearTimeout(timer);
  // Ends what was not read.
  if (!bytes) controller.abort();
  done(status, field, bytes);
}

/**
 * The body of a response; nothing if it is longer than `most`.
 * @param {Response} response
 * @param {number} most
 */
async function read(response, most) {
  const { headers, body } = response;
  // The length of a coded body is not the one that arrives here.
  const length = headers.has("content-encoding") ? null : headers.get("content-length");
  if (length !== null && !(Number(length) <= most)) return undefined;
  if (length !== null || body === null) return new Uint8Array(await response.arrayBuffer());
  const chunks = [];
  let total = 0;
  for await (const chunk of body) {
    total += chunk.length;
    if (total > most) return undefined;
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
