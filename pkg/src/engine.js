/** The WebAssembly module behind the entry `.`: it decides, and waits for nothing. */
import { makeGlue } from "omnitrade-edge:glue/edge";
import { wasmModule } from "omnitrade-edge:wasm/edge";

/** @typedef {ReturnType<typeof makeGlue>} Glue */

/** The verbs of `say`: see `wasm/src/sdk/fields.rs`. */
export const [MEANING, STATUS, ADDRESS, SHA1, SCRIPT, READS, FIELDS] = [0, 1, 2, 3, 4, 5, 6];

/** The kinds of objects of the module: see `give_back` in `wasm/src/sdk.rs`. */
export const [LIMITS, RULE, CACHE, ORIGIN] = [0, 1, 2, 3];

/** @type {Glue | undefined} */
let running;
/** @type {{ buffer: ArrayBuffer }} */
let memory;

/**
 * The module. It is compiled when it is first needed, so that importing the package takes no time.
 * @returns {Glue}
 */
export function engine() {
  if (running === undefined) {
    const glue = makeGlue();
    memory = /** @type {any} */ (glue.initSync({ module: wasmModule() })).memory;
    running = glue;
  }
  return running;
}

/** @type {Float64Array} */
let floats = new Float64Array(0);

/** The memory of the module as numbers. Take it anew after each call: the memory may have grown. */
export function numbers() {
  if (floats.length === 0) floats = new Float64Array(memory.buffer);
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
  return Array.isArray(value) ? `*${value.length}\n${value.map(lined).join("")}` : "?\n";
}
