/**
 * The suite's client, run as the suite's `cli.mjs` runs it, with the corrected tests beside the
 * published ones.
 *
 *     node client.mjs http://127.0.0.1:8787 [id]     one JSON object; of one test all that is sent
 */
import { readSuite, suiteFile } from "./suite.mjs";

const [base, id = ""] = process.argv.slice(2);
const { page, surrogate, cdn } = await readSuite();
const [{ runTests, getResults }, { default: fetch }] = await Promise.all([
  suiteFile("client/runner.mjs"),
  suiteFile("../node-fetch/lib/index.mjs"),
]);

let suites = [...page.flatMap(({ published, corrected }) => [published, corrected]), surrogate, cdn];
if (id !== "") {
  suites = suites.map((suite) => ({ ...suite, tests: suite.tests.filter((test) => test.id === id) }));
  for (const { tests } of suites) for (const test of tests) Object.assign(test, { dump: true });
}
await runTests(suites, fetch, false, base);
console.log(JSON.stringify(getResults()));
