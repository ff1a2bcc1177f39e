/**
 * What the tests of the built Worker share: the gate and everything around it, ways to send
 * requests, and ways to read answers.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startOrigin } from "../../examples/origin/index.js";
import { startGate } from "../support/gate.mjs";
import { startRedis, startRestRedis } from "../support/servers.mjs";

/**
 * The longest time in milliseconds that a test waits for something that must come, on however slow
 * a machine.
 */
export const PATIENCE = 20_000;

/**
 * When servers are stopped: after all tests of the file, or after one.
 * @typedef {{ after: (end: () => Promise<unknown>) => void }} Scope
 */

/** @typedef {import("../../examples/origin/index.js").Options} ApiOptions of the sample API */

/**
 * The options of a gate. Its configuration need not name the origin.
 * @typedef {Omit<Parameters<typeof startGate>[0], "edge"> & {
 *   edge?: Record<string, any>,
 * }} GateOptions
 */

/**
 * The sample API, a Redis behind its REST server, a tap on the way there, and the gate in front of
 * them all. They are stopped after the tests of the file.
 * @param {GateOptions & { api?: ApiOptions }} options
 */
export async function setUp({ api, ...options }) {
  const around = await surroundings({ api });
  return { ...around, gate: await startGateBefore(around, options) };
}

/**
 * Everything around a gate, for files that start their gates one by one.
 * @param {Parameters<typeof startStore>[0] & { api?: ApiOptions }} [options] of the store
 */
export async function surroundings({ api, ...options } = {}) {
  const [origin, store] = await Promise.all([startSampleOrigin(api), startStore(options)]);
  return { origin, ...store };
}

/** The sample API. @param {ApiOptions} [options] */
export async function startSampleOrigin(options) {
  const origin = await startOrigin(options);
  after(() => origin.close());
  return origin;
}

/**
 * A Redis behind its REST server, and a tap in front of it. The tap's address is the store's
 * address.
 * @param {{ redisOptions?: string[], scope?: Scope }} [options]
 */
export async function startStore({ redisOptions, scope = { after } } = {}) {
  const redis = await startRedis(redisOptions);
  const rest = await startRestRedis({ redisUrl: redis.url });
  const tap = await startTap(rest.url);
  scope.after(async () => {
    await tap.close();
    await Promise.all([rest.stop(), redis.stop()]);
  });
  return { redis, rest, tap, store: { url: tap.url, token: rest.token, ...commandsOf(rest) } };
}

/**
 * A gate in front of an origin and, unless it is in local mode, a store. The store's timeout is
 * long, so that a slow machine does not look like a failing store.
 * @param {{ origin: { url: string }, store?: { url: string, token: string } }} around
 * @param {GateOptions} options
 * @param {Scope} [scope]
 */
export async function startGateBefore({ origin, store }, { edge = {}, vars = {}, ...options }, scope = { after }) {
  const gate = await startGate({
    edge: { origin: origin.url, ...edge, redis: { timeout: "10s", ...edge.redis } },
    vars: store ? { ...storeVars(store), ...vars } : vars,
    ...options,
  });
  scope.after(() => gate.stop());
  return gate;
}

/**
 * Makes a server listen on a free port until the tests of the file are over, and returns its
 * address.
 * @param {import("node:http").Server} server
 */
export async function listen(server) {
  after(async () => {
    server.close();
    server.closeAllConnections();
  });
  return listenOn(server);
}

/**
 * Makes a server listen on a free port, and returns its address.
 * @param {import("node:http").Server} server
 */
export async function listenOn(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return `http://127.0.0.1:${port}`;
}

/** @param {{ url: string, token: string }} store */
export function storeVars({ url, token }) {
  return { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token };
}

/**
 * Sends commands to a store, past the gate and the tap.
 * @param {{ url: string, token: string }} store
 */
export function commandsOf({ url, token }) {
  const run = async (/** @type {(string | number)[]} */ ...command) => {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(command) });
    const { result, error } = /** @type {any} */ (await response.json());
    assert.equal(error, undefined);
    return result;
  };
  return {
    run,
    /**
     * How often each command has run, those inside scripts included. Commands that only inspect the
     * server are left out.
     */
    counts: async () => {
      /** @type {Record<string, number>} */
      const counts = {};
      const lines = String(await run("INFO", "commandstats"));
      for (const [, name, calls] of lines.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
        if (!["info", "keys", "hello", "ping", "client|setinfo", "client|setname", "select"].includes(name)) {
          counts[name] = Number(calls);
        }
      }
      return counts;
    },
    /** @returns {Promise<string[]>} */
    keys: async () => (await run("KEYS", "*")).sort(),
  };
}

/**
 * The difference of two counts.
 * @param {Record<string, number>} before
 * @param {Record<string, number>} now
 */
