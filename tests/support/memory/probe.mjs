/** Keeps wasm's memory, so that its size can be told. It costs nothing per request. */

/** @type {{ buffer: ArrayBuffer } | undefined} */
let memory;

/** How many bytes wasm's memory has. */
export function memorySize() {
  return memory?.buffer.byteLength ?? 0;
}

const { WebAssembly } = /** @type {any} */ (globalThis);
WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(target, args) {
    const instance = Reflect.construct(target, args);
    memory = instance.exports.memory;
    return instance;
  },
});
