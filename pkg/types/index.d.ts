// ───── "@omnitrade/edge": limiter, cache, Redis client. Synchronous to import: no init(), no top-level await. ─────
type Unit = "ms" | "s" | "m" | "h" | "d";
/** Milliseconds, or `"250ms"`, `"60s"`, `"5 m"`. */
export type Duration = number | `${number}${Unit}` | `${number} ${Unit}`;
export type WaitUntil = (work: Promise<unknown>) => void;

export type ErrorCode =
  | "config"
  | "timeout"
  | "aborted"
  | "unreachable"
  | "unauthorised"
  | "forbidden"
  | "quota_exhausted"
  | "server"
  | "protocol"
  | "command"
  | "too_large";
/** The only thing promises reject with, but what your own loader throws, which `getOrSet` passes on unchanged. Its text holds no address, token, command or value. */
export declare class EdgeError extends Error {
  readonly name: "EdgeError";
  readonly code: ErrorCode;
  /** `false` is a promise: nothing of the call was carried out. */
  readonly mayHaveRun: boolean;
  readonly redisCode?: string;
  retryIsSafe(idempotent: boolean): boolean;
}

// ───── Redis ─────
export type RedisArg = string | number | Uint8Array;
/** Never parsed as JSON. Integers beyond 2^53 stay text; what is not UTF-8 comes as octets. */
export type RedisValue = string | number | Uint8Array | null | RedisValue[];
export type RedisCommand = readonly [name: string, ...args: RedisArg[]];
export interface CallOptions {
  signal?: AbortSignal;
  /** It may run twice, so it may be retried. */
  idempotent?: boolean;
}
/** All that a limiter or a cache asks of a store: `Redis`, or `fromIoredis(client)` and the like in "./clients". */
export interface Store {
  command(command: RedisCommand, options?: CallOptions): Promise<RedisValue>;
  evaluate(
    script: { sha1: string; lua: string },
    keys: readonly string[],
    args: readonly RedisArg[],
    options?: CallOptions,
  ): Promise<RedisValue>;
}
export interface RedisOptions {
  url: string;
  token: string;
  /** The whole call, retries included. @default "2s" */
  timeout?: Duration;
  /** @default 2 */
  retries?: number;
  fetch?: typeof globalThis.fetch;
  /** A factory makes a new one for each call. */
  signal?: () => AbortSignal;
}
export declare class Redis implements Store {
  constructor(options: RedisOptions);
  /** `UPSTASH_REDIS_REST_URL`/`_TOKEN`, else `KV_REST_API_URL`/`_TOKEN`; of `env`, else the platform's environment. */
  static fromEnv(env?: object, options?: Partial<RedisOptions>): Redis;
  command<T extends RedisValue = RedisValue>(command: RedisCommand, options?: CallOptions): Promise<T>;
  /** Not atomic: each result by itself, so one failure hides nothing. */
  pipeline<const C extends readonly RedisCommand[]>(
    commands: C,
    options?: CallOptions,
  ): Promise<{ -readonly [K in keyof C]: RedisValue | EdgeError }>;
  multi<const C extends readonly RedisCommand[]>(
    commands: C,
    options?: CallOptions,
  ): Promise<{ -readonly [K in keyof C]: RedisValue }>;
  script<T extends RedisValue = RedisValue>(lua: string, options?: { idempotent?: boolean }): Script<T>;
  evaluate: Store["evaluate"];
}
export interface Script<T> {
  readonly sha1: string;
  run(keys?: readonly string[], args?: readonly RedisArg[], options?: CallOptions): Promise<T>;
}

