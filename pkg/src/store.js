/** Calls of any store, within a deadline. */
import { lined, SCRIPT, SHA1, say } from "./engine.js";
import { isFirstLineRefusal, storeError } from "./errors.js";
import { REST } from "./rest.js";
import { aborted, within } from "./timers.js";

/** @import { Store } from "@omnitrade/edge" */
/** @import { EdgeError } from "./errors.js" */

/** What a call gets that has no deadline of its own, in milliseconds. */
export const TIMEOUT = 150;

/** Calls the script of limiter and cache in one store. */
export class ScriptCaller {
  /** Whether the store may know the first line by which Upstash locks the keys alone. */
  #locking = true;

  /**
   * @param {Store | undefined} store
   * @param {number} timeout in milliseconds, of a whole call
   * @param {boolean} batch whether calls of one turn go out together: their replies are short
   */
  constructor(store, timeout, batch) {
    this.store = store;
    this.timeout = timeout;
    this.batch = batch;
  }

  /**
   * Runs the script, again if that is safe. Returns the reply as the module reads it, and the error
   * if there is none.
   * @param {string | undefined} text the keys and arguments, as the module writes them
   * @param {AbortSignal} [signal]
   * @returns {Promise<[reply: string, error?: EdgeError]>}
   */
  async run(text, signal) {
    const { store } = this;
    if (store === undefined || text === undefined) return ["!config"];
    const [count, ...words] = text.split("\n");
    const keys = words.splice(0, Number(count));
    const end = Date.now() + this.timeout;
    let repeat = "0";
    for (;;) {
      const left = Math.max(end - Date.now(), 1);
      const script = scriptOf(this.#locking);
      try {
        const call = (/** @type {object} */ options) => store.evaluate(script, keys, [...words, repeat], options);
        const reply = await bounded(store, left, signal, call, this.batch);
        return [lined(reply)];
      } catch (cause) {
        const error = storeError(cause);
        if (script === scripts[1] && isFirstLineRefusal(error)) {
          this.#locking = false;
          continue;
        }
        // The script knows a call that it has carried out before.
        const again = repeat === "0" && error.retryIsSafe(true) && error.code !== "timeout";
        if (!again || end - Date.now() < 2) return [`!${error.code}`, error];
        repeat = "1";
      }
    }
  }
}

/**
 * A call of the store, within a deadline that not every store keeps by itself.
 * @template T
 * @param {Store} store
 * @param {number} timeout
 * @param {AbortSignal | undefined} signal
 * @param {(options: object) => Promise<T>} call
 * @param {boolean} [batch] whether it may go out with others
 * @returns {Promise<T>}
 */
export async function bounded(store, timeout, signal, call, batch) {
  if (signal?.aborted) throw aborted(false);
  if (REST in store) return call({ timeout, signal, batch });
  const controller = new AbortController();
  try {
    return await within(call({ signal: controller.signal }), timeout, signal);
  } catch (error) {
    controller.abort();
    throw error;
  }
}

/** @type {{ sha1: string, lua: string }[]} */
const scripts = [];

/** @param {boolean} locking */
function scriptOf(locking) {
  const at = Number(locking);
  if (scripts[at] === undefined) {
    const lua = /** @type {string} */ (say(SCRIPT, "", at));
    scripts[at] = { lua, sha1: /** @type {string} */ (say(SHA1, lua)) };
  }
  return scripts[at];
}
