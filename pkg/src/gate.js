/** The entry `./gate`: the whole gate as a handler, for any program that gets requests. */
import { waitUntil } from "omnitrade-edge:platform";
import { unlessAborted } from "./abort.js";
import { EdgeError } from "./edge-error.js";
import { failed, Instance } from "./instance.js";
import { REST } from "./rest.js";
import { ADDRESS, restOver } from "./rest-over-store.js";

/** @import { ErrorCode, LimitResult } from "@omnitrade/edge" */
/** @import { GateConfig, GateOptions } from "@omnitrade/edge/gate" */
/** @typedef {{ waitUntil(work: Promise<unknown>): void }} Context */
/**
 * @typedef {{
 *   response?: Response, headers: Record<string, string>, results: LimitResult[]
 * }} Admitted
 */
/**
 * @typedef {{
 *   title: string, detail?: string, problems?: string[], purged?: Record<string, number>
 * }} Problem the body of a refused purge
 */

/** Nothing is left to do. */
const DONE = Promise.resolve();

export class ConfigError extends Error {
  /** @param {{ path: string, message: string }[]} problems */
  constructor(problems) {
    super(problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("\n"));
    this.problems = problems;
  }

  get name() {
    return "ConfigError";
  }
}

/**
 * @param {GateConfig} config
 * @param {GateOptions} [options]
 */
export function createGate(config, options = {}) {
  const gate = new Running(settings(config, options));
  // Functions that need no `this`, because programs hand on `gate.fetch`.
  return {
    /**
     * @param {Request} request
     * @param {...unknown} rest the context, or what else a platform hands to its handlers
     */
    fetch: (request, ...rest) => gate.fetch(request, contextIn(rest)),
    /** @param {Request} request @param {...unknown} rest */
    admit: (request, ...rest) => gate.admit(request, contextIn(rest)),
    purge: gate.purge.bind(gate),
    metrics: () => gate.metrics(),
  };
}

/**
 * What keeps a request going until some work is done. Some platforms hand other objects to their
 * handlers, and Cloudflare's hand the bindings first.
 * @param {unknown[]} rest
 * @returns {Context}
 */
function contextIn(rest) {
  const given = rest.find((each) => typeof (/** @type {any} */ (each)?.waitUntil) === "function");
  return /** @type {Context | undefined} */ (given) ?? { waitUntil };
}

/**
 * @typedef {object} Settings
 * @property {PlatformFunctions} functions
 * @property {import("./instance.js").Bindings} bindings
 */

/**
 * @param {unknown} config
 * @param {GateOptions} options
 * @returns {Settings}
 */
