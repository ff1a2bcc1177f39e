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
