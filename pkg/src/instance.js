/**
 * One instance of the gate's module, which can break down.
 *
 * A trap (a panic, a full stack, an exception of the platform that nothing catches) leaves the
 * module in a state that nobody can rely on. So its instance is given up with all that it has in
 * memory. Every request that it was working on gets a 500 at once, because whatever its answer
 * waits for will not come. The next request makes a new instance.
 */
import { makeGlue } from "omnitrade-edge:glue/gate";
import { wasmModule } from "omnitrade-edge:wasm/gate";

/** What requests get that the module was working on when it broke down. */
const FAILED = JSON.stringify({ type: "about:blank", title: "The gate failed", status: 500, code: "gate_failed" });

export function failed() {
  const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
  return new Response(FAILED, { status: 500, headers });
}

/**
 * @typedef {object} Bindings what an instance is configured by
 * @property {Record<string, unknown>} env those of a Worker: `EDGE`, …
 * @property {string} [built] the configuration that lies under `EDGE`, as JSON
 * @property {(failure: Failure) => void} [onFailure] is told of each failure
 *   of the store
 */

export class Instance {
  isBroken = false;
  /** What ends each request that waits for an answer. @type {Set<() => void>} */
  #waiting = new Set();

  /**
   * @param {PlatformFunctions} functions
   * @param {Bindings} bindings
   */
  constructor(functions, { env, built, onFailure }) {
    this.console = functions.console;
    const glue = makeGlue(functions);
    const module = wasmModule();
    const { exports } = new WebAssembly.Instance(module, glue.__wbg_get_imports());
    const guarded = Object.entries(exports).map(([name, value]) => [name, this.#guarded(name, value)]);
    glue.__wbg_finalize_init({ exports: Object.fromEntries(guarded) }, module);
    glue.prepare(env, built, onFailure);
    /** The functions of the module. */
    this.glue = glue;
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
   * What comes later; nothing as soon as the instance breaks down.
   * @template T
   * @param {Later<T>} later
   * @returns {Promise<T | undefined>}
   */
  wait({ promise, resolve }) {
    const end = () => resolve(undefined);
    this.#waiting.add(end);
    return promise.then((value) => {
      this.#waiting.delete(end);
      return value;
    });
  }

  /**
   * The answer that comes later, or a 500 as soon as the instance breaks down. Each request makes
   * its own response, because a Worker's platform lets none use objects of another.
   * @param {Later<Response>} later
   * @returns {Promise<Response>}
   */
  answer(later) {
    return this.wait(later).then((response) => response ?? failed());
  }
}
