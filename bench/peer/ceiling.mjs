/** The ceiling: answers every request at once, with as many bytes as an order book has. */
const body = new Uint8Array(8_000).fill(0x20);

export default {
  /** @returns {Response} */
  fetch: () => new Response(body, { headers: { "content-type": "application/json" } }),
};
