/**
 * The entry `./worker`, and the Worker of this repository: the gate that its bindings describe.
 *
 * It starts the module, gives it the requests, and starts it anew if it breaks down.
 */
import * as platform from "cloudflare:workers";
import { failed, Instance } from "./instance.js";

/** The bindings that the gate reads. */
const BINDINGS = [
  ...["EDGE", "EDGE_ORIGIN", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "EDGE_ADMIN_TOKEN"],
  ...["EDGE_KEY_SECRET", "EDGE_KEY_SECRET_PREVIOUS", "EDGE_ALERT_WEBHOOK"],
];

/** @type {PlatformFunctions} */
const REAL = { fetch, setTimeout, clearTimeout, console, Math, Response };

/**
 * The configuration that the Worker was built with: `edge.toml` as JSON, in a string.
 * `scripts/lib/edge-toml.mjs` writes it into the first line of `build/index.js`.
 * @type {string | undefined}
 */
const built = /** @type {any} */ (globalThis).OMNITRADE_EDGE_CONFIG;

// Most of the stack of a panic is that of its message.
Error.stackTraceLimit = 50;

/** The instance that answers requests. @type {Instance | undefined} */
let running;

/** The instance that is ready for the first request. @type {Instance | undefined} */
let ready;
try {
  rehearse();
  ready = new Instance(REAL, { env: platform.env, built });
} catch {
  // The first request tries again, and says in the log what is wrong.
}

/**
 * Sends two requests through an instance that is given up afterwards: one is admitted, and one
 * refused. The platform compiles a function when it is first called, for all instances, so the
 * first client does not wait for that. Outside of requests there are no timers, no random numbers,
 * no input and no output, and no response with a body: all of that is only pretended.
 */
function rehearse() {
  const nothing = () => {};
  class PretendedResponse {
    /** @param {unknown} _ @param {{ status?: number, headers?: Record<string, string> }} [init] */
    constructor(_, { status = 200, headers } = {}) {
      this.status = status;
      this.headers = new Headers(headers);
    }
  }
  const pretended = {
    fetch: async () => new PretendedResponse(null, { headers: { "cache-control": "max-age=60" } }),
    setTimeout: () => 0,
    clearTimeout: nothing,
    console: { error: nothing, warn: nothing },
    Math: { random: () => 0.5 },
    Response: PretendedResponse,
  };
  const instance = new Instance(/** @type {any} */ (pretended), {
    env: {
      EDGE: {
        origin: "https://origin.invalid",
        limits: { ip: { by: "ip", window: "1m", quota: 1 } },
        routes: [{ path: "/", limits: ["ip"], cache: { ttl: "1m" } }],
      },
    },
  });
  const headers = { "cf-connecting-ip": "192.0.2.1" };
  const ask = () => {
    const answer = instance.fetch(new Request("https://gate.invalid/", { headers }), { waitUntil: nothing });
    return "promise" in answer ? answer.promise : answer;
  };
  // What fails here fails again in a request, where it is noticed.
  Promise.resolve(ask()).then(ask).catch(nothing);
}

/**
 * The instance for the next request.
 * @param {Record<string, unknown>} env
 */
function start(env) {
  // Outside of requests, some platforms give no bindings, and a Worker around this one may give
  // others.
  const isSame = (/** @type {string} */ name) =>
    env[name] === platform.env[name] || JSON.stringify(env[name]) === JSON.stringify(platform.env[name]);
  const names = [...BINDINGS, ...Object.keys(env)];
  running = ready !== undefined && names.every(isSame) ? ready : new Instance(REAL, { env, built });
  ready = undefined;
  return running;
}

export default {
  /**
   * @param {Request} request
   * @param {Record<string, unknown>} env
   * @param {{ waitUntil(work: Promise<unknown>): void }} context
   * @returns {Response | Promise<Response>}
   */
  fetch(request, env, context) {
    let instance = running?.isBroken === false ? running : undefined;
    try {
      instance ??= start(env);
      const answer = instance.fetch(request, context);
      return answer instanceof Response ? answer : instance.answer(answer);
    } catch (error) {
      if (instance === undefined) REAL.console.error("the gate does not start:", error);
      else instance.breakDown(error);
      return failed();
    }
  },
};
