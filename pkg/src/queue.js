/** The entry `./queue`: jobs for BullMQ's workers. It needs no module. */
import { scripts } from "omnitrade-edge:queue-scripts";
import { EdgeError } from "./edge-error.js";

/** @import { RedisCommand, Store } from "@omnitrade/edge" */
/** @import { AddedJob, JobOptions, NewJob, QueueOptions } from "@omnitrade/edge/queue" */

/**
 * Checks a value, and says what was expected if it is wrong.
 * @typedef {(value: any, path: string) => string | undefined} Shape
 */

/** @param {string} expected @param {(value: any) => boolean} fits @returns {Shape} */
const shape = (expected, fits) => (value) => (fits(value) ? undefined : expected);
const INTEGER = shape("an integer", Number.isSafeInteger);
const COUNT = shape("an integer that is not negative", (value) => Number.isSafeInteger(value) && value >= 0);
const NUMBER = shape("a number", Number.isFinite);
const BOOL = shape("true or false", (value) => typeof value === "boolean");
const TEXT = shape("a text", (value) => typeof value === "string");

/** @param {Record<string, Shape>} fields @returns {Shape} */
const object = (fields) => (value, path) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "an object";
  for (const [name, one] of Object.entries(value)) {
    const inside = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (inside === undefined) throw refused(`\`${name}\` of \`${path}\` is unknown`);
    check(inside, one, `${path}.${name}`);
  }
};

/** @param {Shape[]} shapes @returns {Shape} */
const either =
  (...shapes) =>
  (value, path) => {
    if (typeof value === "object" && value !== null) return shapes[shapes.length - 1](value, path);
    const wrong = shapes.map((one) => one(value, path));
    return wrong.includes(undefined) ? undefined : wrong.join(" or ");
  };

const KEEP = either(BOOL, INTEGER, object({ age: COUNT, count: INTEGER, limit: COUNT }));

/** @type {Record<string, Shape>} */
const OPTIONS = {
  attempts: COUNT,
  backoff: either(NUMBER, object({ type: TEXT, delay: NUMBER, jitter: NUMBER })),
  deduplication: object({
    id: TEXT,
    ttl: COUNT,
    extend: BOOL,
    replace: BOOL,
    keepLastIfActive: BOOL,
    reschedule: BOOL,
  }),
  delay: NUMBER,
  jobId: TEXT,
  keepLogs: COUNT,
  lifo: BOOL,
  priority: COUNT,
  removeOnComplete: KEEP,
  removeOnFail: KEEP,
  sizeLimit: COUNT,
  stackTraceLimit: COUNT,
  telemetry: object({ metadata: TEXT, omitContext: BOOL }),
  timestamp: NUMBER,
};

const FLOW = "belongs to flows, which only BullMQ adds";
const SCHEDULER = "belongs to schedulers, which only BullMQ adds";

/** Options that are not supported, and why. @type {Record<string, string>} */
const REFUSED = {
  parent: FLOW,
  children: FLOW,
  failParentOnFailure: FLOW,
  continueParentOnFailure: FLOW,
  ignoreDependencyOnFailure: FLOW,
  removeDependencyOnFailure: FLOW,
  repeat: SCHEDULER,
  repeatJobKey: SCHEDULER,
  prevMillis: SCHEDULER,
  debounce: "is called `deduplication`",
};

/** The names of BullMQ's own keys, of 5.81.3 and 6.7.0. */
const KEYS = [
  ...["active", "wait", "waiting-children", "paused", "id", "delayed", "prioritized", "stalled-check", "completed"],
  ...["failed", "stalled", "repeat", "limiter", "meta", "events", "pc", "marker", "de"],
];

/** The keys that a script is given, in order. */
const KEYS_OF = {
  standard: ["wait", "paused", "meta", "id", "completed", "delayed", "active", "events", "marker"],
  delayed: ["marker", "meta", "id", "delayed", "completed", "events"],
  prioritized: ["marker", "meta", "id", "prioritized", "delayed", "completed", "active", "events", "pc"],
};

const MOST_PRIORITY = 2_097_151;

/**
 * The longest that a call takes with its repeats, in milliseconds: so far back a repeat looks for
 * what an earlier attempt has done.
 */
const LONGEST_CALL = 15_000;

/** How often a call is made at most, and how long before the first repeat, in milliseconds. */
const ATTEMPTS = 3;
const FIRST_WAIT = 25;

/**
 * A call of a script: what it is given, but for the last argument, which tells repeats.
 * @typedef {object} Call
 * @property {{ sha1: string, lua: string }} script
 * @property {string[]} keys
 * @property {string[]} args
 */

export class Queue {
  #redis;
  #before;
  #bullmq;
  #defaults;

