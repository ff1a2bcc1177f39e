/** The WebAssembly module behind the entry `.`: it decides, and waits for nothing. */
import { initSync } from "omnitrade-edge:glue/edge";
import { wasmModule } from "omnitrade-edge:wasm/edge";

/**
 * What the module exports: functions that take and return numbers.
 * @typedef {Record<string, (...numbers: number[]) => number> & {
 *   memory: { buffer: ArrayBuffer }
 * }} Exports
 */

/** The verbs of `say`: see `wasm/src/sdk/fields.rs`. */
export const [MEANING, STATUS, ADDRESS, SHA1, SCRIPT, READS, FIELDS] = [0, 1, 2, 3, 4, 5, 6];

/** The kinds of objects of the module: see `give_back` in `wasm/src/sdk.rs`. */
export const [LIMITS, RULE, CACHE, ORIGIN] = [0, 1, 2, 3];

/** @type {Exports | undefined} */
let running;

/**
 * The module. It is compiled when it is first needed, so that importing the package takes no time.
 * @returns {Exports}
 */
export function engine() {
  running ??= /** @type {any} */ (initSync({ module: wasmModule() }));
  return /** @type {Exports} */ (running);
}

let octets = new Uint8Array(0);
let floats = new Float64Array(0);

/** The views of the module's memory are void once it has grown. */
function look() {
  const { buffer } = engine().memory;
  octets = new Uint8Array(buffer);
  floats = new Float64Array(buffer);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The room for texts in the module: its place and its size, and the usual one. */
let roomAt = 0;
let roomSize = 0;
const USUAL_ROOM = 4_096;

/**
 * Hands texts to the next verb.
 * @param {string[]} texts
 */
export function put(...texts) {
  for (const text of texts) {
    const most = text.length * 3;
    if (most > roomSize) {
      roomSize = Math.max(most, USUAL_ROOM);
      roomAt = engine().room(roomSize);
    }
    if (octets.length === 0) look();
    engine().put(written(text, most));
    // A large one is not kept.
    if (most > USUAL_ROOM * 16) roomSize = 0;
  }
  return engine();
}

/**
 * Writes a text into the room, and returns its length in bytes.
 * @param {string} text
 * @param {number} most
 */
function written(text, most) {
  const { length } = text;
  // The encoder takes longer to begin than most names to be written.
  if (length > 64) return encoder.encodeInto(text, octets.subarray(roomAt, roomAt + most)).written;
  for (let n = 0; n < length; n++) {
    const unit = text.charCodeAt(n);
    if (unit > 127) return encoder.encodeInto(text, octets.subarray(roomAt, roomAt + most)).written;
    octets[roomAt + n] = unit;
  }
  return length;
}

/**
 * The next text of the answer to a verb.
 * @returns {string | undefined}
 */
export function text() {
  const length = engine().text();
  if (length < 0) return undefined;
  const at = engine().text_at();
  if (octets.length === 0) look();
  return decoder.decode(octets.subarray(at, at + length));
}

/**
 * What the module says about a text.
 * @param {number} verb
 * @param {string} about
 * @param {number} [a]
 * @param {number} [b]
 */
export function say(verb, about, a = 0, b = 0) {
  put(about).say(verb, a, b);
  return text();
}

/** The module's memory as numbers. An answer begins at `results() / 8`: take it at once. */
export function numbers() {
  if (floats.length === 0) look();
  return floats;
}

/** Gives back what numbers of the module stand for, once the objects that hold them are gone. */
const registry =
  typeof FinalizationRegistry === "function"
    ? new FinalizationRegistry((/** @type {[kind: number, number: number]} */ held) => engine().give_back(...held))
    : undefined;

/**
 * @param {object} holder
 * @param {number} kind
 * @param {number} number
 */
export function holds(holder, kind, number) {
  registry?.register(holder, [kind, number]);
  return number;
}

/** A random number for the seed of a memory. */
export function seed() {
  return Math.floor(Math.random() * 2 ** 53);
}

/**
 * A value as the module reads it: see `wasm/src/sdk/lines.rs`.
 * @param {unknown} value
 * @returns {string}
 */
export function lined(value) {
  if (typeof value === "string") return `$${value.split("\n").length - 1}\n${value}\n`;
  if (Number.isInteger(value)) return `:${value}\n`;
  if (value === null) return "_\n";
  // Nothing that is kept there has such octets.
  if (value instanceof Uint8Array) return lined(decoder.decode(value));
  return Array.isArray(value) ? `*${value.length}\n${value.map(lined).join("")}` : "?\n";
}
