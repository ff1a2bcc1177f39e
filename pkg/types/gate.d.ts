// ───── "@omnitrade/edge/gate" and "/worker" ─────

import type { GateConfig } from "./config.js"; // generated from schema/edge.json; snake_case, as in wrangler.toml
import type { EdgeError, LimitResult, Store } from "./index.js";

export type { GateConfig };
export interface GateOptions {
  redis?: Store;
  adminToken?: string;
  /** Goes into the digests of API keys and users: at least 16 random characters. */ keySecret?: string;
  /** The secret of before, while keys are registered under it; `"none"` if they are without one. */ previousKeySecret?: string;
  /** Calls the origin: a service binding, say. @default globalThis.fetch */ fetch?: (
    request: Request,
  ) => Promise<Response>;
  onError?: (error: EdgeError) => void;
}
export interface Gate {
  /** Answers without a promise where memory suffices. */
  fetch(request: Request, context?: { waitUntil(work: Promise<unknown>): void }): Response | Promise<Response>;
  /** Limits only, for frameworks that answer themselves: `response` if refused. */
  admit(request: Request): Promise<{ response?: Response; headers: Record<string, string>; results: LimitResult[] }>;
  purge(what: { tags?: readonly string[]; urls?: readonly string[] }): Promise<void>;
  metrics(): string;
}
/** @throws {ConfigError} with every problem and its path */
export declare function createGate(config: GateConfig, options?: GateOptions): Gate;
export declare class ConfigError extends Error {
  readonly problems: readonly { path: string; message: string }[];
}
