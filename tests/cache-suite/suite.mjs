/** The suite's own tests, as they were published and as corrected. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "../../scripts/lib/process.mjs";
import { corrected, targeted } from "./corrections.mjs";

/** @typedef {import("./corrections.mjs").Test} Test */
/** @typedef {{ id: string, name: string, tests: Test[] }} Suite */

/** Where the suite is installed. */
export const folder = join(root, "node_modules/http-cache-tests");

/**
 * Loads one of the suite's modules.
 * @param {string} file
 * @returns {Promise<any>}
 */
export const suiteFile = (file) => import(pathToFileURL(join(folder, file)).href);

/**
 * The suites of the results page, each with its corrected tests apart, and the suite for
 * surrogates, which the client runs too: as it is, and as one for targeted fields.
 * @returns {Promise<{
 *   page: { published: Suite, corrected: Suite }[],
 *   surrogate: Suite,
 *   cdn: Suite,
 * }>}
 */
export async function readSuite() {
  /** @type {{ default: Suite[] }} */
  const { default: suites } = await suiteFile("tests/index.mjs");
  /** @type {{ default: Suite }} */
  const { default: surrogate } = await suiteFile("tests/surrogate-control.mjs");
  const page = suites.map((published) => ({
    published,
    corrected: { ...published, tests: published.tests.flatMap((test) => corrected(test) ?? []) },
  }));
  return { page, surrogate, cdn: targeted(surrogate) };
}
