/**
 * Both ends of a pipe for a body of this length, if that is known. The pipe has no buffer: each
 * write waits until the bytes are read.
 *
 * A Worker's runtime has pipes for bytes in addition to the Fetch API. Their length becomes the
 * `Content-Length` of a message; elsewhere that is the header's own.
 * @param {number | undefined} length in bytes
 * @returns {TransformStream}
 */
export function pipe(length) {
  const { FixedLengthStream, IdentityTransformStream } = /** @type {any} */ (globalThis);
  if (IdentityTransformStream === undefined) return new TransformStream();
  return length === undefined ? new IdentityTransformStream() : new FixedLengthStream(length);
}

/**
 * Passes a stream on into the end of a pipe. If one end breaks off, the other does too.
 * @param {ReadableStream} from
 * @param {WritableStream} to
 * @param {boolean} isOwn whether the program itself has made the stream. Such a stream may be a
 *   pipe, and a Worker's runtime does not connect two pipes by itself
 */
export function flow(from, to, isOwn) {
  (isOwn ? pump(from, to) : from.pipeTo(to)).catch(() => {});
}

/** @param {ReadableStream} from @param {WritableStream} to */
async function pump(from, to) {
  const [reader, writer] = [from.getReader(), to.getWriter()];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return await writer.close();
      await writer.write(value);
    }
  } catch (error) {
    await Promise.allSettled([reader.cancel(error), writer.abort(error)]);
  }
}
