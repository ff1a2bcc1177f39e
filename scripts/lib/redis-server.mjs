/** Finds a `redis-server`, and installs one by the system's package manager where it may. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { capture } from "./process.mjs";
import { toolFolder } from "./toolchain.mjs";

// Debian's `redis-server` package is a service that starts on installation; the program itself
// comes with `redis-tools`, under the name of another of its roles. It goes by the name it is called.
const debian = { program: "/usr/bin/redis-check-rdb", folder: toolFolder("redis-server") };

/** How each package manager installs Redis without a question, and without starting a service. */
const MANAGERS = [
  { name: "apt-get", steps: [["update"], ["install", "-y", "--no-install-recommends", "redis-tools"]] },
  { name: "apk", steps: [["add", "redis"]] },
  { name: "dnf", steps: [["install", "-y", "redis"]] },
  { name: "pacman", steps: [["-S", "--noconfirm", "--needed", "redis"]] },
  { name: "zypper", steps: [["--non-interactive", "install", "redis"]] },
  { name: "brew", steps: [["install", "redis"]], asUser: true },
];

/**
 * Puts a `redis-server` on the PATH of what this process starts.
 * @returns {Promise<string | undefined>} why there is none, or `undefined` when there is one
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
    // Not tied to this process: a package manager must not be ended half way.
    const done = spawnSync(command, args, {
      encoding: "utf8",
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    // A stale index may still do: only the last step decides.
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
 * What to put before the package manager's command, or `undefined` without the rights for it.
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
