/**
 * The floor: the same input and output as omnitrade-edge for one kind of request, in JavaScript,
 * and nothing else. It reads the same headers, makes the same call of the store, and sends the same
 * headers back; but the call and the answer are those that were seen before.
 *
 * @typedef {object} Floor the binding `FLOOR`
 * @property {string[]} read the names of the request's headers that are read
 * @property {number} status
 * @property {[string, string][]} headers of the answer
 * @property {string[]} changing the names of those that differ from one answer to the next
 * @property {string} body
 * @property {Call} [call] of the store
 *
 * @typedef {object} Call
 * @property {string} url
 * @property {[string, string][]} headers
 * @property {[string, string, string]} body in parts: between them stand the time in ms, and the id
 *   of the call
 * @property {number} idLength
 * @property {number} timeoutMs
 */

/** @typedef {{ headers: Headers, body: Uint8Array, changing: [string, string][] }} Prepared */

/** @type {Prepared | undefined} */
let prepared;
let calls = 0;

export default {
  /**
   * @param {Request} request
   * @param {{ FLOOR: Floor }} env
   * @returns {Response | Promise<Response>}
   */
  fetch(request, { FLOOR }) {
    const { read, status, call } = FLOOR;
    prepared ??= prepare(FLOOR);
    const head = [request.method, request.url];
    for (const name of read) head.push(request.headers.get(name) ?? "");
    const ready = prepared;
    return call === undefined ? answer(ready, status, head) : ask(call).then(() => answer(ready, status, head));
  },
};

/** @param {Floor} floor @returns {Prepared} */
function prepare({ headers, changing, body }) {
  return {
    headers: new Headers(headers),
    body: new TextEncoder().encode(body),
    changing: headers.filter(([name]) => changing.includes(name)),
  };
}

/** @param {Prepared} prepared @param {number} status @param {string[]} head */
function answer({ headers, body, changing }, status, head) {
  for (const [name, value] of changing) headers.set(name, value);
  // What was read is used, so that no compiler leaves it out.
  return head.length > 0 ? new Response(body, { status, headers }) : new Response();
}

/** @param {Call} call @returns {Promise<string>} */
async function ask({ url, headers, body: [start, middle, end], idLength, timeoutMs }) {
  const id = (calls++).toString(16).padStart(idLength, "0");
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), timeoutMs);
  const response = await fetch(url, {
    method: "POST",
    headers,
    body: `${start}${Date.now()}${middle}${id}${end}`,
    redirect: "manual",
    signal: controller.signal,
  });
  const text = await response.text();
  clearTimeout(timer);
  if (!response.ok) throw new Error(`the store answered ${response.status}: ${text}`);
  return text;
}
