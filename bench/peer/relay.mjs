/** Bare JavaScript: sends every request on to the origin, and its response back. */
export default {
  /**
   * @param {Request} request
   * @param {{ EDGE: { origin: string } }} env
   * @returns {Promise<Response>}
   */
  fetch(request, { EDGE }) {
    const { pathname, search } = new URL(request.url);
    return fetch(new Request(`${EDGE.origin}${pathname}${search}`, request));
  },
};
