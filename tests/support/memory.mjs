/** How much memory a gate has taken. */
import { existsSync, readdirSync, readFileSync } from "node:fs";

/**
 * The peak memory of a gate's processes, in bytes; 0 if the system is not Linux.
 * @param {{ pid: number }} gate
 */
export function peakMemory(gate) {
  return memoryOf(gate, "VmHWM");
}

/**
 * The present memory of a gate's processes, in bytes; 0 if the system is not Linux.
 * @param {{ pid: number }} gate
 */
export function presentMemory(gate) {
  return memoryOf(gate, "VmRSS");
}

/**
 * @param {{ pid: number }} gate
 * @param {string} field of the system's status of a process
 */
function memoryOf(gate, field) {
  let most = 0;
  for (const pid of existsSync("/proc") ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : []) {
    try {
      // The name, in parentheses, may hold spaces; state, parent and group follow.
      const [, , group] = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      if (Number(group) !== gate.pid) continue;
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      most += 1024 * Number(status.match(new RegExp(`^${field}:\\s+(\\d+) kB`, "m"))?.[1] ?? 0);
    } catch {
      // The process has just ended.
    }
  }
  return most;
}
