/**
 * The Worker's entry: it starts the WebAssembly module, gives it the requests, and starts it anew
 * if it breaks down.
 *
 * A trap (a panic, a full stack, an exception of the platform that nothing catches) leaves the
 * module in a state that nobody can rely on. So its instance is given up with all that it has in
 * memory. Every request that it was working on gets a 500 at once, because whatever its answer
 * waits for will not come. The next request makes a new instance.
 */
import * as platform from "cloudflare:workers";
import { makeGlue } from "omnitrade-edge:glue";
import wasmModule from "./index_bg.wasm";

/** The bindings that the gate reads. */
const BINDINGS = ["EDGE", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "EDGE_ADMIN_TOKEN"];

/** @type {PlatformFunctions} */
const REAL = { fetch, setTimeout, clearTimeout, console, Math, Response };

// Most of the stack of a panic is that of its message.
Error.stackTraceLimit = 50;

/** What requests get that the module was working on when it broke down. */
const FAILED = JSON.stringify({ type: "about:blank", title: "The gate failed", status: 500, code: "gate_failed" });

function failed() {
  const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
  return new Response(FAILED, { status: 500, headers });
}

/** One instance of the module. */
class Instance {
  isBroken = false;
  /** What ends each request that waits for an answer. @type {Set<() => void>} */
  #waiting = new Set();

  /**
   * @param {PlatformFunctions} functions
   * @param {Record<string, unknown>} env the bindings
   */
  constructor(functions, env) {
    this.console = functions.console;
    const glue = makeGlue(functions);
    const { exports } = new WebAssembly.Instance(wasmModule, { "./index_bg.js": glue });
    const guarded = Object.entries(exports).map(([name, value]) => [name, this.#guarded(name, value)]);
    glue.__wbg_set_wasm(Object.fromEntries(guarded));
    exports.__wbindgen_start();
    glue.prepare(env);
    this.fetch = glue.fetch;
  }

  /**
   * An export that notices traps. It does nothing once there was one: timers and promises of this
   * instance may still call it.
   * @param {string} name
   * @param {unknown} value
   */
  #guarded(name, value) {
    // Names with underscores are those of the allocator and of tables. They are called all the
    // time, and only on the way into another function or out of it. The handler notices by itself.
    if (typeof value !== "function" || name.startsWith("__") || name === "fetch") return value;
    return (/** @type {unknown[]} */ ...args) => {
      if (this.isBroken) return undefined;
      try {
        return value(...args);
      } catch (error) {
        this.breakDown(error);
        throw error;
      }
    };
  }

  /** @param {unknown} error */
  breakDown(error) {
    if (this.isBroken) return;
    this.isBroken = true;
    this.console.error("the gate broke down, and starts anew:", /** @type {any} */ (error)?.stack ?? error);
    for (const end of this.#waiting) end();
    this.#waiting.clear();
  }

  /**
   * The answer that comes later, or a 500 as soon as the instance breaks down. Each request makes
   * its own response, because the platform lets none use objects of another.
   * @param {Later} later
   * @returns {Promise<Response>}
   */
  answer({ promise, resolve }) {
    const end = () => resolve(undefined);
    this.#waiting.add(end);
    return promise.then((response) => {
      this.#waiting.delete(end);
      return response ?? failed();
    });
  }
}

/** The instance that answers requests. @type {Instance | undefined} */
let running;

/** The instance that is ready for the first request. @type {Instance | undefined} */
let ready;
try {
  rehearse();
  ready = new Instance(REAL, platform.env);
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
    EDGE: {
      origin: "https://origin.invalid",
      limits: { ip: { by: "ip", window: "1m", quota: 1 } },
      routes: [{ path: "/", limits: ["ip"], cache: { ttl: "1m" } }],
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
  running = ready !== undefined && BINDINGS.every(isSame) ? ready : new Instance(REAL, env);
  ready = undefined;
  return running;
}

export default {
  /**
   * @param {Request} request
   * @param {Record<string, unknown>} env
   * @param {unknown} context
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
