/** What must hold in a soak, whatever failed: checked afterwards, from its logs. */
import { CEILING, ISOLATES, LIMITS } from "./world.mjs";

/** @typedef {import("./traffic.mjs").Entry} Entry */
/** @typedef {import("./faults.mjs").Phase} Phase */

/**
 * The logs of a soak.
 * @typedef {object} Logs
 * @property {Entry[]} entries
 * @property {Phase[]} phases
 * @property {{ at: number, took: number }[]} answers of the store: when, in Unix ms, and after how
 *   many
 * @property {number[]} ends when each answer of the origin was complete, Unix ms, by its number
 * @property {string[]} endless the keys in Redis that never expire
 * @property {number[]} memory of the gate's process, bytes, at equal intervals
 */

/** The path of each limit's requests. */
const LIMITED = /** @type {const} */ ({ "/exact": "exact", "/lease": "lease", "/limited-and-cached": "exact" });

/**
 * A store whose answer takes so many milliseconds may have missed a deadline: the machine is busy.
 */
const SLOW = 200;

/** How long after a fault its effects may be seen: deadlines and the pause of the breaker. */
const AFTERMATH = 8_000;

/**
 * How long an answer of the origin may be on its way to the gate, which counts its age from then
 * on: a loaded machine takes its time.
 */
export const TRANSFER = 500;

/** How much more memory may be in use at the end than in the second quarter, in bytes. */
const GROWTH = 32 << 20;

/**
 * Everything that must not be, in words.
 * @param {Logs} logs
 * @returns {string[]}
 */
export function violations(logs) {
  return [
    ...unanswered(logs),
    ...overQuota(logs),
    ...tooOld(logs),
    ...othersAnswers(logs),
    ...errorsWithoutFault(logs),
    ...logs.endless.map((key) => `${key} is in Redis for ever`),
    ...growing(logs),
  ];
}

/** @param {Logs} logs */
function unanswered({ entries }) {
  return entries.filter(({ status }) => status === 0).map((entry) => `${about(entry)} was not answered`);
}

/**
 * Windows that hold more than is promised. A request counts in a window if it was sent and answered
 * within it, so it was admitted within it.
 * @param {Logs} logs
 */
function overQuota({ entries }) {
  /** @type {Map<string, Entry[]>} */
  const bySubject = new Map();
  for (const entry of entries) {
    const limit = LIMITED[/** @type {keyof typeof LIMITED} */ (entry.path)];
    // What a limit has refused has one of these; all else was admitted, also if the origin failed.
    if (limit === undefined || entry.status === 429 || entry.status === 503) continue;
    const key = `${limit} ${entry.client}`;
    const some = bySubject.get(key);
    if (some) some.push(entry);
    else bySubject.set(key, [entry]);
  }
  return [...bySubject].flatMap(([key, all]) => {
    const { quota, window, localShare } = LIMITS[/** @type {keyof typeof LIMITS} */ (key.split(" ")[0])];
    /** @type {string[]} */
    const found = [];
    const bySent = all.toSorted((a, b) => a.sentAt - b.sentAt);
    for (const [n, { sentAt }] of bySent.entries()) {
      /** @type {Entry[]} */
      const inside = [];
      for (let at = n; at < bySent.length && bySent[at].sentAt <= sentAt + window; at++) {
        if (bySent[at].receivedAt <= sentAt + window) inside.push(bySent[at]);
      }
      // An isolate whose store fails gives its share, in each window that touches this one.
      const decidedHere = inside.some(({ limiter }) => limiter === "local");
      const bound = quota * (decidedHere ? 1 + ISOLATES * localShare : 1);
      if (inside.length > bound) {
        const who = [...new Set(inside.map(({ limiter }) => limiter))];
        const count = (/** @type {string} */ of) => inside.filter(({ limiter }) => limiter === of).length;
        const parts = who.map((limiter) => `${count(limiter)} by ${limiter}`).join(", ");
        found.push(`${key}: ${inside.length} in a window from ${sentAt}, allowed ${bound}: ${parts}`);
      }
    }
    return found.slice(0, 1);
  });
}

/** @param {Logs} logs */
function tooOld({ entries, ends }) {
  return entries
    .filter(({ path, body, sentAt }) => {
      if (body === null || !path.startsWith("/cached/")) return false;
      return sentAt - ends[body.number] > CEILING + TRANSFER;
    })
    .map((entry) => {
      const age = entry.sentAt - ends[entry.body?.number ?? 0];
      return `${about(entry)} was answered with what is ${age} ms old, older than ${CEILING} ms`;
    });
}

/** @param {Logs} logs */
function othersAnswers({ entries }) {
  return entries
    .filter(({ body, who, path }) => body !== null && (body.path !== path || (who !== null && body.who !== who)))
    .map((entry) => `${about(entry)} got the answer to ${entry.body?.path} of ${entry.body?.who}`);
}

/**
 * Errors of servers although nothing failed.
 * @param {Logs} logs
 */
function errorsWithoutFault({ entries, phases, answers }) {
  const slow = answers.filter(({ took }) => took > SLOW);
  const wasSlow = (/** @type {Entry} */ { sentAt, receivedAt }) =>
    slow.some(({ at, took }) => at - took <= receivedAt && at + AFTERMATH >= sentAt);
  const failed = (/** @type {Entry} */ { sentAt, receivedAt }, /** @type {"store" | "origin"} */ what) =>
    phases.some((phase) => phase[what] !== null && phase.from <= receivedAt && phase.until + AFTERMATH >= sentAt);
  return entries
    .filter((entry) => {
      if (entry.status < 500) return false;
      const isReduced = entry.status === 503 && (failed(entry, "store") || wasSlow(entry));
      return !isReduced && !failed(entry, "origin");
    })
    .map((entry) => `${about(entry)} was answered with ${entry.status} although nothing failed`);
}

/** @param {Logs} logs */
function growing({ memory }) {
  if (memory.length < 4) return ["memory was not measured"];
  const [, second, , last] = quarters(memory).map(median);
  return last - second > GROWTH ? [`memory has grown from ${megabytes(second)} to ${megabytes(last)}`] : [];
}

/** @param {number[]} numbers */
export function quarters(numbers) {
  const at = (/** @type {number} */ n) => Math.floor((n * numbers.length) / 4);
  return [0, 1, 2, 3].map((n) => numbers.slice(at(n), at(n + 1)));
}

/** @param {number[]} numbers */
export function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {Entry} entry */
function about({ client, path, sentAt }) {
  return `${path} of ${client} at ${sentAt}`;
}
