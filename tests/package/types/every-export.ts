/** Uses every export of the package, and what each type promises. It is compiled, and never runs. */
import {
  Cache,
  type CacheOptions,
  type CallOptions,
  clientAddress,
  type Duration,
  EdgeError,
  type Entry,
  type EntryOptions,
  type ErrorCode,
  type HeaderStyle,
  type LimiterOptions,
  type LimitOptions,
  type LimitResult,
  type LoadContext,
  RateLimiter,
  Redis,
  type RedisArg,
  type RedisCommand,
  type RedisOptions,
  type RedisValue,
  rateLimitHeaders,
  type Script,
  type Store,
  tooManyRequests,
  type WaitUntil,
} from "@omnitrade/edge";
import { fromIoredis, fromNodeRedis, fromUpstash } from "@omnitrade/edge/clients";
import { ConfigError, createGate, type Gate, type GateConfig, type GateOptions } from "@omnitrade/edge/gate";

import {
  type AddedJob,
  type BackoffOptions,
  type DeduplicationOptions,
  type JobOptions,
  type KeepJobs,
  type NewJob,
  Queue,
  type QueueOptions,
} from "@omnitrade/edge/queue";

/** Compiles only if both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(): T | undefined => undefined;

const windows: Duration[] = [250, "250ms", "60s", "5 m", "1h", "1 d"];
// @ts-expect-error: a unit that does not exist
const wrongWindow: Duration = "5 weeks";
const waitUntil: WaitUntil = (work) => void work.catch(() => {});

// Redis
const options: RedisOptions = { url: "https://redis.example", token: "t", timeout: "1s", retries: 1 };
const redis = new Redis({ ...options, fetch, signal: () => AbortSignal.timeout(1_000) });
const fromEnvironment: Redis = Redis.fromEnv(
  { UPSTASH_REDIS_REST_URL: "", UPSTASH_REDIS_REST_TOKEN: "" },
  { retries: 0 },
);
const call: CallOptions = { signal: AbortSignal.timeout(1), idempotent: true };
const argument: RedisArg = new Uint8Array(1);
const command: RedisCommand = ["SET", "key", argument, "PX", 1_000];

export async function commands() {
  const value: RedisValue = await redis.command(command, call);
  const text = await redis.command<string | null>(["GET", "key"]);
  is<Same<typeof text, string | null>>();
  const [first, second] = await redis.pipeline([["GET", "a"], command], call);
  is<Same<typeof first, RedisValue | EdgeError>>();
  if (second instanceof EdgeError) second.retryIsSafe(true);
  const both = await redis.multi([
    ["INCR", "a"],
    ["INCR", "b"],
  ]);
  is<Same<typeof both, [RedisValue, RedisValue]>>();
  // @ts-expect-error: there are only two results
  both[2];
  const script: Script<number> = redis.script<number>("return 1", { idempotent: true });
  const one: number = await script.run(["key"], [1, "a", argument], call);
  const evaluated = await redis.evaluate({ sha1: script.sha1, lua: "return 1" }, ["key"], [], call);
  // @ts-expect-error: a command has a name
  redis.command([]);
  return { value, one, evaluated };
}

export function explain(error: EdgeError): string {
  const code: ErrorCode = error.code;
  is<Same<typeof error.name, "EdgeError">>();
  const { mayHaveRun, redisCode = "none" } = error;
  return `${code} ${mayHaveRun} ${redisCode}`;
}

// Stores of other clients
export const stores: Store[] = [
  redis,
  fromEnvironment,
  fromIoredis({ callBuffer: async (name, ...args) => [name, ...args] }),
  fromNodeRedis({ sendCommand: async (args) => args.length }),
  fromUpstash({ url: "", token: "" }),
  { command: async () => null, evaluate: async (script, keys, args) => script.lua.length + keys.length + args.length },
];

// Limiter
const limiterOptions: LimiterOptions = {
  quota: 100,
  window: "1m",
  redis,
  name: "per-user",
  keyPrefix: "shop",
  strategy: "lease",
  onFailure: "closed",
  penalty: { after: 3, hold: "1m", max: "1h" },
  mode: "shadow",
  timeout: "100ms",
  waitUntil,
  now: () => 0,
  onError: (error) => explain(error),
  onDecision: (result, id) => `${id} ${result.success}`,
};
const limiter = new RateLimiter(limiterOptions);
// @ts-expect-error: a limiter has a window
const withoutWindow = new RateLimiter({ quota: 1 });
const perCall: LimitOptions = { cost: 2, quota: 1_000, signal: AbortSignal.timeout(1) };

export async function limits(request: Request): Promise<Response> {
  const id = clientAddress(request, { header: "x-real-ip", ipv6Prefix: 56 }) ?? "shared";
  const result: LimitResult = limiter.limitNow(id) ?? (await limiter.limit(id, perCall));
  if (result.success) is<Same<typeof result.retryAfter, 0>>();
  const sources: "redis" | "lease" | "local" | "blocked" | "none" = result.source;
  const reasons: "timeout" | "cacheBlock" | "denyList" | undefined = result.reason;
  const shadowed: true | undefined = result.shadowed;
  await result.pending;
  const like = await limiter.limit({ key: id, delta: 2 });
  const waited = await limiter.wait(id, { timeout: "1s", cost: 2 });
  // @ts-expect-error: waiting needs a timeout
  limiter.wait(id, {});
  const all = await RateLimiter.limitAll([
    [limiter, id],
    [limiter, "all", { cost: 2 }],
  ]);
  await limiter.refund(id, 2);
  await limiter.reset(id);
  const { remaining, reset, policy, limit } = await limiter.peek(id, { quota: 5 });
  const style: HeaderStyle = "draft-10";
  const headers: Record<string, string> = { ...rateLimitHeaders(all.results, style), ...rateLimitHeaders(like) };
  if (!waited.success) return tooManyRequests(waited, { headers, style, statusText: "slow down" });
  return Response.json({ remaining, reset, policy, limit, sources, reasons, shadowed });
}

// Cache
const cacheOptions: CacheOptions = {
  redis,
  keyPrefix: "shop",
  l1Size: 1_000_000,
  timeout: 100,
  waitUntil,
  now: () => 0,
};
const cache = new Cache({ ...cacheOptions, onError: (error) => explain(error) });
const entryOptions: EntryOptions = { ttl: "1m", staleWhileRevalidate: "1m", staleIfError: "1h", tags: ["a"] };
/** What schema libraries return, by the specification "Standard Schema". */
interface StandardSchema<Output> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
  };
}
type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] };
declare const schema: StandardSchema<number>;

