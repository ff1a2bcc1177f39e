/** The limiter and `governor` on a virtual clock: the program in `bench/limiter/sim`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { Failure, root, run } from "../../scripts/lib/process.mjs";

/**
 * @typedef {object} Scenario
 * @property {"exact" | "lease" | "governor"} who
 * @property {number} quota
 * @property {number} windowMs
 * @property {number} isolates
 * @property {[number, number]} storeMs the shortest and the longest time that a store call takes
 * @property {number} [timeoutMs] the deadline of a store call, if some may miss it
 * @property {number} seed
 * @property {import("./traces.mjs").Trace} trace
 * @property {number[]} [probes] the requests after which it is determined when the next one would
 *   pass
 */

/**
 * @typedef {[admitted: 0 | 1, at: number, retryAfter: number, local: 0 | 1]} Answer `at`: Unix ms;
 *   `retryAfter`: ms; `local`: the isolate has decided by itself, because the store did not answer
 */

/**
 * @typedef {object} Wait what one request was told, and what was true, in Unix ms
 * @property {number} asked
 * @property {number} answered
 * @property {boolean} admitted
 * @property {number} told
 * @property {number} toldInSeconds
 * @property {number} truly
 */

/**
 * @typedef {object} Outcome
 * @property {Answer[]} answers
 * @property {number} calls of the script, including those that no request waits for
 * @property {number} commands
 * @property {number} largestState bytes
 * @property {Wait[]} waits
 */

/**
 * @typedef {object} Load calls of the script about one state
 * @property {string} key
 * @property {number} quota
 * @property {number} windowMs
 * @property {number} cost
 * @property {number} lend how many permits each call asks to be lent
 * @property {number} firstId the ids of the calls are consecutive numbers from this one on
 * @property {number[]} at when they are made, Unix ms
 */

/** @typedef {{ keys: string[], args: string[] }} Call */

/**
 * @typedef {object} Rhythm the figures of clients in one rhythm, with two limits each
 * @property {string} name
 * @property {number} commands per request, with leases
 * @property {number} exact the same with exact limits
 * @property {number | null} most the most commands that are allowed with leases
 * @property {number} early the percentage of requests that leases refuse too early
 * @property {number} earlyExact the same of exact limits, whose sub-buckets count as a whole
 * @property {number} waited the percentage of requests that waited for a store call
 * @property {number} refused the percentage that was refused
 */

const CARGO = ["--no-default-features", "--bench", "limiter-sim"];

/** Builds the program, which takes a minute the first time. */
export async function buildSimulation() {
  const { text: said } = await run("cargo", ["build", "--profile", "bench", "--message-format", "json", ...CARGO], {
    output: "quiet",
  });
  const executable = said.match(/"executable":"([^"]*limiter_sim[^"]*)"/)?.[1];
  if (!executable) throw new Failure("cargo names no program of the simulation");
  return {
    /** @type {(scenarios: Scenario[]) => Promise<Outcome[]>} */
    simulate: (scenarios) => ask(executable, { simulate: scenarios }),
    /** @type {(loads: Load[]) => Promise<Call[][]>} */
    calls: (loads) => ask(executable, { calls: loads }),
    /** @type {() => Promise<Rhythm[]>} */
    rhythms: () => ask(executable, "rhythms"),
  };
}

/**
 * @param {string} program
 * @param {object | string} job
 */
async function ask(program, job) {
  const child = spawn(program, { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify(job));
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
  if (code !== 0) throw new Failure(`the simulation ended with exit code ${code}`);
  return JSON.parse(said);
}
