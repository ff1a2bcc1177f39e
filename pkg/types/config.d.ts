// ───── The configuration of the gate. Made by scripts/gate-config.mjs from schema/edge.json: do not edit. ─────

export interface GateConfig {
  /**
   * When the webhook in the secret `EDGE_ALERT_WEBHOOK` is called.
   */
  alerts?: {
    /**
     * How long the store must have failed before the webhook is called. It is looked at with each request, because an isolate has no timers. (a duration such as "60s")
     *
     * @default "30s"
     */
    store_open_for?: string;
  };
  /**
   * How much the cache keeps in the isolate and in Redis.
   */
  cache?: {
    /**
     * The size from which a body is compressed for Redis, if that makes it smaller.
     *
     * @default "512B"
     */
    compress_from?: string | "off";
    /**
     * The memory that one isolate uses for entries. An entry that would take more than a quarter of it is not kept there. An isolate has 128 MB in all. (a size such as "64KB", from "0B" to "64MB")
     *
     * @default "16MB"
     */
    l1_size?: string;
    /**
     * The largest entry that is written to Redis: head and body, after compression. A larger one stays in the isolate. (a size such as "64KB", from "1KB" to "4MB")
     *
     * @default "1MB"
     */
    max_entry?: string;
  };
  /**
   * How the gate tells clients apart.
   */
  client?: {
    /**
     * The request header that holds the client's API key, or a list of such headers, of which the first one that holds a key counts. Of `authorization` only a `Bearer` token counts. Keys count by their digests, into which the secret `EDGE_KEY_SECRET` goes; no key is stored or logged.
     *
     * @default "x-api-key"
     */
    api_key_header?: string | string[];
    /**
     * The request header that holds the client's address. Name only a header that the platform itself sets. (the name of a header)
     *
     * @default "cf-connecting-ip"
     */
    ip_header?: string;
    /**
     * How many leading bits of an IPv6 address identify one client.
     *
     * @default 64
     */
    ipv6_prefix?: number;
    /**
     * Verifies the `Bearer` tokens of `Authorization`, so that a client is a user, whatever token the user has at present. A token that does not verify counts as none, and is still sent to the origin. Default: tokens are not verified.
     */
    jwt?: {
      /**
       * The audience that tokens must name in `aud`. Name it if the issuer signs tokens for others, too, with the same keys. (a text that is not empty) Default: any.
       */
      audience?: string;
      /**
       * The claim that names the user: a text or a whole number. (the name of a claim, such as "sub")
       *
       * @default "sub"
       */
      claim?: string;
      /**
       * The issuer that tokens must name in `iss`. (a text that is not empty) Default: any.
       */
      issuer?: string;
      /**
       * The address of the issuer's public keys, a JSON Web Key Set (RFC 7517): keys for RS256, ES256 and EdDSA (Ed25519). They are fetched in the background, and kept as long as `Cache-Control` or `Expires` says, at least for 1 s and at most for a day. A token with a key that is not in the set has it fetched anew. While it cannot be fetched, the old keys are used, for at most a day; a token of a key that is not among them, or any if there are none, counts by its digest, and a line in the log says so. (an address such as "https://issuer.example.com/jwks.json", without user or fragment (http only for this machine: localhost, 127.0.0.1 or [::1]))
       */
      jwks: string;
      /**
       * The claim that names the user's plan, which selects a quota of `plans`. (the name of a claim, such as "sub") Default: no plans.
       */
      plan_claim?: string;
    };
    /**
     * Which API keys count as keys: any that is sent, or only those that `omnitrade-edge keys add` has registered. A request with another key counts as one without a key.
     *
     * @default "any"
     */
    keys?: "any" | "registered";
  };
  /**
   * Which pages of other origins may read answers, the gate's own refusals among them. Default: the gate says nothing about CORS.
   */
  cors?: {
    /**
     * The request headers that preflights allow. Only with `preflight = true`. Default: the headers that are asked for.
     *
     * Items: the name of a header
     */
    allow_headers?: string[];
    /**
     * The methods that preflights allow. Only with `preflight = true`. Default: the `methods` of the request's route, else the method that is asked for.
     *
     * Items: a method in capitals, such as "GET"
     */
    allow_methods?: string[];
    /**
     * Whether those pages may send cookies and other credentials of the browser. An API key or a token that the page itself sets in a header needs none of this.
     *
     * @default false
     */
    credentials?: boolean;
    /**
     * The response headers that pages may read. A list replaces the default. Default: the gate's own: those that tell limits (`headers`), `Retry-After`, `X-Edge-Limiter`, `Cache-Status`, `Age` and `X-Data-Age`.
     *
     * Items: the name of a header
     */
    expose?: string[];
    /**
     * For how long a browser may remember the answer to a preflight, in whole seconds. Browsers have a limit of their own (Chromium 2 h, Firefox 24 h). Only with `preflight = true`. (a duration such as "60s" or "0s") Default: 5 s, by the browser.
     */
    max_age?: string;
    /**
     * The origins of the pages that may read answers: scheme, host and port, exactly as browsers send them in `Origin`. `"*"` alone lets every page read them.
     *
     * Items: an origin as browsers send it, such as "https://app.example.com" or "http://localhost:5173" (in lower case, without the scheme's own port, without a slash or path at its end, without a wildcard in it), or "*"
     */
    origins: string[];
    /**
     * Whether the gate answers preflights itself, with 204. If not, they reach the origin.
     *
     * @default false
     */
    preflight?: boolean;
  };
  /**
   * The limits of every request that no route claims.
   *
   * @default []
   *
   * Items: the name of a limit
   */
  default_limits?: string[];
  /**
   * The methods that routes may name beside those of the [IANA HTTP Method Registry](https://www.iana.org/assignments/http-methods): a misspelt one would claim nothing.
   *
   * @default []
   *
   * Items: a method in capitals, such as "GET"
   */
  extra_methods?: string[];
  /**
   * The headers that tell clients their limits: `RateLimit` and `RateLimit-Policy` as that draft of the IETF defines them, the `X-RateLimit-` headers (`"legacy"`), or none.
   *
   * @default "draft-10"
   */
  headers?: "draft-10" | "draft-7" | "legacy" | "none";
  /**
   * The limits, by name. A limit counts only where a route or `default_limits` names it.
   */
  limits?: {
    [k: string]: {
      /**
       * Which requests share a bucket: `"client"`: those with the same API key, without a key those of the same user (`client.jwt`), and else those from the same address; `"user"`: the same, but a verified token counts before an API key; `"ip"`: those from the same address; `"api-key"`: those with the same API key or of the same user, and requests without either are not counted; `"route"`: all requests of one route; `"global"`: all requests.
       */
      by: "client" | "user" | "ip" | "api-key" | "route" | "global";
      /**
       * The same for requests with one. For `"client"`, `"user"` and `"api-key"` only. Default: `quota`.
       */
      keyed_quota?: number;
      /**
       * With `on_failure = "local"`: the part of the quota that one isolate may give in a window while the store does not answer. All of them together may give so much each, beside what the store has given: make it smaller if many isolates serve the same client. (a part such as "50%", from "1%" to "100%")
       *
       * @default "50%"
       */
      local_share?: string;
      /**
       * `"enforce"`: the limit refuses requests. `"shadow"`: it is counted and reported, and refuses nothing.
       *
       * @default "enforce"
       */
      mode?: "enforce" | "shadow";
      /**
       * What decides about this limit while the store fails. Default: `redis.on_failure`.
       */
      on_failure?: "local" | "open" | "closed";
      /**
       * Holds off a client that goes on after it was refused. During a hold the client's requests make no store call. Default: no penalty.
       */
      penalty?: {
        /**
         * How many refusals inside one window start a hold.
         *
         * @default 20
         */
        after?: number;
        /**
         * How long the first hold lasts. Each further hold lasts twice as long as the one before. (a duration such as "60s")
         *
         * @default "60s"
         */
        hold?: string;
        /**
         * The longest hold. (a duration such as "60s")
         *
         * @default "1h"
         */
        max?: string;
      };
      /**
       * The same by plan: that of a registered key (`client.keys = "registered"`), or the one that a verified token names (`client.jwt.plan_claim`). For `"client"`, `"user"` and `"api-key"` only.
       */
      plans?: {
        [k: string]: number;
      };
      /**
       * Permits in any interval of the window's length, for requests without an API key or a verified token.
       */
      quota: number;
      /**
       * `"exact"`: every request asks the store. `"lease"`: an isolate fetches permits ahead, so that most requests make no store call.
       *
       * @default "exact"
       */
      strategy?: "exact" | "lease";
      /**
       * The length of the sliding window. (a duration such as "60s")
       */
      window: string;
    };
  };
  /**
   * Where metrics of all isolates come together. Each isolate's own are at `/__edge/metrics` in any case.
   */
  metrics?: {
    /**
     * The binding of a Workers Analytics Engine dataset to which each isolate writes what it has counted. (the name of a binding such as "EDGE_METRICS") Default: none are written.
     */
    analytics?: string;
    /**
     * How often an isolate writes, at most: after a request, because an isolate has no timers. (a duration from "10s" to "5m")
     *
     * @default "1m"
     */
    every?: string;
  };
  /**
   * The API behind the gate. A path in it is put before the path of every request. (an address such as "https://api.example.com", without user, query or fragment)
   */
  origin: string;
  /**
   * Quotas of calls to the origin that several routes share, by name. A quota holds for all isolates together.
   */
  origin_quotas?: {
    [k: string]: {
      /**
       * Calls to the origin in any interval of the window's length.
       */
      limit: number;
      /**
       * `"exact"`: every call to the origin asks the store first. `"lease"`: an isolate fetches permits ahead, as for a limit. That suits a large quota on a route without a cache.
       *
       * @default "exact"
       */
      strategy?: "exact" | "lease";
      /**
       * The length of the sliding window. (a duration such as "60s")
       */
      window: string;
    };
  };
  /**
   * How long the origin may take to start its answer, once it has the whole request. If it takes longer, the client gets a stored answer, or else 504. An upload may take as long as it likes, but not pause for longer than this. (a duration such as "60s")
   *
   * @default "30s"
   */
  origin_timeout?: string;
  /**
   * Whether `RateLimit` and `RateLimit-Policy` carry `pk`, an opaque name of the bucket in which the client is counted. Only `"draft-10"` has this parameter.
   *
   * @default false
   */
  partition_key?: boolean;
  /**
   * Queues of BullMQ, by the names by which routes call them.
   */
  queues?: {
    [k: string]: {
      /**
       * The major version of BullMQ that works on the queue. Jobs are stored as 5.81.3 stores them, which is safe with 5 and 6; for `6`, as 6.7.0 does. With `6`, no worker of 5 may work on it: it would lose jobs that were added while the queue was paused.
       *
       * @default "any"
       */
      bullmq?: "any" | (5 | 6);
      /**
       * The queue's name, as its workers have it. (the name of a queue, without a colon)
       */
      name: string;
      /**
       * The prefix of its keys, as its workers have it. (a prefix of 1 to 128 letters, digits, `-`, `_`, `.` or `:`, some of them in braces or not, such as "bull" or "{bull}")
       *
       * @default "bull"
       */
      prefix?: string;
    };
  };
  /**
   * How the gate uses the store.
   */
  redis?: {
    /**
     * What the name of every Redis key starts with. A clustered Redis needs it, or a part of it, in braces: all keys of the gate then lie in one slot. (a prefix of at most 32 letters, digits, `-`, `_` or `.`, some of them in braces or not, such as "ot" or "{ot}")
     *
     * @default "ot"
     */
    key_prefix?: string;
    /**
     * What decides while the store fails: local limits (`"local"`), nothing, so that every request passes (`"open"`), or nothing, so that every request gets 503 (`"closed"`).
     *
     * @default "local"
     */
    on_failure?: "local" | "open" | "closed";
    /**
     * The deadline of one store call, repeats included. (a duration such as "60s")
     *
     * @default "150ms"
     */
    timeout?: string;
  };
  /**
   * Whether an absolute `Location` or `Content-Location` that names the origin's own address is turned into the address that the client has called: the client's scheme and host, without the path of `origin`.
   *
   * @default false
   */
  rewrite_location?: boolean;
  /**
   * What applies to which paths. If several paths match a request, the most specific one wins.
   *
   * @default []
   */
  routes?: {
    /**
     * Makes the route a shared cache. An empty table, `cache = {}`, makes it one that does what RFC 9111 asks and no more. Default: no cache.
     */
    cache?: {
      /**
       * The values of these parameters of `query` if a request leaves them out, in the key and on the way to the origin.
       */
      defaults?: {
        /**
         * a value such as "100", as it is before encoding
         */
        [k: string]: string;
      };
      /**
       * On a route with `query`: the only request headers that reach the origin, in addition to those of `vary` and those that the gate sets itself. Without this field they are accept, accept-encoding, accept-language, authorization, cache-control, cdn-loop, origin, pragma, traceparent, tracestate and x-request-id. Default: the 11 listed here.
       *
       * Items: the name of a header (without `query` all go to the origin)
       */
      forward?: string[];
      /**
       * Whether a response that names no lifetime is fresh for a tenth of the time since its `Last-Modified`, at most a day (RFC 9111, section 4.2.2). Default: `true` if there is no `ttl`, else `false`.
       */
      heuristic?: boolean;
      /**
       * How long an isolate may use an entry in its memory without asking the store whether it was purged. (a duration such as "60s" or "0s") Default: `"1s"` if there are `tags`, else the life of the entry.
       */
      l1_max_age?: string;
      /**
       * How long an entry must still be usable, fresh or while it is refreshed, to be written to Redis. An entry with less time left stays in the isolate, and no other isolate waits for it. (a duration such as "60s" or "0s")
       *
       * @default "0s"
       */
      min_ttl?: string;
      /**
       * The statuses to which `negative_ttl` applies. Name 500 if the API answers so for something that does not exist: the entry is then served for `negative_ttl`, but never in place of one that `stale_if_error` still allows. Default: `[400, 404, 410]`.
       */
      negative_statuses?: (400 | 404 | 405 | 410 | 414 | 422 | 500 | 501 | 502 | 503 | 504)[];
      /**
       * How long a response with one of the `negative_statuses` is fresh if it names no lifetime of its own; at most `"10m"`. It is not served stale unless it allows that itself. (a duration such as "60s") Default: none.
       */
      negative_ttl?: string;
      /**
       * The case in which the values of these parameters of `query` are written (ASCII letters only), in the key and on the way to the origin.
       */
      normalize?: {
        [k: string]: "upper" | "lower";
      };
      /**
       * With the ttl `"candle"`: the longest that an answer with an open candle is fresh. (a duration such as "60s") Default: none.
       */
      open_ttl?: string;
      /**
       * Whether `ttl` and `negative_ttl` replace what the response says of its freshness, `no-cache` and `must-revalidate` included. `no-store`, `private` and `Set-Cookie` still count.
       *
       * @default false
       */
      override_origin?: boolean;
      /**
       * The only query parameters that reach the cache key and the origin. Default: all parameters.
       *
       * Items: the name of a query parameter, as it is before encoding
       */
      query?: string[];
      /**
       * Whether 5xx responses that name a lifetime of their own are stored, as RFC 9111 allows.
       *
       * @default false
       */
      server_errors?: boolean;
      /**
       * Whether responses with `Set-Cookie` are stored, as RFC 9111 allows. All clients then get the same cookie.
       *
       * @default false
       */
      set_cookie?: boolean;
      /**
       * How long after its lifetime an entry is still served if the origin fails. It is a hard ceiling: no older entry is served. (a duration such as "60s" or "0s") Default: as the response says, at least `stale_while_revalidate`.
       */
      stale_if_error?: string;
      /**
       * How long after its lifetime an entry is still served while it is refreshed in the background; at most `stale_if_error`, if that is set. (a duration such as "60s" or "0s") Default: as the response says.
       */
      stale_while_revalidate?: string;
      /**
       * Whether a response is stale if its `Age` is malformed or repeated. If not, the first `Age` counts and a malformed one is ignored (RFC 9111, section 5.1).
       *
       * @default false
       */
      strict_age?: boolean;
      /**
       * Names by which entries are purged together, at most 8. `{query.NAME}` stands for a parameter of the query, `{path.NAME}` for a segment of the path.
       *
       * @default []
       *
       * Items: a tag such as "orderbook", "symbol:{query.symbol}" or "book:{path.id}", not beginning with `@`
       */
      tags?: string[];
      /**
       * How long a response is fresh if it names no lifetime of its own. `"candle"`: as long as its candles stay as they are, judged by `interval` (1s to 1M, as Binance names them) and `endTime` (Unix milliseconds) of the query: 30 days if the last candle had closed 30 seconds before the origin was asked, else until the open candle closes, in UTC. Default: none.
       */
      ttl?: string | "candle";
      /**
       * What happens to a `GET` or `HEAD` with a query parameter that `query` does not name. `"drop"`: the parameter is left out. `"pass"`: the request goes to the origin as it is, past the cache. `"refuse"`: the gate answers with 400.
       *
       * @default "drop"
       */
      unknown_query?: "drop" | "pass" | "refuse";
      /**
       * Request headers that select a variant, in addition to the response's own `Vary`.
       *
       * @default []
       *
       * Items: the name of a header
       */
      vary?: string[];
      /**
       * Where a response says how new it is: a whole number in its JSON, by a dotted path (`json:data.lastUpdateId`), or in a header (`header:x-sequence`). A newer response is then never replaced by an older one. Without this field the response that arrives later wins. (a place such as "json:timestamp", "json:data.0.id" or "header:x-sequence") Default: none.
       */
      version?: string;
    };
    /**
     * How many permits one request takes from each limit. The origin may name the true cost in the response header `X-Edge-Cost`; the difference is settled after the response.
     *
     * @default 1
     */
    cost?: number;
    /**
     * Makes each request a job of a queue, in place of sending it to the origin. The client gets 202 with the job's id, or 503 if the store has not confirmed it. Such a route claims `POST`, unless `methods` says otherwise. See [jobs](jobs.md). Default: requests go to the origin.
     */
    enqueue?: {
      /**
       * How often the job is tried until it completes. Default: one.
       */
      attempts?: number;
      /**
       * How long the workers wait before they try it again. Default: none.
       */
      backoff?: {
        /**
         * How long, the first time. (a duration such as "60s")
         */
        delay: string;
        /**
         * `"exponential"`: twice as long each time.
         *
         * @default "fixed"
         */
        type?: "fixed" | "exponential";
      };
      /**
       * Jobs with the same id here are one job, until it is finished or for a time. If a part of the id is missing from a request, its job is one of its own. Default: none.
       */
      deduplication?: {
        /**
         * Whether the time begins anew with each further job.
         *
         * @default false
         */
        extend?: boolean;
        /**
         * The id, as `id` of the job. (an id such as "{path.id}-{header.idempotency-key}" or "{client}-{path.id}", of parts of the request and of letters, digits, `.`, `_` and `-`)
         */
        id: string;
        /**
         * Whether the last of the jobs that come while the first one runs follows it.
         *
         * @default false
         */
        keep_last_if_active?: boolean;
        /**
         * Whether a further job replaces the first, if that is still delayed.
         *
         * @default false
         */
        replace?: boolean;
        /**
         * For how long. (a duration such as "60s") Default: until the job is finished.
         */
        ttl?: string;
      };
      /**
       * How long the job waits before it can run. (a duration such as "60s" or "0s") Default: none.
       */
      delay?: string;
      /**
       * The job's id, of parts of the request: `{path.name}`, `{header.name}` and `{client}`, the digest by which the client is called. A job of an id that is there already is not added again. If one of the parts is missing from a request, its job gets a new id. An id is 1 to 128 letters, digits, `.`, `_` or `-`, no integer, and none of BullMQ's own key names; else the client gets 422. With a header in it, put `{client}` in it too: two clients could choose the same. (an id such as "{path.id}-{header.idempotency-key}" or "{client}-{path.id}", of parts of the request and of letters, digits, `.`, `_` and `-`) Default: a new id.
       */
      id?: string;
      /**
       * The name of the job. (the name of a job)
       */
      job: string;
      /**
       * How many lines of the job's log are kept. Default: all.
       */
      keep_logs?: number;
      /**
       * Whether the job is the next to run, and not the last.
       *
       * @default false
       */
      lifo?: boolean;
      /**
       * The longest body, which is the job's data and must be JSON. (a size such as "64KB", from "1B" to "1MB")
       *
       * @default "64KB"
       */
      max_body?: string;
      /**
       * From 1, which runs first, to 2,097,151. Jobs without a priority run before those with one. Default: none.
       */
      priority?: number;
      /**
       * The queue, by its name under `queues`. (the name of a limit)
       */
      queue: string;
      /**
       * Which completed jobs are kept: `true` keeps none, a number so many, `{ age = "1h" }` those of this time. Default: all are kept.
       */
      remove_on_complete?:
        | boolean
        | (
            | number
            | {
                /**
                 * How long, in whole seconds. (a duration such as "60s")
                 */
                age: string;
                /**
                 * How many at most. Default: all.
                 */
                count?: number;
              }
          );
      /**
       * Which failed jobs are kept. Default: all are kept.
       */
      remove_on_fail?:
        | boolean
        | (
            | number
            | {
                /**
                 * How long, in whole seconds. (a duration such as "60s")
                 */
                age: string;
                /**
                 * How many at most. Default: all.
                 */
                count?: number;
              }
          );
      /**
       * How many lines of a stack trace are kept. Default: all.
       */
      stack_trace_limit?: number;
    };
    /**
     * The limits that count here, by name. A request that one of them refuses is charged to none.
     *
     * @default []
     *
     * Items: the name of a limit
     */
    limits?: string[];
    /**
     * The methods that the route claims. Default: all methods.
     *
     * Items: a method in capitals, such as "GET"
     */
    methods?: string[];
    /**
     * How often all isolates together may call the origin for this route: a quota of the route's own, or the name of one in `origin_quotas`, which is shared. Default: no quota.
     */
    origin_quota?:
      | string
      | {
          /**
           * Calls to the origin in any interval of the window's length.
           */
          limit: number;
          /**
           * `"exact"`: every call to the origin asks the store first. `"lease"`: an isolate fetches permits ahead, as for a limit. That suits a large quota on a route without a cache.
           *
           * @default "exact"
           */
          strategy?: "exact" | "lease";
          /**
           * The length of the sliding window. (a duration such as "60s")
           */
          window: string;
        };
    /**
     * How long the origin may take to start its answer here. (a duration such as "60s") Default: the top level's.
     */
    origin_timeout?: string;
    /**
     * The path: `{name}` matches one segment, `{*rest}` the rest, or nothing. `* : $ ( ) [ ] < > ^ |` and `\`, which are wildcards in other tools, are written percent-encoded if they stand for themselves (`/odata/%24metadata`); that matches both spellings of a request's path. (a path such as "/v1/books/{id}" or "/files/{*rest}")
     */
    path: string;
    /**
     * If the origin answers with one of these statuses, the permits come back.
     *
     * @default []
     */
    refund_on?: number[];
    /**
     * The share of a limit, by the limit's name, that the route keeps for itself: other routes cannot use that last part of the limit; this route can use all of it.
     */
    reserve?: {
      /**
       * a share such as "20%", from "1%" to "90%"
       */
      [k: string]: string;
    };
  }[];
  /**
   * Whether answers carry `Server-Timing`: how long the store and the origin were waited for.
   *
   * @default false
   */
  server_timing?: boolean;
}
