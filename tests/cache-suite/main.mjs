/**
 * The public HTTP cache test suite (npm package `http-cache-tests`) through the built Worker: the
 * suite's own origin behind the gate, its own client before it.
 *
 *     npm run cache-suite                      the counts and what failed
 *     npm run cache-suite -- --json            one JSON document
 *     npm run cache-suite -- --id vary-match   one test, with all that is sent
 *     npm run cache-suite -- --redis           two isolates that take turns, over one Redis
 *
 * It counts as the suite's results page does (`lib/display.mjs`, `determineTestResult`): a test
 * passes if all of it holds; one whose dependencies did not pass counts as neither passed nor failed
 * ("skipped"), and so does one whose set-up failed ("setup"). `required` tests are those of that kind
 * or of none; `optimal` ones are the optional ones; `check` ones only find out. Tests for browsers
 * alone are left out, as the suite's client leaves them out for a proxy. The suites of `tests/index.mjs`
 * are the page's; `surrogate-control`, which the client runs too, is for CDNs and is counted apart.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { buildWorker } from "../../scripts/build.mjs";
import { bootstrap } from "../../scripts/lib/bootstrap.mjs";
import { Failure, main, root } from "../../scripts/lib/process.mjs";

/** What must pass at least. */
const LEAST = { required: 150, optimal: 85 };

const suite = join(root, "node_modules/http-cache-tests");

/** @typedef {"required" | "optimal" | "check"} Kind */
/** @typedef {{ id: string, name: string, kind?: Kind, browser_only?: boolean, depends_on?: string[] }} Test */
/** @typedef {{ id: string, name: string, tests: Test[] }} Suite */
/** @typedef {{ id: string, name: string, why: string }} Unpassed */
/** @typedef {{ tests: number, passed: number, failed: Unpassed[], setup: Unpassed[], skipped: Unpassed[] }} Count */

await main(async () => {
  const { values } = parseArgs({
    options: {
      json: { type: "boolean", default: false },
      redis: { type: "boolean", default: false },
      id: { type: "string" },
    },
  });
  await bootstrap();
  await buildWorker();
  // Not at the top: what it imports is there only after `bootstrap`.
  const { runSuite } = await import("./rig.mjs");
  if (values.id !== undefined) {
    console.log((await runSuite({ redis: values.redis, id: values.id })).text);
    return;
  }
  const { results } = await runSuite({ redis: values.redis });
  const report = await count(results);
  console.log(values.json ? JSON.stringify(report, null, 2) : table(report));
  for (const [kind, least] of Object.entries(LEAST)) {
    const { passed } = report.page[/** @type {Kind} */ (kind)];
    if (passed < least) throw new Failure(`${passed} ${kind} tests pass; ${least} must`);
  }
});

/**
 * @param {Record<string, unknown>} results of the suite's client
 * @returns {Promise<{ page: Record<Kind, Count>, cdn: Record<Kind, Count> }>}
 */
async function count(results) {
  const load = (/** @type {string} */ file) => import(pathToFileURL(join(suite, file)).href);
  /** @type {{ default: Suite[] }} */
  const { default: page } = await load("tests/index.mjs");
  /** @type {{ default: Suite }} */
  const { default: cdn } = await load("tests/surrogate-control.mjs");
  const { determineTestResult } = await load("lib/display.mjs");
  const all = [...page, cdn];
  /** @param {Suite[]} suites */
  const counted = (suites) => {
    const empty = () => /** @type {Count} */ ({ tests: 0, passed: 0, failed: [], setup: [], skipped: [] });
    const counts = { required: empty(), optimal: empty(), check: empty() };
    for (const test of suites.flatMap(({ tests }) => tests)) {
      if (test.browser_only) continue;
      const count = counts[test.kind ?? "required"];
      count.tests++;
      const symbol = determineTestResult(all, test.id, results)[2];
      const result = results[test.id];
      const why = Array.isArray(result) ? String(result[1]) : "";
      const unpassed = { id: test.id, name: test.name, why };
      if (symbol === "✅" || symbol === "Y") count.passed++;
      else if (symbol === "⚪️") count.skipped.push({ ...unpassed, why: `depends on ${test.depends_on}` });
      else if (["🔹", "↻", "⁉️", "-"].includes(symbol)) count.setup.push(unpassed);
      else count.failed.push(unpassed);
    }
    return counts;
  };
  return { page: counted(page), cdn: counted([cdn]) };
}

/** @param {Awaited<ReturnType<typeof count>>} report */
function table({ page, cdn }) {
  /** @type {string[]} */
  const lines = [];
  const row = (/** @type {(string | number)[]} */ ...cells) =>
    lines.push(cells.map((cell, n) => (n === 0 ? `${cell}`.padEnd(26) : `${cell}`.padStart(8))).join(""));
  row("http-cache-tests", "tests", "passed", "failed", "set-up", "skipped");
  for (const [title, counts] of /** @type {const} */ ([
    ["", page],
    ["surrogate-control: ", cdn],
  ])) {
    for (const [kind, { tests, passed, failed, setup, skipped }] of Object.entries(counts)) {
      row(title + kind, tests, passed, failed.length, setup.length, skipped.length);
    }
  }
  for (const counts of [page, cdn]) {
    for (const [kind, { failed, setup, skipped }] of Object.entries(counts)) {
      for (const [how, list] of Object.entries({ failed, "set-up": setup, skipped })) {
        // A `check` that says no says nothing against the cache.
        const shown = kind === "check" && how === "failed" ? [] : list;
        for (const { id, why } of shown) lines.push(`${kind} ${how}: ${id}: ${why}`);
      }
    }
  }
  return lines.join("\n");
}
