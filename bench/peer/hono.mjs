/**
 * A Worker with hono and hono-rate-limiter, which counts in the isolate's memory, as their
 * documentation shows it. Its answer is always the same.
 */
import { Hono } from "hono";
import { rateLimiter } from "hono-rate-limiter";

/** @typedef {{ Bindings: { BYTES: string } }} Env */

/**
 * Made with the first request, because it starts a timer, which needs a request.
 * @type {Hono<Env> | undefined}
 */
let app;

/** @param {string} bytes */
function start(bytes) {
  const body = new Uint8Array(Number(bytes)).fill(0x20);
  /** @type {Hono<Env>} */
  const made = new Hono();
  made.use(
    rateLimiter({
      windowMs: 60_000,
      limit: 1_000_000,
      standardHeaders: "draft-7",
      keyGenerator: (context) => context.req.header("x-api-key") ?? "",
    }),
  );
  made.get("*", (context) => context.body(body, 200, { "content-type": "application/json" }));
  return made;
}

export default {
  /**
   * @param {Request} request
   * @param {Env["Bindings"]} env
   * @param {import("hono").ExecutionContext} context
   * @returns {Response | Promise<Response>}
   */
  fetch(request, env, context) {
    app ??= start(env.BYTES);
    return app.fetch(request, env, context);
  },
};
