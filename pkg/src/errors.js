/** What promises of this package reject with. */
import { EdgeError } from "./edge-error.js";
import { MEANING, STATUS, say } from "./engine.js";

export { EdgeError };

/**
 * A setting or an argument that is wrong. Nothing was carried out.
 * @param {string} field
 * @param {string} expected
 */
export function misuse(field, expected) {
  return new EdgeError("config", false, `${field}: expected ${expected}`);
}

/** The errors that mean that a server does not know Upstash's first line of a script. */
const refusals = new WeakSet();

/**
 * Whether a server refused Upstash's first line of a script, and so ran nothing.
 * @param {EdgeError} error
 */
export function isFirstLineRefusal(error) {
  return refusals.has(error);
}

/** @param {string} [text] as the module writes errors */
function read(text = "") {
  const [code, mayHaveRun, redisCode, isRefusal, ...message] = text.split("\n");
  const error = new EdgeError(/** @type {any} */ (code), mayHaveRun === "1", message.join(" "), redisCode || undefined);
  if (isRefusal === "1") refusals.add(error);
  return error;
}

/**
 * The error that Redis's own text means.
 * @param {string} text
 * @param {string} [command] the name of the command that it is the reply to
 */
export function serverError(text, command = "") {
  return read(say(MEANING, `${command}\n${text}`));
}

/**
 * The error that an HTTP status other than 2xx means.
 * @param {number} status
 * @param {string | undefined} text what the server says
 * @param {string} [command]
 */
export function statusError(status, text, command = "") {
  return read(say(STATUS, `${command}\n${text ?? ""}`, status, text === undefined ? 0 : 1));
}

/**
 * The error of a store that is not ours, which rejects with anything.
 * @param {unknown} error
 */
export function storeError(error) {
  const { code, mayHaveRun, redisCode, message } = /** @type {any} */ (error ?? {});
  if (error instanceof EdgeError) return error;
  // Another copy of this package.
  if (/** @type {any} */ (error)?.name === "EdgeError" && typeof code === "string") {
    return new EdgeError(/** @type {any} */ (code), mayHaveRun !== false, String(message), redisCode);
  }
  return new EdgeError("unreachable", true, "the store cannot be reached: as the client reports");
}
