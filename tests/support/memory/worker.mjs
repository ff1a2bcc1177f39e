/**
 * The built Worker, and at `/__memory` how many bytes wasm's memory has.
 */
// @ts-expect-error Only the bundler knows where it is.
import gate from "built-worker";
import { memorySize } from "./probe.mjs";

export default {
  /**
   * @param {Request} request
   * @param {unknown} env
   * @param {unknown} context
   */
  fetch: (request, env, context) =>
    request.url.endsWith("/__memory") ? Response.json(memorySize()) : gate.fetch(request, env, context),
};
