/**
 * Counts as the suite's results page does (`lib/display.mjs`, `determineTestResult`).
 *
 * A test passes if all of it holds. A test counts as neither passed nor failed if one of its
 * dependencies did not pass ("skipped") or if its set-up failed. Tests for browsers only are left
 * out, as in the suite's client for proxies.
 */
import { correctedId } from "./corrections.mjs";
import { readSuite, suiteFile } from "./suite.mjs";

/** @typedef {"required" | "optimal" | "check"} Kind */
/** @typedef {{ id: string, why: string }} Unpassed */
/**
 * @typedef {{
 *   tests: number,
 *   passed: number,
 *   failed: Unpassed[],
 *   setup: Unpassed[],
 *   skipped: Unpassed[],
 * }} Count
 */
/** @typedef {Record<Kind, Count>} Counts */
/** @typedef {{ published: Counts, corrected: Counts, surrogate: Counts }} Report */

/**
 * @param {Record<string, unknown>} results of the client
 * @returns {Promise<Report>} of the page's tests as they were published, of the same with the
 *   corrected ones in the place of theirs and those of targeted fields, and of those for surrogates
 */
export async function count(results) {
  const { page, surrogate, cdn } = await readSuite();
  const { determineTestResult } = await suiteFile("lib/display.mjs");
  const published = page.map((suite) => suite.published);
  const lookup = [...published, ...page.map((suite) => suite.corrected), surrogate, cdn];
  const replaced = page.map((suite) => ({
    ...suite.published,
    tests: suite.published.tests.map(
      (test) => suite.corrected.tests.find(({ id }) => id === correctedId(test.id)) ?? test,
    ),
  }));

  /** @param {import("./suite.mjs").Suite[]} suites */
  const counted = (suites) => {
    const empty = () => /** @type {Count} */ ({ tests: 0, passed: 0, failed: [], setup: [], skipped: [] });
    const counts = { required: empty(), optimal: empty(), check: empty() };
    for (const { id, kind = "required", browser_only, depends_on } of suites.flatMap(({ tests }) => tests)) {
      if (browser_only) continue;
      const result = results[id];
      const why = Array.isArray(result) ? String(result[1]) : "";
      const count = counts[kind];
      count.tests++;
      const symbol = determineTestResult(lookup, id, results)[2];
      if (symbol === "✅" || symbol === "Y") count.passed++;
      else if (symbol === "⚪️") count.skipped.push({ id, why: `depends on ${depends_on?.join(", ")}` });
      else if (["🔹", "↻", "⁉️", "-"].includes(symbol)) count.setup.push({ id, why });
      else count.failed.push({ id, why });
    }
    return counts;
  };
  return { published: counted(published), corrected: counted([...replaced, cdn]), surrogate: counted([surrogate]) };
}
