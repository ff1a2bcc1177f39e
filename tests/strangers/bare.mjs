/** A Worker that hands each request on to an origin, and does nothing else. */
export default {
  /**
   * @param {Request} request
   * @param {{ ORIGIN: string }} env
   */
  fetch: (request, env) => fetch(env.ORIGIN + new URL(request.url).pathname),
};
