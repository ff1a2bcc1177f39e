/** How many requests two processes of axum admit together in any window, under load. */
import { buildProgram } from "../scripts/lib/command-line.mjs";
import { admitInWindows } from "./lib/windows.mjs";

const QUOTA = 100;
const WINDOW_MS = 1_000;
const CONNECTIONS = 16;

/**
 * @param {import("./lib/ground.mjs").Ground} ground
 * @param {{ seconds?: number }} settings
 * @returns {Promise<import("./lib/report.mjs").Table>}
 */
export async function measure({ rest: store }, { seconds = 10 }) {
  const program = await buildProgram("omnitrade-edge-bench-tower", "limited-axum", { optimized: true });
  const common = { program, store, quota: QUOTA, windowMs: WINDOW_MS, connections: CONNECTIONS, seconds };
  const exact = await admitInWindows({ ...common, strategy: "exact" });
  // Those of before count no more.
  const lease = await admitInWindows({ ...common, strategy: "lease" });
  const outcomes = [exact, lease];
  /** @param {string} name @param {(outcome: import("./lib/windows.mjs").Outcome) => number} of */
  const row = (name, of) => ({ name, cells: outcomes.map((outcome) => `${of(outcome)}`) });
  return {
    title: `Two processes of axum on one Redis, a quota of ${QUOTA} per second, ${CONNECTIONS} connections of load`,
    columns: ["exact", "leased"],
    rows: [
      row("the most admitted in any second", ({ most }) => most),
      row("by when the handler ran", ({ mostServed }) => mostServed),
      row(`admitted in ${seconds} s`, ({ admitted }) => admitted),
      row("sent", ({ sent }) => sent),
    ],
    notes: [
      "An admission lies between the arrival of the request at the layer and the start of its handler; the first row",
      "counts those that lie in one second wholly.",
    ],
    data: { quota: QUOTA, windowMs: WINDOW_MS, exact, lease },
  };
}
