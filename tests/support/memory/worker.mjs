/**
 * The built Worker, and at `/__memory` how many bytes wasm's memory has, once JavaScript's has been
 * collected (with the flag `--expose-gc`).
 */
// @ts-expect-error Only the bundler knows where it is.
import worker from "built-worker";
import { memorySize } from "./probe.mjs";

export default {
  /**
   * @param {Request} request
   * @param {unknown} env
   * @param {unknown} context
   */
  fetch(request, env, context) {
    if (!request.url.endsWith("/__memory")) return worker.fetch(request, env, context);
    /** @type {any} */ (globalThis).gc?.();
    return Response.json(memorySize());
  },
};
