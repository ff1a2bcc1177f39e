/**
 * Installs the npm packages, and a Node that wrangler accepts; every script does this first. It
 * imports only what comes with Node, because nothing else may be installed yet.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, delimiter, join } from "node:path";
import { Failure, handleSignals, root } from "./process.mjs";

/**
 * The oldest Node that wrangler accepts; with an older one the script runs again in the Node of
 * `node_modules`.
 */
const OLDEST_NODE = [22, 12];
const binaries = join(root, "node_modules/.bin");
const ownNode = join(binaries, "node");
const [major, minor] = process.versions.node.split(".").map(Number);
const isNewEnough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);

/** Ensures that the packages are installed, and continues in a Node that is new enough. */
export async function bootstrap() {
  ensurePackages();
  if (!isNewEnough) process.exit(await runAgain());
  // npm puts this folder on the PATH of its scripts; this does it for a script that was started
  // without npm.
  process.env.PATH = `${binaries}${delimiter}${process.env.PATH}`;
}

/** Installs the npm packages if the installed ones are not those of `package-lock.json`. */
export function ensurePackages() {
  if (packagesAreCurrent()) return;
  console.error("setup: installing the npm packages (about half a minute)");
  // The npm that started this script or, without one, the npm on the PATH.
  const npm = process.env.npm_execpath ?? "";
  const [command, ...args] = basename(npm) === "npm-cli.js" ? [process.execPath, npm] : ["npm"];
  // Only errors are shown: on an older Node npm warns about each package that requires a newer one.
  const done = spawnSync(command, [...args, "ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (done.status !== 0 || !packagesAreCurrent()) {
    throw new Failure("the npm packages could not be installed: see above what npm said");
  }
}

/** Whether npm's record of the installed packages matches `package-lock.json`. */
function packagesAreCurrent() {
  const record = join(root, "node_modules/.package-lock.json");
  if (!existsSync(record) || !(isNewEnough || existsSync(ownNode))) return false;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const present = JSON.parse(readFileSync(record, "utf8")).packages;
  return Object.entries(wanted).every(([path, { version, optional, link }]) => {
    if (path === "" || link) return true;
    // Missing optional packages are those of other platforms, which npm does not install.
    return path in present ? present[path].version === version : optional === true;
  });
}

/**
 * Runs this script in the Node of `node_modules`, which also precedes others on the PATH of its
 * child processes.
 * @returns {Promise<number>} its exit code
 */
function runAgain() {
  const child = spawn(ownNode, process.argv.slice(1), { stdio: "inherit" });
  handleSignals((name) => child.kill(name));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, killedBy) => resolve(killedBy ? 1 : (code ?? 1)));
  });
}
