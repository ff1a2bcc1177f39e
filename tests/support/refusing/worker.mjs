/**
 * The built Worker in a runtime that refuses something once, while a request is handled whose
 * header `x-test-refuse` says what: see `refuse`.
 */
// @ts-expect-error Only the bundler knows where it is.
import gate from "built-worker";
import { refuse } from "./probe.mjs";

export default {
  /**
   * @param {Request} request
   * @param {unknown} env
   * @param {unknown} context
   */
  fetch(request, env, context) {
    refuse(request.headers.get("x-test-refuse"));
    try {
      return gate.fetch(request, env, context);
    } finally {
      refuse(null);
    }
  },
};
