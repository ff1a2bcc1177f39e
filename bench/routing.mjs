/** What it takes to find the route of a request: by the router, and by a search through a list. */
import { run } from "../scripts/lib/process.mjs";
import { buildBench } from "./lib/native.mjs";

/**
 * @typedef {Record<"routes" | "routerNs" | "listNs" | "segmentsNs" | "startMs", number>} Figures
 */

/** @returns {Promise<import("./lib/report.mjs").Table>} */
export async function measure() {
  const { text } = await run(await buildBench("routing"), ["8", "500"], { output: "quiet" });
  const measured = /** @type {Figures[]} */ (JSON.parse(text));
  const [few, many] = measured;
  /** @param {string} name @param {Exclude<keyof Figures, "routes">} key @param {string} unit */
  const row = (name, key, unit) => ({
    name,
    cells: [
      ...measured.map((figures) => `${figures[key].toFixed(figures[key] < 10 ? 2 : 0)} ${unit}`),
      (many[key] / few[key]).toFixed(2),
    ],
  });
  return {
    title: "The route of a request",
    columns: [...measured.map(({ routes }) => `${routes} routes`), "ratio"],
    rows: [
      row("the router", "routerNs", "ns"),
      row("a list, one by one", "listNs", "ns"),
      row("reading the path, before either", "segmentsNs", "ns"),
      row("reading the configuration, once per isolate", "startMs", "ms"),
    ],
    notes: [
      "per lookup; native code, the fastest of many rounds in which the sizes take turns; each round asks for",
      "every route once, and for a path that none claims",
    ],
    data: measured,
  };
}
