/**
 * Counts the calls between JavaScript and wasm, and the bytes that are copied. It runs before the
 * Worker, so that the Worker's glue code uses the counting versions of everything that is called or
 * copies: imports and exports, typed arrays, text codecs, and bodies.
 *
 * @typedef {object} Crossings
 * @property {number} bytes copied, in either direction
 * @property {number} memory how large wasm's memory is
 * @property {number} imports how often wasm called JavaScript
 * @property {number} exports how often JavaScript called wasm
 * @property {string[]} read the names of the headers that were read since this was last asked
 */

/** @type {{ buffer: ArrayBuffer } | undefined} */
let memory;
let [bytes, imports, exports] = [0, 0, 0];
/** @type {Set<string>} */
let read = new Set();

/** @returns {Crossings} */
export function crossings() {
  const names = [...read];
  read = new Set();
  return { bytes, memory: memory?.buffer.byteLength ?? 0, imports, exports, read: names };
}

const isWasms = (/** @type {unknown} */ value) =>
  memory !== undefined && (value === memory.buffer || (ArrayBuffer.isView(value) && value.buffer === memory.buffer));

const sizeOf = (/** @type {any} */ value) => value.byteLength ?? value.length;

const { WebAssembly } = /** @type {any} */ (globalThis);
WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(target, [module, imported]) {
    const counting = mapped(Object.entries(imported), (functions) =>
      mapped(Object.entries(functions), (value) => counted(value, () => imports++)),
    );
    const instance = Reflect.construct(target, [module, counting]);
    memory = instance.exports.memory;
    return { exports: mapped(Object.entries(instance.exports), (value) => counted(value, () => exports++)) };
  },
});

/** @param {[string, any][]} entries @param {(value: any) => unknown} change */
function mapped(entries, change) {
  return Object.fromEntries(entries.map(([name, value]) => [name, change(value)]));
}

/** @param {unknown} value @param {() => void} count */
function counted(value, count) {
  if (typeof value !== "function") return value;
  return (/** @type {unknown[]} */ ...args) => {
    count();
    return value(...args);
  };
}

watch(Headers.prototype, "get", (_, [name]) => {
  read.add(name);
  return 0;
});

/**
 * @param {any} prototype
 * @param {string} name
 * @param {(self: any, args: any[], result: any) => number} size
 */
function watch(prototype, name, size) {
  const original = prototype[name];
  Object.defineProperty(prototype, name, {
    configurable: true,
    writable: true,
    value: function (/** @type {any[]} */ ...args) {
      const result = Reflect.apply(original, this, args);
      bytes += size(this, args, result);
      return result;
    },
  });
}

const arrays = Object.getPrototypeOf(Uint8Array.prototype);
watch(arrays, "set", (self, [from]) => (isWasms(self) || isWasms(from) ? sizeOf(from) : 0));
watch(arrays, "slice", (self, _, result) => (isWasms(self) ? result.byteLength : 0));
watch(TextDecoder.prototype, "decode", (_, [from]) => (isWasms(from) ? sizeOf(from) : 0));
watch(TextEncoder.prototype, "encodeInto", (_, [, into], { written }) => (isWasms(into) ? written : 0));
// Makes an array outside of wasm; copying it in is counted by `set`.
watch(ArrayBuffer.prototype, "slice", (self, _, result) => (isWasms(self) ? result.byteLength : 0));

// A new array that is made of an array copies it; one that is made of a buffer does not.
globalThis.Uint8Array = new Proxy(Uint8Array, {
  construct(target, args, newTarget) {
    if (ArrayBuffer.isView(args[0]) && isWasms(args[0])) bytes += args[0].byteLength;
    return Reflect.construct(target, args, newTarget === globalThis.Uint8Array ? target : newTarget);
  },
});

for (const name of /** @type {const} */ (["Response", "Request"])) {
  const original = /** @type {any} */ (globalThis[name]);
  /** @type {any} */ (globalThis)[name] = new Proxy(original, {
    construct(target, args, newTarget) {
      const body = name === "Response" ? args[0] : args[1]?.body;
      if (isWasms(body)) bytes += sizeOf(body);
      return Reflect.construct(target, args, newTarget);
    },
  });
}
