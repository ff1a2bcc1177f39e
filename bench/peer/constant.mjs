/**
 * Bare JavaScript: answers every request at once with the same bytes. It is the most that workerd
 * can do.
 */

/** @type {Uint8Array | undefined} */
let body;

export default {
  /**
   * @param {unknown} _
   * @param {{ BYTES: string }} env `BYTES`: how many
   * @returns {Response}
   */
  fetch(_, { BYTES }) {
    body ??= new Uint8Array(Number(BYTES)).fill(0x20);
    return new Response(body, { headers: { "content-type": "application/json" } });
  },
};
