/** Finds or installs the Nodes of several majors in which the npm package is tested. */
import { join } from "node:path";
import { capture, run } from "./process.mjs";
import { toolFolder } from "./toolchain.mjs";

/** What is installed where the machine has no Node of that major. */
const VERSIONS = { 20: "20.20.2", 22: "22.23.3", 24: "24.21.0" };
/** @typedef {keyof typeof VERSIONS} Major */

/**
 * A Node of this major: the one that runs this, one on the PATH, or one that npm installs outside
 * the clone. They come as packages for one platform each, which all have a program `node`, so they
 * cannot be dependencies of this project.
 * @param {Major} major
 * @returns {Promise<{ program: string } | { problem: string }>}
 */
export async function ensureNode(major) {
  const version = VERSIONS[major];
  const name = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;
  const folder = join(toolFolder(`node-${version}`), "..");
  const installed = join(folder, "node_modules", name, "bin/node");
  const onPath = (await capture("which", ["-a", "node"]))?.split("\n") ?? [];
  for (const program of [process.execPath, ...onPath, installed]) {
    if ((await capture(program, ["--version"]))?.startsWith(`v${major}.`)) return { program };
  }

  console.error(`setup: installing Node ${version} with npm (a few seconds, once)`);
  const args = ["install", "--prefix", folder, "--no-audit", "--no-fund", "--no-save", `${name}@${version}`];
  const { code, text } = await run("npm", args, { output: "quiet", check: false });
  if (code === 0 && (await capture(installed, ["--version"]))) return { program: installed };
  return { problem: `npm cannot install ${name}@${version}: ${text.trim().split("\n").at(0)}` };
}
