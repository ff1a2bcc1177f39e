/** Puts a server under load, from a separate process, and measures what that costs the server. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Failure, root, run } from "../../scripts/lib/process.mjs";
import { processorTime } from "./processes.mjs";
import { median } from "./report.mjs";

const PROGRAM = join(root, "bench/load/main.mjs");

/** @typedef {import("../load/main.mjs").Load} Load */

/**
 * @typedef {import("../load/main.mjs").Result & { cpuMs: number | null }} Loaded `cpuMs`: of the
 *   server, per request
 */

/**
 * Fails unless every answer was 200.
 * @param {Load} load
 * @param {number[]} [pids] the server's processes
 * @returns {Promise<Loaded>}
 */
export async function load(load, pids = []) {
  const generate = async () => {
    const { text } = await run(process.execPath, [PROGRAM, JSON.stringify(load)], { output: "quiet" });
    return JSON.parse(text);
  };
  return measured(generate, pids, 200);
}

/**
 * @typedef {object} Generator
 * @property {(load: Load, pids: number[], status?: number | null) => Promise<Loaded>} load fails
 *   unless every answer has this status (200; `null`: any)
 * @property {() => void} stop
 */

/**
 * Starts a generator for one load after the other.
 * @returns {Generator}
 */
export function startGenerator() {
  const child = fork(PROGRAM);
  const stop = () => void child.kill("SIGKILL");
  process.once("exit", stop);
  const generate = async (/** @type {Load} */ load) => {
    child.send(load);
    const waiting = new AbortController();
    const events = ["message", "exit"].map((event) => once(child, event, { signal: waiting.signal }));
    const [answer] = await Promise.race(events);
    // What will not happen any more is not waited for.
    for (const event of events) event.catch(() => {});
    waiting.abort();
    if (!answer?.result) throw new Failure(`the load failed: ${answer?.problem ?? `its generator ended (${answer})`}`);
    return answer.result;
  };
  return { load: (load, pids, status = 200) => measured(() => generate(load), pids, status), stop };
}

/**
 * @param {() => Promise<import("../load/main.mjs").Result>} generate
 * @param {number[]} pids
 * @param {number | null} status of every answer
 * @returns {Promise<Loaded>}
 */
async function measured(generate, pids, status) {
  const before = processorTime(pids);
  const result = await generate();
  const after = processorTime(pids);
  if (status !== null && (result.statuses[status] ?? 0) !== result.requests) {
    throw new Failure(`under load not every answer was ${status}: ${JSON.stringify(result.statuses)}`);
  }
  return { ...result, cpuMs: before === null || after === null ? null : (after - before) / result.requests };
}

/**
 * The ratios of all rounds that have both numbers.
 * @param {(number | null)[]} one by round
 * @param {(number | null)[]} other
 */
export function ratiosOf(one, other) {
  return one.flatMap((value, round) => {
    const against = other[round];
    return value === null || !against ? [] : [value / against];
  });
}

/**
 * The median of the ratios of all rounds.
 * @param {(number | null)[]} one by round
 * @param {(number | null)[]} other
 */
export function ratio(one, other) {
  const ratios = ratiosOf(one, other);
  return ratios.length ? median(ratios).toFixed(2) : null;
}
