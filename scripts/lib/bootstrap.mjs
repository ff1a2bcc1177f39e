/**
 * Brings the npm packages in, and a Node that wrangler accepts: the first thing that every script does.
 * Imports only what comes with Node, since nothing else may be there yet.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, delimiter, join } from "node:path";
import { Failure, handleSignals, root } from "./process.mjs";

/** What wrangler asks for; an older Node hands the script to the one in `node_modules`. */
const OLDEST_NODE = [22, 12];
const binaries = join(root, "node_modules/.bin");
const ownNode = join(binaries, "node");
const [major, minor] = process.versions.node.split(".").map(Number);
const isNewEnough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);

/** Makes sure of the packages, and goes on under a Node that is new enough. */
export async function bootstrap() {
  ensurePackages();
  if (!isNewEnough) process.exit(await runAgain());
  // Where npm puts it for its scripts; here for a script that was started without npm.
  process.env.PATH = `${binaries}${delimiter}${process.env.PATH}`;
}

/** Installs the npm packages if the installed ones are not those of `package-lock.json`. */
export function ensurePackages() {
  if (packagesAreCurrent()) return;
  console.error("setup: installing the npm packages (about half a minute)");
  // The npm that started this script, else the one on the PATH.
  const npm = process.env.npm_execpath ?? "";
  const [command, ...args] = basename(npm) === "npm-cli.js" ? [process.execPath, npm] : ["npm"];
  // Only errors: on an older Node npm warns of each package that wants a newer one.
  const done = spawnSync(command, [...args, "ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (done.status !== 0 || !packagesAreCurrent()) {
    throw new Failure("the npm packages could not be installed: see above what npm said");
  }
}

/** Compares with the record that npm keeps of what it installed. */
function packagesAreCurrent() {
  const record = join(root, "node_modules/.package-lock.json");
  if (!existsSync(record) || !(isNewEnough || existsSync(ownNode))) return false;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const present = JSON.parse(readFileSync(record, "utf8")).packages;
  return Object.entries(wanted).every(([path, { version, optional, link }]) => {
    if (path === "" || link) return true;
    // Optional packages are those of other platforms; npm leaves them out.
    return path in present ? present[path].version === version : optional === true;
  });
}

/**
 * Runs this script under the Node in `node_modules`, which the programs that it starts find first too.
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
