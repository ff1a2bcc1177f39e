/** What `entry.js` imports, and what it knows of the platform. */

/** What the module uses of the platform that not every instance may use. */
interface PlatformFunctions {
  fetch: typeof fetch;
  setTimeout: typeof setTimeout;
  clearTimeout: typeof clearTimeout;
  console: Pick<Console, "error" | "warn">;
  Math: Pick<Math, "random">;
  Response: typeof Response;
}

/** An answer that comes later, and what gives another one in its place. */
interface Later {
  promise: Promise<Response | undefined>;
  resolve(response: Response | undefined): void;
}

declare namespace WebAssembly {
  class Instance {
    constructor(module: unknown, imports: object);
    readonly exports: Record<string, unknown> & { __wbindgen_start(): void };
  }
}

declare module "omnitrade-edge:glue" {
  /**
   * The functions between JavaScript and an instance of the module: `scripts/lib/modules.mjs` makes it of
   * what wasm-bindgen writes. Each call returns functions and variables of their own.
   */
  export function makeGlue(functions: PlatformFunctions): {
    __wbg_set_wasm(exports: Record<string, unknown>): void;
    prepare(env: object): void;
    fetch(request: Request, context: unknown): Response | Later;
  };
}

declare module "*.wasm" {
  const module: unknown;
  export default module;
}

declare module "cloudflare:workers" {
  export const env: Record<string, unknown>;
}
