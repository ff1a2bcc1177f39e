/** Finds a `redis-server`, or installs one with the system's package manager if that is allowed. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { capture } from "./process.mjs";
import { toolFolder } from "./toolchain.mjs";

// Debian's package `redis-server` starts a service on installation. The program itself also comes
// with `redis-tools`, under another name; the name by which it is called determines what it does.
const debian = { program: "/usr/bin/redis-check-rdb", folder: toolFolder("redis-server") };

/** How each package manager installs Redis without asking, and without starting a service. */
const MANAGERS = [
  { name: "apt-get", steps: [["update"], ["install", "-y", "--no-install-recommends", "redis-tools"]] },
  { name: "apk", steps: [["add", "redis"]] },
  { name: "dnf", steps: [["install", "-y", "redis"]] },
  { name: "pacman", steps: [["-S", "--noconfirm", "--needed", "redis"]] },
  { name: "zypper", steps: [["--non-interactive", "install", "redis"]] },
  { name: "brew", steps: [["install", "redis"]], asUser: true },
];

/**
 * Puts a `redis-server` on the PATH of child processes.
 * @returns {Promise<string | undefined>} why there is none, or `undefined` if there is one
 */
export async function ensureRedisServer() {
  if (await isThere()) return;
  await useDebians();
  if (await isThere()) return;

  const advice = "install redis-server by your system's package manager";
  const manager = MANAGERS.find(({ name }) => isCommand(name));
  if (!manager) return advice;
  const prefix = rights(manager.asUser ?? false);
  if (!prefix) return `${advice} (that needs root)`;

  console.error(`setup: installing redis-server with ${manager.name} (about a minute, once)`);
  for (const step of manager.steps) {
    const [command, ...args] = [...prefix, manager.name, ...step];
    // Not tied to this process, because a package manager must not be interrupted.
    const done = spawnSync(command, args, {
      encoding: "utf8",
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    // An outdated index may suffice: only the last step decides.
    if (done.status !== 0 && step === manager.steps.at(-1)) {
      return `${advice} (${manager.name} said: ${`${done.stdout}${done.stderr}`.trim().split("\n").at(-1)})`;
    }
  }
  await useDebians();
  return (await isThere()) ? undefined : advice;
}

async function isThere() {
  return (await capture("redis-server", ["--version"])) !== undefined;
}

async function useDebians() {
  if (!existsSync(debian.program)) return;
  const link = join(debian.folder, "redis-server");
  if (!existsSync(link)) {
    await mkdir(debian.folder, { recursive: true });
    await symlink(debian.program, link);
  }
  process.env.PATH = `${process.env.PATH}${delimiter}${debian.folder}`;
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
