/** Finds a `redis-server`, or installs one with the system's package manager if that is allowed. */
import { existsSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { capture } from "./process.mjs";
import { installByManager } from "./system-packages.mjs";
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

  const problem = installByManager("redis-server", MANAGERS);
  if (problem) return problem;
  await useDebians();
  return (await isThere()) ? undefined : "install redis-server by your system's package manager";
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