// ───── Limiter ─────
export interface LimiterOptions {
  quota: number;
  window: Duration;
  /** None: an exact window in this process, the full quota. (governor decides only where a store fails.) */
  redis?: Store;
  /** Two of one name and prefix count together. @default "{window in ms}-{quota}", so that two unnamed limiters of different rules never share a state */
  name?: string;
  /** @default "ot" */
  keyPrefix?: string;
  /** `"lease"`: permits are fetched ahead, most calls make no request. @default "exact" */
  strategy?: "exact" | "lease";
  /** @default "local" */
  onFailure?: "local" | "open" | "closed";
  penalty?: true | { after?: number; hold?: Duration; max?: Duration };
  /** Count and report, refuse nobody. @default "enforce" */
  mode?: "enforce" | "shadow";
  /** Deadline of a store call. @default "150ms" */
  timeout?: Duration;
  /** @default the platform's: Workers and Vercel are found, elsewhere nothing is needed */
  waitUntil?: WaitUntil;
  /** For tests. @default Date.now */
  now?: () => number;
  /** Store failures, which no result rejects with. */
  onError?: (error: EdgeError) => void;
  onDecision?: (result: LimitResult, id: string) => void;
}
export interface LimitOptions {
  /** @default 1 */
  cost?: number;
  /** In place of the limiter's: a customer's plan. */
  quota?: number;
  signal?: AbortSignal;
}
interface Verdict {
  limit: number;
  remaining: number;
  /** Unix ms at which more is back; refused: at which the same call passes. Exact. */
  reset: number;
  /** As in RateLimit-Policy: `"name";q=5;w=60`. */
  policy: string;
  /** In `mode: "shadow"`: it would have been refused. */
  shadowed?: true;
  source: "redis" | "lease" | "local" | "blocked" | "none";
  /** `denyList`: held off by a penalty. */
  reason?: "timeout" | "cacheBlock" | "denyList";
  /** Already given to `waitUntil`; await it only where there is none. */
  pending: Promise<void>;
}
/** `retryAfter` in ms. */
export type LimitResult = Verdict & ({ success: true; retryAfter: 0 } | { success: false; retryAfter: number });
export declare class RateLimiter {
  constructor(options: LimiterOptions);
  /** Never rejects: while the store fails, `onFailure` decides. */
  limit(id: string, options?: LimitOptions): Promise<LimitResult>;
  /** As Cloudflare's rate limiting binding. */
  limit(options: { key: string; delta?: number }): Promise<LimitResult>;
  /** The answer if memory suffices (lease, remembered refusal, local), without a promise. */
  limitNow(id: string, options?: LimitOptions): LimitResult | undefined;
  /** Waits its turn, once and for exactly long enough; refused if that is later than `timeout`. */
  wait(id: string, options: LimitOptions & { timeout: Duration }): Promise<LimitResult>;
  /** From all or from none, in one store call. Limiters of different stores: rejects with code `config`. */
  static limitAll(
    checks: readonly (readonly [limiter: RateLimiter, id: string, options?: LimitOptions])[],
  ): Promise<{ success: boolean; results: LimitResult[]; pending: Promise<void> }>;
  peek(id: string, options?: Pick<LimitOptions, "quota">): Promise<LimitResult>;
  refund(id: string, permits?: number): Promise<void>;
  reset(id: string): Promise<void>;
}
export type HeaderStyle = "draft-10" | "draft-7" | "legacy";
export declare function rateLimitHeaders(
  results: LimitResult | readonly LimitResult[],
  style?: HeaderStyle,
): Record<string, string>;
/** 429 problem+json with Retry-After. */
export declare function tooManyRequests(
  results: LimitResult | readonly LimitResult[],
  init?: ResponseInit & { style?: HeaderStyle },
): Response;
/** The client's address from a header that the platform sets, IPv6 by /64; `undefined` shares one bucket. */
export declare function clientAddress(
  request: { headers: Headers },
  options?: { header?: string; ipv6Prefix?: number },
): string | undefined;

// ───── Cache ─────
export interface CacheOptions {
  redis?: Store;
  keyPrefix?: string;
  /** In bytes. @default 16 MiB */
  l1Size?: number;
  /** Deadline of a store call. @default "150ms" */
  timeout?: Duration;
  /** What a loader has. After that nobody waits for it. @default "10s" */
  loadTimeout?: Duration;
  waitUntil?: WaitUntil;
  now?: () => number;
  onError?: (error: EdgeError) => void;
}
export interface EntryOptions {
  ttl: Duration;
  staleWhileRevalidate?: Duration;
  /** A hard ceiling: nothing older than `ttl` and this is ever served. */
  staleIfError?: Duration;
  tags?: readonly string[];
}
export interface LoadContext {
  readonly stale: unknown;
  readonly background: boolean;
  readonly signal: AbortSignal;
  keep(options: Partial<EntryOptions> | false): void;
}
interface Schema<T> {
  readonly "~standard": {
    validate(
      value: unknown,
    ): { value: T } | { issues: readonly unknown[] } | Promise<{ value: T } | { issues: readonly unknown[] }>;
  };
}
export interface Entry<T> {
  value: T;
  age: number;
  fresh: boolean;
}
export declare class Cache {
  constructor(options?: CacheOptions);
  /** One load for all callers, in this process and across the world. Values are JSON, or `Uint8Array`; every caller gets a copy of its own; `undefined` is not stored. */
  getOrSet<T>(
    key: string,
    options: EntryOptions & { schema?: Schema<T> },
    load: (context: LoadContext) => T | Promise<T>,
  ): Promise<T>;
  get<T = unknown>(key: string): Promise<Entry<T> | undefined>;
  set<T>(key: string, value: T, options: EntryOptions): Promise<void>;
  delete(key: string): Promise<void>;
  purge(what: { tags: readonly string[] } | { keys: readonly string[] }): Promise<void>;
}
