/**
 * Starts other programs: `run` those that end, `spawnServer` those that serve until they are
 * stopped. Nothing that is started here outlives this process, however it ends.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** An error that its message explains completely: it is shown to the user without a stack. */
export class Failure extends Error {}

/**
 * Runs the body of a script; a `Failure` becomes one line and exit code 1.
 * @param {() => Promise<void>} body
 */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    console.error(error instanceof Failure ? `error: ${error.message}` : error);
    process.exitCode = 1;
  }
}

// The command runs under its own process id and in its own group. A watcher process reads a pipe
// whose other end only this process holds: if this process ends, even by SIGKILL, the read fails
// and the watcher ends the group. "done" ends the watcher after the command has ended by itself.
const LEASH = `
  (
    {
      trap "" TERM
      read -r word <&3 || { kill -s TERM -- "-$$"; sleep 3; kill -s KILL -- "-$$"; }
    } >/dev/null 2>&1 &
  )
  exec "$@" 3<&-
`;

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();
process.on("exit", () => {
  for (const child of running) signal(child, "SIGKILL");
});

/**
 * By default the process exits, so that the handlers for the exit run.
 * @type {(name: NodeJS.Signals) => void}
 */
let onSignal = (name) => process.exit(128 + constants.signals[name]);
for (const name of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.on(name, () => onSignal(name));
}

/**
 * Replaces what happens when the user (Ctrl-C) or the system asks this process to end.
 * @param {(name: NodeJS.Signals) => void} handler
 */
export function handleSignals(handler) {
  onSignal = handler;
}

/**
 * Sends a signal to a command's whole group, so that it also reaches what the command started.
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} name
 */
function signal(child, name) {
  if (child.pid === undefined || !running.has(child)) return;
  try {
    process.kill(-child.pid, name);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ESRCH") throw error;
  }
}

/**
 * @typedef {object} SpawnOptions
 * @property {string} [cwd] the root of the repository, unless said otherwise
 * @property {Record<string, string | undefined>} [env] added to this process's environment
 */

/**
 * @param {string} command
 * @param {string[]} args
 * @param {SpawnOptions} options
 * @param {"inherit" | "pipe"} output
 */
function leashed(command, args, { cwd = root, env = {} }, output) {
  const child = spawn("sh", ["-c", LEASH, "sh", command, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", output, output, "pipe"],
    detached: true,
  });
  running.add(child);
  const leash = /** @type {import("node:stream").Writable} */ (child.stdio[3]);
  leash.on("error", () => {}); // The watcher may already be gone.
  child.on("exit", () => {
    running.delete(child);
    leash.end("done\n");
  });
  return child;
}

/**
 * Runs a command to its end.
 * @param {string} command
 * @param {string[]} args
 * @param {SpawnOptions & { output?: "inherit" | "quiet" | "tee", check?: boolean }} [options]
 *   `quiet` shows the output only in the failure, `tee` shows it and returns it;
 *   `check: false` returns a failing exit code where otherwise a `Failure` is thrown.
 * @returns {Promise<{ code: number, text: string }>}
 */
export async function run(command, args, options = {}) {
  const { output = "inherit", check = true } = options;
  const child = leashed(command, args, options, output === "inherit" ? "inherit" : "pipe");
  let text = "";
  for (const [from, to] of /** @type {const} */ ([
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ])) {
    from?.setEncoding("utf8").on("data", (/** @type {string} */ chunk) => {
      text += chunk;
      if (output === "tee") to.write(chunk);
    });
  }
  const [code, killedBy] = await once(child, "close");
  if (check && code !== 0) {
    const said = output === "quiet" ? `\n${lastLines(text)}` : "";
    throw new Failure(`${command} ${args.join(" ")}: ${killedBy ?? `exit code ${code}`}${said}`);
  }
  return { code: code ?? 1, text };
}

/**
 * The output of a command, or `undefined` if the command does not exist or fails.
 * @param {string} command
 * @param {string[]} args
 */
export async function capture(command, args) {
  const { code, text } = await run(command, args, { output: "quiet", check: false });
  return code === 0 ? text.trim() : undefined;
}

/**
 * @typedef {object} Server
 * @property {number} pid
 * @property {RegExpMatchArray[]} ready the matches of the ready line, in order
 * @property {() => string} output the last lines it printed
 * @property {Promise<string>} exited resolves, when it ends, to how it ended
 * @property {(signal?: NodeJS.Signals) => Promise<void>} stop ends it and waits until it is gone
 */

/**
 * Starts a server and waits until it reports that it is ready. It does not keep this process
 * running.
 * @param {string} command
 * @param {string[]} args
 * @param {SpawnOptions & {
 *   ready: RegExp, count?: number, timeout?: number, name?: string, onLine?: (line: string) => void
 * }} options the ready line must come `count` times (1), within `timeout` milliseconds (30,000)
 * @returns {Promise<Server>}
 */
export async function spawnServer(command, args, options) {
  const { ready, count = 1, timeout = 30_000, name = command, onLine } = options;
  const child = leashed(command, args, options, "pipe");
  /** @type {string[]} */
  const lines = [];
  /** @type {RegExpMatchArray[]} */
  const matches = [];
  const exited = once(child, "close").then(([code, by]) => by ?? `exit code ${code}`);
  const stop = async (/** @type {NodeJS.Signals} */ first = "SIGTERM") => {
    signal(child, first);
    const timer = setTimeout(() => signal(child, "SIGKILL"), 5_000);
    await exited;
    clearTimeout(timer);
  };
  /** @type {Promise<void>} */
  const isReady = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        if (lines.length > 200) lines.shift();
        onLine?.(line);
        const match = matches.length < count && line.match(ready);
        if (match && matches.push(match) === count) resolve();
      });
    }
  });
  const output = () => lastLines(lines.join("\n"));

  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, timeout, `not ready after ${timeout / 1000} s`);
  });
  const problem = await Promise.race([isReady, exited, late]);
  clearTimeout(timer);
  if (problem !== undefined) {
    await stop("SIGKILL");
    throw new Failure(`${name} did not start (${problem})\n${output()}`);
  }
  // A test that fails before it stops its servers still ends, and the servers end with it.
  child.unref();
  for (const pipe of child.stdio) /** @type {import("node:net").Socket | null} */ (pipe)?.unref();
  return { pid: /** @type {number} */ (child.pid), ready: matches, output, exited, stop };
}

/**
 * A loopback port that is not in use: the first free one from `from` on, or any if there is none.
 * @param {number} [from]
 * @returns {Promise<number>}
 */
export async function freePort(from = 0) {
  const server = createServer();
  try {
    server.listen(from, "127.0.0.1");
    await once(server, "listening");
    return /** @type {import("node:net").AddressInfo} */ (server.address()).port;
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code === "EADDRINUSE" && from > 0) return await freePort(from + 1);
    throw error;
  } finally {
    server.close();
  }
}

/** @param {string} text */
function lastLines(text) {
  return text.trimEnd().split("\n").slice(-25).join("\n");
}