export function since(before, now) {
  const added = Object.entries(now).map(([name, calls]) => /** @type {const} */ ([name, calls - (before[name] ?? 0)]));
  return Object.fromEntries(added.filter(([, calls]) => calls > 0));
}

/**
 * The cost of requests: commands, those inside scripts included, and HTTP calls to the store.
 * @param {{ store: ReturnType<typeof commandsOf>, tap: { calls: number } }} setup
 * @param {() => Promise<unknown>} requests
 * @returns {Promise<Record<string, number>>}
 */
export async function costOf({ store, tap }, requests) {
  const [before, calls] = [await store.counts(), tap.calls];
  await requests();
  return { ...since(before, await store.counts()), calls: tap.calls - calls };
}

/**
 * An HTTP proxy in front of the store that counts requests, and fails when told to.
 * @param {string} target
 */
export async function startTap(target) {
  const agent = new Agent({ keepAlive: true });
  const tap = {
    url: "",
    /** How many requests have arrived. */
    calls: 0,
    /** When each answer of the store was sent on, in Unix ms, and how long it had taken. */
    answers: /** @type {{ at: number, took: number }[]} */ ([]),
    /** The fault of a request; a number is the status of the answer. */
    fault: /** @type {null | "hang" | "stall" | "reset" | "nonsense" | number} */ (null),
    /** What a request waits for after it has arrived. */
    barrier: /** @type {Promise<unknown>} */ (Promise.resolve()),
    close: async () => {
      agent.destroy();
      server.close();
      server.closeAllConnections();
    },
  };
  const server = createServer(async (from, to) => {
    tap.calls++;
    const arrived = Date.now();
    await tap.barrier;
    if (tap.fault === "hang") return;
    if (tap.fault === "stall") return to.writeHead(200, { "content-length": 100 }).write('{"result":');
    if (tap.fault === "reset") return from.socket.resetAndDestroy();
    if (tap.fault === "nonsense") return to.writeHead(200).end('{"result":["what",{"is":"this"}]}');
    if (tap.fault !== null) return to.writeHead(tap.fault).end('{"error":"ERR made to fail"}');
    const onward = request(target + from.url, { method: from.method, headers: from.headers, agent });
    onward.on("error", () => to.destroy());
    onward.on("response", (reply) => {
      tap.answers.push({ at: Date.now(), took: Date.now() - arrived });
      reply.pipe(to.writeHead(reply.statusCode ?? 502, reply.headers));
    });
    from.pipe(onward);
  });
  server.keepAliveTimeout = 65_000;
  tap.url = await listenOn(server);
  return tap;
}

/**
 * @typedef {object} Reply
 * @property {number} status
 * @property {import("node:http").IncomingHttpHeaders} headers
 * @property {string[]} rawHeaders
 * @property {Buffer} body as it came, not decoded
 * @property {string} text
 * @property {number} sentAt Unix milliseconds
 * @property {number} receivedAt
 */

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/**
 * The host name by which clients call the gate, whichever isolate they reach. It is part of cache
 * keys.
 */
export const HOST = "edge.example";

/**
 * Sends a request as it is: no header is added but `Host`, nothing is decoded, and no redirect is
 * followed.
 * @param {{ url: string }} isolate
 * @param {string} path
 * @param {{
 *   method?: string,
 *   headers?: Record<string, string | string[]>,
 *   body?: string | Buffer,
 * }} [options]
 * @returns {Promise<Reply>}
 */
export async function ask({ url }, path, { method = "GET", headers = {}, body } = {}) {
  const { hostname, port } = new URL(url);
  const sentAt = Date.now();
  const outgoing = request({ hostname, port, path, method, headers: { host: HOST, ...headers }, agent }).end(body);
  const [incoming] = /** @type {[import("node:http").IncomingMessage]} */ (await once(outgoing, "response"));
  const pieces = [];
  for await (const piece of incoming) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    rawHeaders: incoming.rawHeaders,
    body: bytes,
    text: bytes.toString(),
    sentAt,
    receivedAt: Date.now(),
  };
}

let clients = 0;

/** The headers of a new client. */
export function newClient() {
  clients++;
  return { "cf-connecting-ip": `10.${clients >> 16}.${(clients >> 8) & 255}.${clients & 255}` };
}

/**
 * The values of a header that occurs several times.
 * @param {Reply} reply
 * @param {string} name
 */
export function values({ rawHeaders }, name) {
  return rawHeaders.filter((_, n) => n % 2 === 1 && rawHeaders[n - 1].toLowerCase() === name);
}

/**
 * `RateLimit-Policy` and `RateLimit`, by limit. It is strict: anything that is not of the specified
 * form is an error.
 * @param {Reply} reply
 * @returns {Record<string, { q: number, w: number, r?: number, t?: number }>}
 */
