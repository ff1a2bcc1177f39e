/** The modules that `scripts/lib/package.mjs` makes for the sources of the package. */

declare module "omnitrade-edge:wasm/edge" {
  /** The compiled module. Each call returns the same one. */
  export function wasmModule(): WebAssembly.Module;
}

declare module "omnitrade-edge:wasm/gate" {
  /** The compiled module. Each call returns the same one. */
  export function wasmModule(): WebAssembly.Module;
}

/** What the glue of every module has, which wasm-bindgen writes for `--target web`. */
interface Glue {
  /** Makes the instance that the functions of this glue call. */
  initSync(options: { module: WebAssembly.Module }): Record<string, unknown>;
  /** What an instance imports, for those who make it by themselves. */
  __wbg_get_imports(): Record<string, Record<string, unknown>>;
  /** Takes an instance, or an object with replaced `exports`, in place of `initSync`. */
  __wbg_finalize_init(instance: { exports: Record<string, unknown> }, module: WebAssembly.Module): void;
}

declare module "omnitrade-edge:glue/edge" {
  /** Makes the one instance. Returns what it exports. */
  export function initSync(options: { module: WebAssembly.Module }): unknown;
}

declare module "omnitrade-edge:platform" {
  /** Keeps the request going until some work is done, which must not reject. */
  export function waitUntil(work: Promise<unknown>): void;
  /** The bindings, or the variables of the process. */
  export function environment(): Record<string, unknown>;
  /** Whether requests may share an exchange with the store. */
  export const BATCHES: boolean;
  /** How long work may go on after a request, in milliseconds. */
  export const PATIENCE: number;
  /** The header that the platform sets to the client's address. */
  export function addressHeader(): string;
}

declare module "omnitrade-edge:glue/gate" {
  /** The same for the gate. The globals that not every instance may use are parameters. */
  export function makeGlue(functions: PlatformFunctions): Glue & {
    prepare(env: object): void;
    fetch(request: Request, context: unknown): Response | Later;
  };
}
