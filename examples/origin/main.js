#!/usr/bin/env node
/** Runs the sample API until it is told to stop. */

import { parseArgs } from "node:util";
import { HttpError } from "./errors.js";
import { startOrigin } from "./index.js";

const USAGE = `usage: node examples/origin/main.js [options]

  --port N        default 8888; 0 takes a free port
  --host HOST     default 127.0.0.1
  --seed N        of the market's random walk; default 1
  --latency MS    wait before every answer
  --fail WHAT     fail every request: a status from 400 to 599, reset, or hang
  --limiter       refuse an address after 300 requests in 15 minutes, as the API does by itself
  --no-cache      keep no answers: the market moves with every request
  --help          show this

/__origin/control changes latency and failures while it runs.`;

/** Prints an error and exits. @param {string} message @param {number} code @returns {never} */
function stop(message, code) {
  console.error(message);
  process.exit(code);
}

function readOptions() {
  const string = /** @type {const} */ ({ type: "string" });
  const boolean = /** @type {const} */ ({ type: "boolean" });
  const options = {
    port: string,
    host: string,
    seed: string,
    latency: string,
    fail: string,
    limiter: boolean,
    "no-cache": boolean,
    help: boolean,
  };
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return stop(`${/** @type {Error} */ (error).message}\n\n${USAGE}`, 2);
  }
}

/** @param {string} name @param {string} value @param {number} max */
function wholeNumber(name, value, max) {
  const number = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
  return number <= max ? number : stop(`--${name} must be a whole number from 0 to ${max}`, 2);
}

/** The switches check whether the value is valid. @param {string} value */
const failOf = (value) =>
  /** @type {import("./faults.js").Switches["fail"]} */ (/^\d+$/.test(value) ? Number(value) : value);

const { port, host, seed, latency, fail, limiter, "no-cache": noCache, help } = readOptions();
if (help) {
  console.log(USAGE);
  process.exit(0);
}

try {
  const origin = await startOrigin({
    port: wholeNumber("port", port ?? "8888", 65_535),
    host,
    seed: wholeNumber("seed", seed ?? "1", 2 ** 32 - 1),
    latency: latency === undefined ? undefined : wholeNumber("latency", latency, 600_000),
    fail: fail === undefined ? undefined : failOf(fail),
    limiter,
    cache: !noCache,
  });
  // Tests read the port from this line.
  console.log(`sample API on ${origin.url}`);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => origin.close());
} catch (error) {
  if (error instanceof HttpError) stop(`--fail: ${error.message}`, 2);
  stop(`cannot start the sample API: ${/** @type {Error} */ (error).message}`, 1);
}