function settings(config, { redis, adminToken, keySecret, previousKeySecret, fetch, onError }) {
  const problems = [];
  const expected = (/** @type {string} */ name, /** @type {string} */ what) =>
    problems.push({ path: `options.${name}`, message: `expected ${what}` });
  if (fetch !== undefined && typeof fetch !== "function") expected("fetch", "a function");
  if (onError !== undefined && typeof onError !== "function") expected("onError", "a function");
  for (const [name, text] of Object.entries({ adminToken, keySecret, previousKeySecret })) {
    if (text !== undefined && typeof text !== "string") expected(name, "a text");
  }
  /** @type {{ url: string, token: string, fetch?: typeof globalThis.fetch } | undefined} */
  const rest = /** @type {any} */ (redis)?.[REST]?.();
  if (redis !== undefined && !rest && (typeof redis?.command !== "function" || typeof redis?.evaluate !== "function")) {
    expected("redis", 'a `Redis`, or another client through "@omnitrade/edge/clients"');
  }
  let edge = config;
  try {
    edge = typeof config === "string" ? config : (JSON.stringify(config) ?? "null");
  } catch {
    problems.push({ path: "", message: "expected what JSON can hold" });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  /** @type {Record<string, unknown>} */
  const env = {
    EDGE: edge,
    EDGE_ADMIN_TOKEN: adminToken,
    EDGE_KEY_SECRET: keySecret,
    EDGE_KEY_SECRET_PREVIOUS: previousKeySecret,
  };
  if (rest) Object.assign(env, { UPSTASH_REDIS_REST_URL: rest.url, UPSTASH_REDIS_REST_TOKEN: rest.token });
  else if (redis) Object.assign(env, { UPSTASH_REDIS_REST_URL: ADDRESS, UPSTASH_REDIS_REST_TOKEN: "-" });
  const listener = onError && listenerOf(onError);
  return {
    functions: {
      fetch: fetchOf({ origin: fetch, rest, store: rest || !redis ? undefined : restOver(redis) }),
      // Looked up for each call: a test may have replaced them.
      setTimeout: /** @type {any} */ (
        (/** @type {() => void} */ callback, /** @type {number} */ ms) => setTimeout(callback, ms)
      ),
      clearTimeout: (timer) => clearTimeout(timer),
      console: {
        error: (...args) => console.error(...args),
        warn: (...args) => listener?.told(String(args[0])) || console.warn(...args),
      },
      Math,
      Response,
    },
    bindings: { env, onFailure: listener?.hear },
  };
}

/**
 * Hands failures of the store to a function of the program. They need not be logged as well.
 * @param {(error: EdgeError) => void} onError
 */
function listenerOf(onError) {
  let latest = "";
  return {
    /** @param {Failure} failure */
    hear: (failure) => {
      latest = failure[0];
      onError(errorOf(failure));
    },
    /** Whether a line of the log says no more than the latest failure. @param {string} line */
    told: (line) => latest !== "" && line.includes(JSON.stringify(`store: ${latest}`)),
  };
}

/** @param {Failure} failure */
function errorOf([text, code, mayHaveRun, redisCode]) {
  return new EdgeError(/** @type {ErrorCode} */ (code), mayHaveRun, text, redisCode);
}

/**
 * The `fetch` of an instance. It sends requests to the origin; all else that it fetches goes to an
 * address in a text.
 * @param {object} ways
 * @param {((request: Request) => Promise<Response>) | undefined} ways.origin
 * @param {{ url: string, fetch?: typeof globalThis.fetch } | undefined} ways.rest
 * @param {((path: string, init: RequestInit) => Promise<Response>) | undefined} ways.store
 * @returns {typeof globalThis.fetch}
 */
function fetchOf({ origin, rest, store }) {
  return async (input, init) => {
    if (typeof input !== "string") {
      const request = /** @type {Request} */ (input);
      return origin ? unlessAborted(origin(new Request(request, init)), init?.signal) : fetch(request, init);
    }
    if (store && input.startsWith(`${ADDRESS}/`)) return store(input.slice(ADDRESS.length), init ?? {});
    if (rest?.fetch && input.startsWith(`${rest.url}/`)) return rest.fetch(input, init);
    return fetch(input, init);
  };
}

/** The names of options that bindings are read from. @type {Record<string, string>} */
const OPTIONS = {
  EDGE_KEY_SECRET: "options.keySecret",
  EDGE_KEY_SECRET_PREVIOUS: "options.previousKeySecret",
};

/** The most names of one purge, and about the most bytes of its body, as the module takes them. */
const MOST_NAMES = 100;
const MOST_BYTES = 60_000;

/** A gate with an instance of its own, which is made anew if it breaks down. */
class Running {
  #settings;
  #instance;
  #restarts = 0;

  /** @param {Settings} settings */
  constructor(settings) {
    this.#settings = settings;
    this.#instance = this.#start();
    const problems = this.#instance.glue.problems();
    if (problems.length > 0) {
      throw new ConfigError(
        Array.from({ length: problems.length / 2 }, (_, n) => {
          // The options have these names only for the module.
          const path = problems[2 * n].replace(/^UPSTASH_REDIS_REST_.*/, "options.redis");
          return { path: OPTIONS[path] ?? path, message: problems[2 * n + 1] };
        }),
      );
    }
  }

  #start() {
    return new Instance(this.#settings.functions, this.#settings.bindings);
  }

  get #running() {
    if (this.#instance.isBroken) {
      this.#instance = this.#start();
      this.#restarts++;
    }
    return this.#instance;
  }

  /**
   * @param {Request} request
   * @param {Context} context
   * @returns {Response | Promise<Response>}
   */
  fetch(request, context) {
    const instance = this.#running;
    try {
      const answer = instance.fetch(request, context);
      return "promise" in answer ? instance.answer(answer) : answer;
    } catch (error) {
      instance.breakDown(error);
      return failed();
    }
  }

  /**
   * @param {Request} request
   * @param {Context} context
   * @returns {Promise<Admitted>}
   */
  async admit(request, context) {
    const told = await this.#wait((glue) => glue.admit(request, context));
    if (told === undefined) return { response: failed(), headers: {}, results: [] };
    const [response, text, limits] = told;
    /** @type {Record<string, string>} */
    const headers = {};
    const lines = text === "" ? [] : text.split("\n");
    for (let at = 0; at + 1 < lines.length; at += 2) headers[lines[at]] = lines[at + 1];
    const results = JSON.parse(limits).map(resultOf);
    return response ? { response, headers, results } : { headers, results };
  }

  /** @param {{ tags?: readonly string[], urls?: readonly string[] }} what */
  async purge({ tags = [], urls = [] }) {
    for (const [n, url] of urls.entries()) {
      if (/^[/\\]/.test(url)) {
        const message = `urls[${n}]: expected a whole URL, because a path does not say on which host`;
        throw new EdgeError("config", false, message);
      }
    }
    let isPartial = false;
    for (const names of parcels(tags, urls)) {
      const body = JSON.stringify(names);
      const request = new Request("https://gate.invalid/__edge/purge", { method: "POST", body });
      const told = await this.#wait((glue) => glue.purge(request));
      if (told === undefined) throw new EdgeError("server", true, "the gate broke down");
      const [status, text, failure] = told;
      if (status !== 200) throw unpurged(status, JSON.parse(text), failure, isPartial);
      isPartial = true;
    }
  }

  metrics() {
    const instance = this.#running;
    const name = "edge_restarts_total";
    const text = `# HELP ${name} Times that the gate broke down and started anew.\n# TYPE ${name} counter\n`;
    return `${instance.glue.metrics()}${text}${name} ${this.#restarts}\n`;
  }

  /**
   * @template T
   * @param {(glue: Instance["glue"]) => Later<T>} call
   * @returns {Promise<T | undefined>} nothing if the instance breaks down
   */
  async #wait(call) {
    const instance = this.#running;
    try {
      return await instance.wait(call(instance.glue));
    } catch (error) {
      instance.breakDown(error);
      return undefined;
    }
  }
}

