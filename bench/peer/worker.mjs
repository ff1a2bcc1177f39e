/**
 * The peer: a Worker that limits with `@upstash/ratelimit` and caches with `@upstash/redis`, as
 * their documentation shows it. It checks all limits at once, then the cache, which only admitted
 * requests reach.
 */
import { Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis/cloudflare";

/**
 * @typedef {object} Env
 * @property {{
 *   origin: string, redis: { key_prefix: string }, limits: Record<string, Limit>, routes: Route[],
 *   default_limits?: string[]
 * }} EDGE
 * @property {string} UPSTASH_REDIS_REST_URL
 * @property {string} UPSTASH_REDIS_REST_TOKEN
 * @property {string} [EPHEMERAL_CACHE] "off": without its in-memory block
 */

/**
 * @typedef {{
 *   by: "client" | "ip", window: import("@upstash/ratelimit").Duration, quota: number
 * }} Limit
 */
/**
 * @typedef {{
 *   path: string, methods?: string[], limits: string[], cache?: { ttl: string, query: string[] }
 * }} Route
 */

/** @typedef {ReturnType<typeof start>} App */

/** The only one of an isolate, for all its requests. @type {App | undefined} */
let app;

export default {
  /**
   * @param {Request} request
   * @param {Env} env
   * @param {{ waitUntil: (promise: Promise<unknown>) => void }} context
   * @returns {Promise<Response>}
   */
  async fetch(request, env, context) {
    app ??= start(env);
    const url = new URL(request.url);
    const route = routeOf(app, url.pathname, request.method);
    if (!route) return new Response(null, { status: 404 });

    const address = request.headers.get("cf-connecting-ip") ?? "";
    const client = request.headers.get("x-api-key") ?? request.headers.get("authorization") ?? address;
    const results = await Promise.all(
      route.limits.map(({ by, limiter }) => limiter.limit(by === "client" ? client : address)),
    );
    const tightest = results.reduce((a, b) => (b.remaining < a.remaining ? b : a));
    const headers = {
      "x-ratelimit-limit": `${tightest.limit}`,
      "x-ratelimit-remaining": `${tightest.remaining}`,
      "x-ratelimit-reset": `${tightest.reset}`,
    };
    if (!results.every(({ success }) => success)) {
      const wait = Math.ceil((tightest.reset - Date.now()) / 1000);
      return new Response("Too many requests", { status: 429, headers: { ...headers, "retry-after": `${wait}` } });
    }
    return answer(app, route, url, request, headers, context);
  },
};

/** @param {App} app @param {string} pathname @param {string} method */
function routeOf({ exact, patterns, other }, pathname, method) {
  const candidates = [...exact, ...patterns].filter(({ matches }) => matches(pathname));
  return candidates.find(({ methods }) => methods?.includes(method) ?? true) ?? other;
}

/**
 * The answer from the cache or, if it has none, from the origin.
 * @param {App} app
 * @param {{ cache?: { ttl: number, query: string[] } }} route
 * @param {URL} url
 * @param {Request} request
 * @param {Record<string, string>} headers
 * @param {{ waitUntil: (promise: Promise<unknown>) => void }} context
 */
async function answer({ redis, origin, prefix }, { cache }, url, request, headers, context) {
  if (!cache) {
    const response = await fetch(new Request(`${origin}${url.pathname}${url.search}`, request));
    if (response.status === 101) return response;
    return new Response(response.body, { status: response.status, headers: { ...headers, ...kept(response) } });
  }
  const query = cache.query
    .filter((name) => url.searchParams.has(name))
    .map((name) => `${name}=${encodeURIComponent(url.searchParams.get(name) ?? "")}`)
    .join("&");
  const key = `${prefix}:c:${url.pathname}?${query}`;
  const stored = await redis.get(key);
  if (typeof stored === "string") {
    const end = stored.indexOf("\n");
    return new Response(stored.slice(end + 1), {
      headers: { ...JSON.parse(stored.slice(0, end)), ...headers, "x-cache": "hit" },
    });
  }
  const response = await fetch(`${origin}${url.pathname}?${query}`);
  const body = await response.text();
  if (response.ok) {
    context.waitUntil(redis.set(key, `${JSON.stringify(kept(response))}\n${body}`, { px: cache.ttl }));
  }
  return new Response(body, { status: response.status, headers: { ...kept(response), ...headers, "x-cache": "miss" } });
}

/** The headers that a client needs. @param {Response} response */
function kept({ headers }) {
  return { "content-type": headers.get("content-type") ?? "", etag: headers.get("etag") ?? "" };
}

/** @param {Env} env */
function start(env) {
  const { origin, redis: settings, limits, routes, default_limits } = env.EDGE;
  // One client for all, so that it can send the limits of a request together. The entries are
  // texts, so it need not try to read them as JSON.
  const redis = Redis.fromEnv(env, { automaticDeserialization: false });
  const limiters = new Map(
    Object.entries(limits).map(([name, { by, window, quota }]) => {
      const limiter = new Ratelimit({
        redis,
        prefix: `${settings.key_prefix}:l:${name}`,
        limiter: Ratelimit.slidingWindow(quota, window),
        ephemeralCache: env.EPHEMERAL_CACHE === "off" ? false : new Map(),
      });
      return [name, { by, limiter }];
    }),
  );
  /** @param {string[]} names */
  const limitersOf = (names) => names.flatMap((name) => limiters.get(name) ?? []);
  const prepared = routes.map(({ path, methods, limits, cache }) => ({
    path,
    methods,
    limits: limitersOf(limits),
    cache: cache && { ttl: milliseconds(cache.ttl), query: cache.query },
    matches: matcherOf(path),
  }));
  return {
    redis,
    origin,
    prefix: settings.key_prefix,
    exact: prepared.filter(({ path }) => !path.includes("{")),
    // The longest one first, as the most specific one.
    patterns: prepared.filter(({ path }) => path.includes("{")).sort((a, b) => b.path.length - a.path.length),
    other: default_limits && { limits: limitersOf(default_limits), cache: undefined },
  };
}

/**
 * Matches a path in which `{name}` stands for a segment, and `{*name}` for the rest.
 * @param {string} path
 */
function matcherOf(path) {
  const source = path
    .split(/(\{\*?\w+\})/)
    .map((part) =>
      part.startsWith("{*") ? ".*" : part.startsWith("{") ? "[^/]+" : part.replace(/[.+?^$()|[\]\\]/g, "\\$&"),
    )
    .join("")
    .replace(/\/\.\*$/, "(/.*)?");
  const pattern = new RegExp(`^${source}$`);
  return (/** @type {string} */ pathname) => pattern.test(pathname);
}

/** @param {string} duration such as "500ms" or "60s" */
function milliseconds(duration) {
  return Number.parseFloat(duration) * (duration.endsWith("ms") ? 1 : 1000);
}
