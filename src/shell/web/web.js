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
