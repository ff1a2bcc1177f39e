/** The switches that make the API slow or failing. */

import { isSwitchboard } from "./counters.js";
import { errorBody, HttpError } from "./errors.js";
import { fields } from "./params.js";

/**
 * @typedef {object} Switches
 * @property {number} latency milliseconds before anything else happens
 * @property {number | "reset" | "hang" | null} fail an HTTP status from 400 to 599, or a fault of
 *   the connection
 * @property {number} failRate the share of requests that fail, from 0 to 1
 * @property {string | null} only act only on paths with this prefix
 */
/** @typedef {ReturnType<typeof createControl>} Control */

const MAX_LATENCY_MS = 600_000;

/** @type {Readonly<Switches>} */
const CALM = { latency: 0, fail: null, failRate: 1, only: null };

/** @param {Partial<Switches>} initial @throws {HttpError} 400 if a value does not fit */
export function createControl(initial) {
  let switches = parse(initial);
  let debt = 0;

  return {
    get: () => ({ ...switches }),
    /**
     * Replaces all switches: each that is not named returns to its default.
     * @param {unknown} input
     * @throws {HttpError}
     */
    set: (input) => {
      switches = parse(input);
      debt = 0;
    },
    /**
     * Decides what happens to one request for `path`.
     * @param {string} path
     * @returns {{ latency: number, fail: Switches["fail"] }}
     */
    draw: (path) => {
      const { latency, fail, failRate, only } = switches;
      if (isSwitchboard(path) || (only !== null && !path.startsWith(only))) return { latency: 0, fail: null };
      if (fail === null) return { latency, fail };
      // Failures are spread evenly, not at random: tests must not depend on luck.
      debt += failRate;
      if (debt < 1 - 1e-9) return { latency, fail: null };
      debt -= 1;
      return { latency, fail };
    },
  };
}

/** @param {Control} control @returns {import("express").Handler} */
export const applyFaults = (control) => (req, res, next) => {
  const { latency, fail } = control.draw(req.path);
  if (latency === 0) {
    befall();
    return;
  }
  const timer = setTimeout(befall, latency);
  // If the client disconnects or the server closes, nothing waits any longer.
  res.once("close", () => clearTimeout(timer));

  function befall() {
    if (fail === null) next();
    else if (fail === "reset") req.socket.resetAndDestroy();
    else if (fail !== "hang") res.status(fail).json(errorBody(fail));
  }
};

/** @param {unknown} input @returns {Switches} */
function parse(input) {
  const given = fields(input);
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(CALM, name));
  const { latency, fail, failRate, only } = /** @type {Record<keyof Switches, unknown>} */ ({
    ...CALM,
    ...defined(given),
  });
  const wrong = unknown.map((name) => `${name.slice(0, 40)} is not a switch`);

  const latencyFits = typeof latency === "number" && latency >= 0 && latency <= MAX_LATENCY_MS;
  if (!latencyFits) wrong.push(`latency must be a number of milliseconds from 0 to ${MAX_LATENCY_MS}`);
  const failIsStatus = typeof fail === "number" && Number.isInteger(fail) && fail >= 400 && fail <= 599;
  const failFits = failIsStatus || fail === null || fail === "reset" || fail === "hang";
  if (!failFits) wrong.push('fail must be a status from 400 to 599, "reset", "hang" or null');
  const rateFits = typeof failRate === "number" && failRate >= 0 && failRate <= 1;
  if (!rateFits) wrong.push("failRate must be a number from 0 to 1");
  const onlyFits = only === null || (typeof only === "string" && only.startsWith("/"));
  if (!onlyFits) wrong.push('only must be a path such as "/api/v1/market-data" or null');

  if (wrong.length === 0 && latencyFits && failFits && rateFits && onlyFits) {
    return { latency, fail, failRate, only };
  }
  throw new HttpError(400, wrong);
}

/** @param {Record<string, unknown>} given */
const defined = (given) => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