export async function caches() {
  const loaded = await cache.getOrSet("a", entryOptions, async (context: LoadContext) => {
    if (context.background && context.stale === undefined) context.keep({ ttl: "5s" });
    else context.keep(false);
    await fetch("https://origin.example", { signal: context.signal });
    return { price: 1 };
  });
  is<Same<typeof loaded, { price: number }>>();
  const valid = await cache.getOrSet("b", { ...entryOptions, schema }, () => 1);
  is<Same<typeof valid, number>>();
  const bytes = await cache.getOrSet("c", { ttl: 1_000 }, () => new Uint8Array(1));
  const entry: Entry<{ price: number }> | undefined = await cache.get<{ price: number }>("a");
  await cache.set("d", [1, null, "a"], { ttl: "1m" });
  await cache.delete("d");
  await cache.purge({ tags: ["a"] });
  await cache.purge({ keys: ["a", "b"] });
  return { valid, bytes, fresh: entry?.fresh, age: entry?.age, value: entry?.value.price };
}

// Gate
const config: GateConfig = {
  origin: "https://origin.example",
  default_limits: ["all"],
  limits: { all: { by: "global", window: "1m", quota: 1_000 } },
  routes: [{ path: "/api/{name}", methods: ["GET"], cache: { ttl: "1m" } }],
};
// @ts-expect-error: a gate has an origin
const withoutOrigin: GateConfig = {};
const gateOptions: GateOptions = {
  redis,
  adminToken: "t",
  keySecret: "of at least 16 characters",
  previousKeySecret: "none",
  fetch: (request) => fetch(request),
  onError: explain,
};

export async function gates(request: Request) {
  const gate: Gate = createGate(config, gateOptions);
  const answer: Response | Promise<Response> = gate.fetch(request, { waitUntil });
  const { response, headers, results } = await gate.admit(request);
  await gate.purge({ tags: ["a"], urls: ["https://gate.example/a"] });
  const metrics: string = gate.metrics();
  return { answer: await answer, response, headers, metrics, first: results[0]?.success };
}

export function problems(error: unknown): string[] {
  return error instanceof ConfigError ? error.problems.map(({ path, message }) => `${path}: ${message}`) : [];
}

// Jobs
const backoff: BackoffOptions = { type: "exponential", delay: 1_000, jitter: 0.5 };
const deduplication: DeduplicationOptions = { id: "bot-7", ttl: 1_000, extend: true, keepLastIfActive: true };
const kept: KeepJobs = { age: 3_600, count: 100 };
const jobOptions: JobOptions = { attempts: 3, backoff, deduplication, removeOnComplete: kept, removeOnFail: true };
const queueOptions: QueueOptions = { redis, prefix: "bull", bullmq: 6, defaultJobOptions: { backoff: 250 } };
// @ts-expect-error: schedulers are BullMQ's own
const scheduled: JobOptions = { repeat: { every: 1_000 } };

export async function jobs() {
  const queue = new Queue<{ side: "buy" | "sell" }>("bots", queueOptions);
  const job: AddedJob<{ side: "buy" | "sell" }> = await queue.add("run", { side: "buy" }, jobOptions);
  // @ts-expect-error: the data has a type
  await queue.add("run", { side: "hold" });
  const more: NewJob<{ side: "buy" | "sell" }>[] = [{ name: "run", data: job.data, opts: { jobId: "7-a" } }];
  return [...(await queue.addBulk(more)).map(({ id }) => id), queue.name, scheduled];
}

export { windows, withoutOrigin, withoutWindow, wrongWindow };
