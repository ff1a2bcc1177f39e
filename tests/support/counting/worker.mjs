/**
 * The built Worker, and at `/__counting` what crossed between JavaScript and wasm.
 */
// @ts-expect-error Only the bundler knows where it is.
import gate from "built-worker";
import { crossings } from "./probe.mjs";

/** @typedef {import("./probe.mjs").Crossings} Crossings */

export default {
  /**
   * @param {Request} request
   * @param {unknown} env
   * @param {unknown} context
   */
  fetch: (request, env, context) =>
    new URL(request.url).pathname === "/__counting" ? Response.json(crossings()) : gate.fetch(request, env, context),
};
