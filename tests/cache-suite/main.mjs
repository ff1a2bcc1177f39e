/**
 * Runs the public HTTP cache test suite (npm package `http-cache-tests`) through the built Worker,
 * with the suite's own origin behind the gate and its own client in front of it.
 *
 *     npm run cache-suite                      the counts and what failed
 *     npm run cache-suite -- --json            one JSON document
 *     npm run cache-suite -- --id vary-match   one test, with all that is sent
 *     npm run cache-suite -- --redis           two isolates that take turns, over one Redis
 *     npm run cache-suite -- --cache strict    one of the caches below
 *
 * The gate is run twice: with a plain `cache = {}`, and with the options that allow what RFC 9111
 * allows but the gate does not do by default. `count.mjs` says how tests are counted, and
 * `corrections.mjs` where the suite is older than the RFC.
 */
import { parseArgs } from "node:util";
import { buildWorker } from "../../scripts/build.mjs";
import { bootstrap } from "../../scripts/lib/bootstrap.mjs";
import { Failure, main } from "../../scripts/lib/process.mjs";
import { corrections } from "./corrections.mjs";

/** @typedef {import("./count.mjs").Report} Report */

const all = { stale_if_error: "1m", server_errors: true, set_cookie: true };

/** The caches that can be tested; by default the first two are. @type {Record<string, object>} */
const CACHES = { plain: {}, all, strict: { ...all, strict_age: true } };

/**
 * How many tests must pass at least, by cache, with the tests as the RFCs have them. A few more
 * pass, but some depend on the speed of the machine.
 * @type {Record<string, Partial<Record<"required" | "optimal", number>>>}
 */
const LEAST = { plain: { required: 145, optimal: 75 }, all: { required: 155, optimal: 85 } };

await main(async () => {
  const { values } = parseArgs({
    options: {
      json: { type: "boolean", default: false },
      redis: { type: "boolean", default: false },
      cache: { type: "string", default: "plain,all" },
      id: { type: "string" },
    },
  });
  await bootstrap();
  await buildWorker();
  // Not imported at the top, because the modules need packages that `bootstrap` installs.
  const { runSuite } = await import("./rig.mjs");
  const { count } = await import("./count.mjs");
  /** @type {Record<string, Report>} */
  const reports = {};
  for (const name of values.cache.split(",")) {
    const cache = CACHES[name];
    if (cache === undefined) throw new Failure(`no cache is called "${name}"`);
    const { results, text } = await runSuite({ cache, redis: values.redis, id: values.id });
    if (values.id === undefined) reports[name] = await count(results);
    else console.log(text);
  }
  if (values.id !== undefined) return;
  if (values.json) console.log(JSON.stringify({ caches: CACHES, reports }, null, 2));
  else for (const [name, report] of Object.entries(reports)) console.log(table(name, report));
  // After one isolate has invalidated an entry, another may keep it in memory until it is stale.
  if (values.redis) return;
  for (const [name, { corrected }] of Object.entries(reports)) {
    for (const [kind, least] of Object.entries(LEAST[name] ?? {})) {
      const { passed } = corrected[/** @type {"required" | "optimal"} */ (kind)];
      if (passed < least) throw new Failure(`${name}: ${passed} ${kind} tests pass; ${least} must`);
    }
  }
});

/**
 * @param {string} name
 * @param {Report} report
 */
function table(name, { published, corrected, surrogate }) {
  const lines = [`\ncache = ${JSON.stringify(CACHES[name])}`];
  const row = (/** @type {(string | number)[]} */ ...cells) =>
    lines.push(cells.map((cell, n) => (n === 0 ? `${cell}`.padEnd(34) : `${cell}`.padStart(8))).join(""));
  row("http-cache-tests", "tests", "passed", "failed", "set-up", "skipped");
  for (const [title, counts] of /** @type {const} */ ([
    ["", published],
    ["by RFC 9111 and 9213: ", corrected],
    ["surrogate-control: ", surrogate],
  ])) {
    for (const [kind, { tests, passed, failed, setup, skipped }] of Object.entries(counts)) {
      row(title + kind, tests, passed, failed.length, setup.length, skipped.length);
    }
  }
  for (const [kind, { failed, setup, skipped }] of Object.entries(published)) {
    // A `check` that does not pass is no fault of the cache.
    if (kind === "check") continue;
    for (const [how, list] of Object.entries({ failed, "set-up": setup, skipped })) {
      for (const { id, why } of list) {
        const correction = corrections[id] ? ` [${corrections[id].why}]` : "";
        lines.push(`${kind} ${how}: ${id}: ${why}${correction}`);
      }
    }
  }
  for (const [kind, { failed, setup, skipped }] of Object.entries(corrected)) {
    for (const { id, why } of [...failed, ...setup, ...skipped]) {
      if (id.endsWith("(corrected)") && kind !== "check") lines.push(`${kind}: ${id}: ${why}`);
    }
  }
  return lines.join("\n");
}
