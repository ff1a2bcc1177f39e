/** Finds a `promtool`, or installs one with the system's package manager if that is allowed. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { capture, Failure, run } from "./process.mjs";
import { installByManager } from "./system-packages.mjs";
import { toolFolder } from "./toolchain.mjs";

/** How each package manager installs it without asking, and without starting a service. */
const MANAGERS = [
  { name: "apk", steps: [["add", "prometheus"]] },
  { name: "dnf", steps: [["install", "-y", "golang-github-prometheus"]] },
  { name: "pacman", steps: [["-S", "--noconfirm", "--needed", "prometheus"]] },
  { name: "zypper", steps: [["--non-interactive", "install", "golang-github-prometheus-prometheus"]] },
  { name: "brew", steps: [["install", "prometheus"]], asUser: true },
];

// Debian's package starts a server on installation, so it is not installed: the program is taken
// out of it.
const own = join(toolFolder("promtool"), "promtool");

/**
 * Puts a `promtool` on the PATH of child processes.
 * @returns {Promise<string | undefined>} why there is none, or `undefined` if there is one
 */
export async function ensurePromtool() {
  if (await isThere()) return undefined;
  if (!existsSync(own)) {
    const problem = (await isDebian()) ? await unpack() : installByManager("promtool", MANAGERS);
    if (problem) return problem;
  }
  if (existsSync(own)) process.env.PATH = `${process.env.PATH}${delimiter}${dirname(own)}`;
  return (await isThere()) ? undefined : "install promtool, which comes with Prometheus";
}

async function isThere() {
  return (await capture("promtool", ["--version"])) !== undefined;
}

async function isDebian() {
  return (await capture("apt-get", ["--version"])) !== undefined;
}

/**
 * Takes the program out of Debian's package, which needs no rights.
 * @returns {Promise<string | undefined>} why that failed
 */
async function unpack() {
  console.error("setup: taking promtool out of Debian's package prometheus (half a minute, once)");
  const folder = await mkdtemp(join(tmpdir(), "omnitrade-edge-promtool-"));
  try {
    const download = () => run("apt-get", ["download", "--quiet", "prometheus"], { cwd: folder, output: "quiet" });
    await download().catch(() => {
      // Without an index no package is known. Whether this may be done shows by the download.
      spawnSync("sh", ["-c", "apt-get update || sudo -n apt-get update"]);
      return download();
    });
    const [archive] = await readdir(folder);
    await run("dpkg-deb", ["--extract", join(folder, archive), folder], { output: "quiet" });
    await mkdir(dirname(own), { recursive: true });
    // Under its name it is complete, whoever else installs it at the same time.
    const copy = `${own}.${process.pid}`;
    await copyFile(join(folder, "usr/bin/promtool"), copy);
    await chmod(copy, 0o755);
    await rename(copy, own);
    return undefined;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return `install promtool, which comes with Prometheus (${error.message})`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
