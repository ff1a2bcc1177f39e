/** How much memory a gate has taken. */
import { existsSync, readdirSync, readFileSync } from "node:fs";

/**
 * The peak memory of a gate's processes, in bytes; 0 if the system is not Linux.
 * @param {{ pid: number }} gate
 */
export function peakMemory(gate) {
  let most = 0;
  for (const pid of existsSync("/proc") ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : []) {
    try {
      // The name, in parentheses, may hold spaces; state, parent and group follow.
      const [, , group] = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      if (Number(group) !== gate.pid) continue;
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      most += 1024 * Number(status.match(/^VmHWM:\s+(\d+) kB/m)?.[1] ?? 0);
    } catch {
      // The process has just ended.
    }
  }
  return most;
}