  /**
   * @param {string} name
   * @param {QueueOptions} options
   */
  constructor(name, options) {
    const { redis, prefix = "bull", bullmq = "any", defaultJobOptions = {} } = options ?? {};
    if (typeof name !== "string" || name === "") throw refused("the name of a queue must not be empty");
    if (name.includes(":")) throw refused("the name of a queue must not contain a colon");
    if (typeof redis?.evaluate !== "function") throw refused("`redis`: expected a store, such as new Redis(…)");
    if (typeof prefix !== "string") throw refused("`prefix`: expected a text");
    if (!["any", 5, 6].includes(bullmq)) throw refused('`bullmq`: expected "any", 5 or 6');
    this.name = name;
    this.#redis = redis;
    this.#before = `${prefix}:${name}:`;
    this.#bullmq = bullmq === 6 ? scripts[6] : scripts[5];
    this.#defaults = known(defaultJobOptions);
  }

  /**
   * @param {string} name
   * @param {unknown} [data]
   * @param {JobOptions} [opts]
   * @returns {Promise<any>}
   */
  async add(name, data, opts) {
    const { job, call } = this.#call({ name, data, opts });
    return { ...job, id: await repeated((repeat) => evaluate(this.#redis, call, repeat)) };
  }

  /**
   * @param {readonly NewJob[]} jobs
   * @returns {Promise<any[]>}
   */
  async addBulk(jobs) {
    const calls = jobs.map((job) => this.#call(job));
    const ids = await addAll(
      this.#redis,
      calls.map(({ call }) => call),
    );
    return calls.map(({ job }, at) => ({ ...job, id: ids[at] }));
  }

  /**
   * The call that adds a job.
   * @param {NewJob} given
   * @returns {{ job: Omit<AddedJob, "id">, call: Call }}
   */
  #call({ name, data, opts = {} }) {
    if (typeof name !== "string") throw refused("the name of a job must be a text");
    const options = { ...this.#defaults, ...known(opts) };
    if (!("jobId" in known(opts))) delete options.jobId;
    const json = JSON.stringify(data === undefined ? {} : data);
    if (json === undefined) throw refused("the data cannot be written as JSON");
    validate(options, json, this.#bullmq === scripts[6]);
    const id = options.jobId ?? newId();
    const kind = options.delay > 0 ? "delayed" : options.priority > 0 ? "prioritized" : "standard";
    const shared = options.deduplication?.id;
    const timestamp = options.timestamp || Date.now();
    const none = null;
    const facts = [this.#before, id, name, timestamp, none, none, none, none, shared && `${this.#before}de:${shared}`];
    return {
      job: { name, data: data === undefined ? {} : data, opts: options, timestamp },
      call: {
        script: this.#bullmq[kind],
        keys: KEYS_OF[kind].map((key) => this.#before + key),
        args: [JSON.stringify(facts), json, JSON.stringify(stored(options, id)), `${LONGEST_CALL}`],
      },
    };
  }
}

/**
 * The options that are set, if all of them are known and of the right shape.
 * @param {unknown} options
 * @returns {Record<string, any>}
 */
function known(options) {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw refused("the options are no object");
  }
  const set = Object.entries(options).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(
    set.map(([name, value]) => {
      if (Object.hasOwn(REFUSED, name)) throw refused(`\`${name}\` ${REFUSED[name]}`);
      if (!Object.hasOwn(OPTIONS, name)) {
        throw refused(`\`${name}\` is unknown; there are ${Object.keys(OPTIONS).join(", ")}`);
      }
      check(OPTIONS[name], value, name);
      const isTable = typeof value === "object";
      return [name, isTable ? Object.fromEntries(Object.entries(value).filter(([, one]) => one != null)) : value];
    }),
  );
}

/** @param {Shape} shape @param {unknown} value @param {string} path */
function check(shape, value, path) {
  if (value === undefined || value === null) return;
  const wrong = shape(value, path);
  if (wrong !== undefined) throw expected(path, wrong);
}

/**
 * Checks what BullMQ checks when a job is added, and that its id is none of BullMQ's keys: such a
 * job would be taken for one that is there already, and lost.
 * @param {Record<string, any>} options
 * @param {string} json
 * @param {boolean} isSix
 */
function validate({ jobId, priority, backoff, deduplication, sizeLimit }, json, isSix) {
  if (jobId !== undefined) {
    if (jobId === "") throw expected("jobId", "an id that is not empty");
    if (/^(0|-?[1-9]\d*)$/.test(jobId)) throw expected("jobId", "an id that is no integer");
    if (jobId.includes(":")) throw expected("jobId", "an id without a colon");
    if (KEYS.includes(jobId)) throw expected("jobId", "an id that is none of BullMQ's own key names");
  }
  if (priority > MOST_PRIORITY) throw expected("priority", `an integer from 0 to ${MOST_PRIORITY}`);
  if (backoff?.jitter < 0 || backoff?.jitter > 1) throw expected("backoff.jitter", "a number from 0 to 1");
  if (deduplication !== undefined && !deduplication.id) {
    throw expected("deduplication.id", "a text that is not empty");
  }
  if (deduplication?.reschedule && !isSix) throw refused("`deduplication.reschedule` needs BullMQ 6: `bullmq: 6`");
  if (sizeLimit > 0 && new TextEncoder().encode(json).length > sizeLimit) {
    throw refused("the data is longer than `sizeLimit`");
  }
}

/**
 * The options as BullMQ stores them.
 * @param {Record<string, any>} options
 * @param {string} id
 */
function stored({ deduplication, keepLogs, telemetry, backoff, ...others }, id) {
  return {
    attempts: 0,
    ...others,
    backoff: typeof backoff === "number" ? { type: "fixed", delay: backoff } : backoff,
    de: deduplication,
    kl: keepLogs,
    tm: telemetry?.metadata,
    omc: telemetry?.omitContext,
    jobId: id,
  };
}

/**
 * Makes a call again if its answer was lost, as often as that is of use.
 * @template T
 * @param {(repeat: "0" | "1") => Promise<T>} call
 * @returns {Promise<T>}
 */
async function repeated(call) {
  /** @type {"0" | "1"} */
  let repeat = "0";
  for (let attempt = 1; ; attempt++) {
    try {
      return await call(repeat);
    } catch (cause) {
      const error = edgeError(cause);
      if (attempt === ATTEMPTS || !error.retryIsSafe(true) || error.code === "timeout") {
        const mayHaveRun = error.mayHaveRun || repeat === "1";
        throw new EdgeError(error.code, mayHaveRun, error.message, error.redisCode);
      }
      if (error.mayHaveRun) repeat = "1";
      await wait(attempt);
    }
  }
}

/**
 * Adds one job. Returns the id of the job that is there now.
 * @param {Store} redis
 * @param {Call} call
 * @param {"0" | "1"} repeat
 */
async function evaluate(redis, { script, keys, args }, repeat) {
  return idIn(await redis.evaluate(script, keys, [...args, repeat]));
}

/**
 * Adds jobs in order: in one pipeline, if the store has such a thing.
 * @param {Store} redis
 * @param {Call[]} calls
 * @returns {Promise<string[]>}
 */
async function addAll(redis, calls) {
  /** @type {string[]} */
  const ids = [];
  if (!("pipeline" in redis) || typeof redis.pipeline !== "function") {
    for (const call of calls) ids.push(await repeated((repeat) => evaluate(redis, call, repeat)));
    return ids;
  }
  const { pipeline } = redis;
  /** The scripts that the store does not know yet, by their digests. @type {Set<string>} */
  const unknown = new Set();
  /** @type {"0" | "1"} */
  let repeat = "0";
  for (let attempt = 1; ; attempt++) {
    const open = calls.map((_, at) => at).filter((at) => ids[at] === undefined);
    if (open.length === 0) return ids;
    const commands = open.map((at) => command(calls[at], unknown, repeat));
    /** @type {unknown[]} */
    const replies = await pipeline.call(redis, commands).catch((/** @type {unknown} */ error) => open.map(() => error));
    let failed;
    for (const [n, reply] of replies.entries()) {
      if (!(reply instanceof Error)) {
        ids[open[n]] = idIn(reply);
        continue;
      }
      const error = edgeError(reply);
      if (error.redisCode === "NOSCRIPT") {
        unknown.add(calls[open[n]].script.sha1);
      } else if (error.retryIsSafe(true) && error.code !== "timeout") {
        failed = error;
        if (error.mayHaveRun) repeat = "1";
      } else {
        throw error;
      }
      if (attempt === ATTEMPTS) throw error;
    }
    if (failed !== undefined) await wait(attempt);
  }
}

/**
 * The command that adds a job. The first one of a script that the store does not know sends its
 * source.
 * @param {Call} call
 * @param {Set<string>} unknown
 * @param {"0" | "1"} repeat
 * @returns {RedisCommand}
 */
function command({ script: { sha1, lua }, keys, args }, unknown, repeat) {
  const named = unknown.delete(sha1) ? ["EVAL", lua] : ["EVALSHA", sha1];
  const [name, ...script] = named;
  return [name, ...script, keys.length, ...keys, ...args, repeat];
}

/** @param {unknown} reply */
function idIn(reply) {
  if (typeof reply === "string") return reply;
  if (typeof reply === "number") return `${reply}`;
  throw new EdgeError("protocol", true, "the store's reply has another shape");
}

/** @param {number} attempt */
function wait(attempt) {
  const longest = FIRST_WAIT * 2 ** (attempt - 1);
  return new Promise((resolve) => setTimeout(resolve, longest * (0.5 + Math.random() / 2)));
}

/** A UUID of version 7 (RFC 9562, section 5.7). */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const time = Date.now().toString(16).padStart(12, "0");
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const random = [...bytes.subarray(6)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [time.slice(0, 8), time.slice(8), random.slice(0, 4), random.slice(4, 8), random.slice(8)].join("-");
}

/**
 * The error of a store, which may be one of ours, of another copy of this package, or anything.
 * @param {unknown} cause
 * @returns {EdgeError}
 */
function edgeError(cause) {
  if (cause instanceof EdgeError) return cause;
  const { name, code, mayHaveRun, redisCode, message } = /** @type {any} */ (cause ?? {});
  if (name === "EdgeError") return new EdgeError(code, mayHaveRun !== false, message, redisCode);
  return new EdgeError("unreachable", true, "the store cannot be reached: as the client reports");
}

/** @param {string} option @param {string} what */
const expected = (option, what) => refused(`\`${option}\`: expected ${what}`);

/** @param {string} why */
const refused = (why) => new EdgeError("config", false, why);
