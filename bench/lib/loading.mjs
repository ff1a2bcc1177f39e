/** Puts a server under load, from a separate process, and measures what that costs the server. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Failure, root, run } from "../../scripts/lib/process.mjs";
import { median } from "./report.mjs";

/**
 * @typedef {import("../load/main.mjs").Result & { cpuMs: number | null }} Loaded `cpuMs`: of the
 *   server, per request
 */

/**
 * Fails unless every answer was 200.
 * @param {import("../load/main.mjs").Load} load
 * @param {number[]} [pids] the server's processes
 * @returns {Promise<Loaded>}
 */
export async function load(load, pids = []) {
  const before = processorTime(pids);
  const { text } = await run(process.execPath, [join(root, "bench/load/main.mjs"), JSON.stringify(load)], {
    output: "quiet",
  });
  const after = processorTime(pids);
  /** @type {import("../load/main.mjs").Result} */
  const result = JSON.parse(text);
  const { 200: ok = 0, ...others } = result.statuses;
  if (ok !== result.requests) throw new Failure(`under load not every answer was 200: ${JSON.stringify(others)}`);
  return { ...result, cpuMs: before === null || after === null ? null : (after - before) / result.requests };
}

/**
 * The processor time that processes have used, in ms; `null` if the system does not report it this
 * way.
 * @param {number[]} pids
 */
function processorTime(pids) {
  if (pids.length === 0) return null;
  try {
    return pids.map(ticksOf).reduce((sum, ticks) => sum + ticks, 0) * (1000 / ticksPerSecond());
  } catch {
    return null;
  }
}

/** @param {number} pid */
function ticksOf(pid) {
  // The program's name may contain spaces; the fields that count follow it.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

function ticksPerSecond() {
  return Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
}

/**
 * The median of the ratios of all rounds.
 * @param {(number | null)[]} one by round
 * @param {(number | null)[]} other
 */
export function ratio(one, other) {
  const ratios = one.flatMap((value, round) => {
    const against = other[round];
    return value === null || !against ? [] : [value / against];
  });
  return ratios.length ? median(ratios).toFixed(2) : null;
}