/**
 * @param {any} told
 * @returns {LimitResult}
 */
function resultOf({ reason, shadowed, ...told }) {
  const result = { ...told, pending: DONE };
  if (reason !== null) result.reason = reason;
  if (shadowed) result.shadowed = true;
  return result;
}

/**
 * The names of a purge, in parts that one purge takes. A purge without names is one part: what is
 * wrong with it is for the module to say.
 * @param {readonly string[]} tags
 * @param {readonly string[]} urls
 */
function parcels(tags, urls) {
  const names = [...tags.map((name) => ({ kind: "tags", name })), ...urls.map((name) => ({ kind: "urls", name }))];
  const all = [{ tags: /** @type {string[]} */ ([]), urls: /** @type {string[]} */ ([]) }];
  let [count, bytes] = [0, 0];
  for (const { kind, name } of names) {
    const size = JSON.stringify(name)?.length ?? 0;
    if (count === MOST_NAMES || (count > 0 && bytes + 4 * size > MOST_BYTES)) {
      all.push({ tags: [], urls: [] });
      [count, bytes] = [0, 0];
    }
    all[all.length - 1][/** @type {"tags" | "urls"} */ (kind)].push(name);
    count++;
    bytes += 4 * size;
  }
  return all;
}

/**
 * @param {number} status
 * @param {Problem} problem
 * @param {Failure | undefined} failure
 * @param {boolean} isPartial
 */
function unpurged(status, { title, detail = title, problems, purged }, failure, isPartial) {
  if (failure) {
    const error = errorOf(failure);
    const some = isPartial || Object.values(purged ?? {}).some((count) => count > 0);
    return new EdgeError(error.code, error.mayHaveRun || some, error.message, error.redisCode);
  }
  // The store is known to be down, and was not asked.
  if (status === 503) return new EdgeError("unreachable", isPartial, `the store cannot be reached: ${detail}`);
  return new EdgeError("config", isPartial, problems?.join("\n") ?? detail);
}
