/**
 * Answers at once with the bytes of a large or a small answer, and with the headers of a stored
 * one.
 */
const bodies = { "/large": new Uint8Array(250_000).fill(0x20), "/small": new Uint8Array(1_000).fill(0x20) };
const headers = [
  ["content-type", "application/json"],
  ["date", "Wed, 25 Nov 2026 00:00:00 GMT"],
  ["age", "1"],
  ["cache-status", "omnitrade-edge; hit; ttl=599; detail=l1"],
  ["x-edge-limiter", "none"],
];

export default {
  /** @param {Request} request */
  fetch: (request) => {
    const { pathname } = new URL(request.url);
    return new Response(pathname === "/large" ? bodies["/large"] : bodies["/small"], {
      headers: new Headers(/** @type {[string, string][]} */ (headers)),
    });
  },
};
