/** Installs programs with the system's package manager, if that is allowed. */
import { spawnSync } from "node:child_process";

/**
 * How a package manager installs a program without asking.
 * @typedef {{ name: string, steps: string[][], asUser?: boolean }} Manager
 */

/**
 * Installs a program with the first of these package managers that the system has.
 * @param {string} what the program's name, for messages
 * @param {Manager[]} managers
 * @returns {string | undefined} why it could not be installed, or `undefined` if it was
 */
export function installByManager(what, managers) {
  const advice = `install ${what} by your system's package manager`;
  const manager = managers.find(({ name }) => isCommand(name));
  if (!manager) return advice;
  const prefix = rights(manager.asUser ?? false);
  if (!prefix) return `${advice} (that needs root)`;

  console.error(`setup: installing ${what} with ${manager.name} (about a minute, once)`);
  for (const step of manager.steps) {
    const [command, ...args] = [...prefix, manager.name, ...step];
    // Not tied to this process, because a package manager must not be interrupted.
    const done = spawnSync(command, args, {
      encoding: "utf8",
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      maxBuffer: 64 << 20,
    });
    // An outdated index may suffice: only the last step decides.
    if (done.status !== 0 && step === manager.steps.at(-1)) {
      return `${advice} (${manager.name} said: ${`${done.stdout}${done.stderr}`.trim().split("\n").at(-1)})`;
    }
  }
  return undefined;
}

/**
 * What precedes the package manager's command; `undefined` if the user lacks the rights.
 * @param {boolean} asUser
 */
function rights(asUser) {
  if (asUser || process.getuid?.() === 0) return [];
  return spawnSync("sudo", ["-n", "true"]).status === 0 ? ["sudo", "-n"] : undefined;
}

/** @param {string} name */
function isCommand(name) {
  return spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
}
