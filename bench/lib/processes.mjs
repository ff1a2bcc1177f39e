/**
 * What processes have used. Each figure is `null` if the system does not report it in `/proc`, as
 * Linux does.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/**
 * The processor time of all of these processes together, in ms.
 * @param {number[]} pids
 */
export function processorTime(pids) {
  if (pids.length === 0) return null;
  try {
    return pids.map((pid) => ofThreads(pid) ?? ofTicks(pid)).reduce((sum, ms) => sum + ms, 0);
  } catch {
    return null;
  }
}

/**
 * The memory of a process that is in RAM, in bytes.
 * @param {number} pid
 */
export function residentMemory(pid) {
  try {
    const kilobytes = readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmRSS:\s*(\d+) kB/m)?.[1];
    return kilobytes === undefined ? null : Number(kilobytes) * 1024;
  } catch {
    return null;
  }
}

/**
 * The scheduler's account, to the nanosecond, if the kernel keeps one. Threads that have ended are
 * not in it, but workerd keeps its threads.
 * @param {number} pid
 */
function ofThreads(pid) {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const times = threads.map((id) => Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, "utf8").split(" ")[0]));
    const sum = times.reduce((all, time) => all + time, 0);
    return sum > 0 ? sum / 1e6 : undefined;
  } catch {
    return undefined;
  }
}

/** How many ms a tick lasts. @type {number | undefined} */
let tickMs;

/** @param {number} pid */
function ofTicks(pid) {
  tickMs ??= 1000 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  // The program's name may contain spaces; the fields that count follow it.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}