export function rateLimit({ headers }) {
  /** @param {string} field @param {RegExp} form */
  const items = (field, form) => {
    const value = headers[field];
    if (value === undefined) return [];
    return String(value)
      .split(", ")
      .map((item) => {
        const match = item.match(form);
        assert.ok(match, `${field}: ${value}`);
        return /** @type {const} */ ([match[1], Number(match[2]), Number(match[3])]);
      });
  };
  const policies = items("ratelimit-policy", /^"([\w.-]+)";q=(\d+);w=(\d+)$/);
  const states = new Map(items("ratelimit", /^"([\w.-]+)";r=(\d+);t=(\d+)$/).map(([name, r, t]) => [name, { r, t }]));
  for (const name of states.keys()) {
    assert.ok(
      policies.some(([known]) => known === name),
      `RateLimit names "${name}", RateLimit-Policy does not`,
    );
  }
  return Object.fromEntries(policies.map(([name, q, w]) => [name, { q, w, ...states.get(name) }]));
}

/**
 * The gate's member of `Cache-Status` (RFC 9211), which is the last one.
 * @param {Reply} reply
 * @returns {Record<string, string | number | true>}
 */
export function cacheStatus({ headers }) {
  const members = String(headers["cache-status"]).split(", ");
  const [name, ...parameters] = String(members.at(-1)).split("; ");
  assert.equal(name, "omnitrade-edge", `Cache-Status: ${headers["cache-status"]}`);
  return Object.fromEntries(
    parameters.map((parameter) => {
      const [, key, value] = parameter.match(/^([a-z-]+)(?:=(.+))?$/) ?? assert.fail(parameter);
      return [key, value === undefined ? true : /^-?\d+$/.test(value) ? Number(value) : value];
    }),
  );
}

/**
 * Checks that an answer is one of the gate's own problems.
 * @param {Reply} reply
 * @param {number} status
 * @param {string} [type]
 * @returns {any} its body
 */
export function problem(reply, status, type = "about:blank") {
  assert.equal(reply.status, status, reply.text);
  assert.equal(reply.headers["content-type"], "application/problem+json");
  const body = JSON.parse(reply.text);
  assert.equal(body.status, status);
  assert.equal(body.type, type);
  assert.equal(typeof body.title, "string");
  return body;
}

const TYPES = "https://iana.org/assignments/http-problem-types";

/** @param {Reply} reply */
export function quotaExceeded(reply) {
  const body = problem(reply, 429, `${TYPES}#quota-exceeded`);
  assert.equal(body.code, "quota_exceeded");
  return body;
}

/**
 * Checks that an answer is a refusal by the local limits while the store fails.
 * @param {Reply} reply
 */
export function reducedCapacity(reply) {
  const body = problem(reply, 503, `${TYPES}#temporary-reduced-capacity`);
  assert.equal(body.code, "reduced_capacity");
  return body;
}

/**
 * Checks that an answer is the refusal of a client that is blocked by a penalty.
 * @param {Reply} reply
 */
export function abnormalUsage(reply) {
  const body = problem(reply, 429, `${TYPES}#abnormal-usage-detected`);
  assert.equal(body.code, "abnormal_usage");
  return body;
}

/** Who decided the limits. @param {Reply} reply */
export function limiter({ headers }) {
  return String(headers["x-edge-limiter"]);
}

/**
 * After how many seconds the client may come again: a whole number, at least 1.
 * @param {Reply} reply
 */
export function retryAfter({ headers }) {
  assert.match(String(headers["retry-after"]), /^[1-9]\d*$/);
  return Number(headers["retry-after"]);
}

/**
 * How many seconds at most have passed between the gate's making of one answer and of another.
 * @param {Reply} first
 * @param {Reply} [last] without it: how long the one answer took
 */
export function secondsBetween(first, last = first) {
  return (last.receivedAt - first.sentAt) / 1_000;
}

/**
 * Calls `attempt` again and again until it returns a truthy value and does not throw, and returns
 * that value.
 * @template T
 * @param {() => T | Promise<T>} attempt
 * @param {{ within?: number, every?: number }} [times] in milliseconds
 * @returns {Promise<Exclude<T, false | null | undefined>>}
 */
export async function until(attempt, { within = PATIENCE, every = 20 } = {}) {
  const deadline = Date.now() + within;
  for (;;) {
    const late = Date.now() >= deadline;
    try {
      const found = await attempt();
      if (found) return /** @type {any} */ (found);
      if (late) assert.fail(`did not come true within ${within} ms: ${attempt}`);
    } catch (error) {
      if (late) throw error;
    }
    await sleep(every);
  }
}

/**
 * Waits until a moment has passed on the clock that the gate reads.
 * @param {number} moment Unix milliseconds
 */
export async function untilTime(moment) {
  while (Date.now() < moment) await sleep(moment - Date.now());
}
