/** The modules that `scripts/lib/package.mjs` makes for the sources of the package. */

declare module "omnitrade-edge:wasm/edge" {
  /** The compiled module. Each call returns the same one. */
  export function wasmModule(): WebAssembly.Module;
}

declare module "omnitrade-edge:wasm/gate" {
  /** The compiled module. Each call returns the same one. */
  export function wasmModule(): WebAssembly.Module;
}

declare module "omnitrade-edge:queue-scripts" {
  type Script = { sha1: string; lua: string };
  /** BullMQ's scripts that add a job, by its major version and by how the job begins. */
  export const scripts: Record<5 | 6, Record<"standard" | "delayed" | "prioritized", Script>>;
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
  /** A cheaper `fetch` than the platform's for the client's own requests, if there is one. */
  export function ownFetch(): typeof fetch | undefined;
  /** The header that the platform sets to the client's address. */
  export function addressHeader(): string;
}

declare module "omnitrade-edge:glue/gate" {
  /** The same for the gate. The globals that not every instance may use are parameters. */
  export function makeGlue(functions: PlatformFunctions): Glue & {
    prepare(env: object, built?: string, onFailure?: (failure: Failure) => void): void;
    /** Paths and messages in turns. */
    problems(): string[];
    fetch(request: Request, context: unknown): Response | Later<Response>;
    /** The response if the request is refused, the headers in lines, and the limits as JSON. */
    admit(request: Request, context: unknown): Later<[Response | undefined, string, string]>;
    /** The status and the body of the answer, and the failure of the store, if there was one. */
    purge(request: Request): Later<[number, string, Failure | undefined]>;
    metrics(): string;
  };
}

declare namespace WebAssembly {
  class Instance {
    constructor(module: Module, imports: object);
    readonly exports: Record<string, unknown>;
  }
}

/** What the gate uses of the platform that not every instance may use. */
interface PlatformFunctions {
  fetch: typeof fetch;
  setTimeout: typeof setTimeout;
  clearTimeout: typeof clearTimeout;
  console: Pick<Console, "error" | "warn">;
  Math: Pick<Math, "random">;
  Response: typeof Response;
}

/** A value that comes later, and what gives another one in its place. */
interface Later<T> {
  promise: Promise<T | undefined>;
  resolve(value: T | undefined): void;
}

/** A failure of the store: its text, its code, whether the call may have run, and Redis's own code. */
type Failure = [text: string, code: string, mayHaveRun: boolean, redisCode: string | undefined];

declare module "cloudflare:workers" {
  export const env: Record<string, unknown>;
}
