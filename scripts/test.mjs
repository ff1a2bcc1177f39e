/**
 * `npm test`: runs every check, even after a failed one.
 *
 *     npm test -- --only fmt,clippy     only these; `lint` stands for those that run no test
 *
 * The steps `worker-over-…` run the Worker's tests over `createGate` of the npm package. Those that
 * run all of them run only if they are named, because `pkg/src/worker.js` and `pkg/src/gate.js`
 * have nearly everything in common.
 */
import { parseArgs, stripVTControlCharacters } from "node:util";
import { buildPanickingWorker, buildWorker } from "./build.mjs";
import { bootstrap } from "./lib/bootstrap.mjs";
import { ensureChromium } from "./lib/chromium.mjs";
import { buildDocumentation, checkOldestRust } from "./lib/crate.mjs";
import { buildPackage } from "./lib/package.mjs";
import { Failure, main, run } from "./lib/process.mjs";
import { ensurePromtool } from "./lib/promtool.mjs";
import { ensureRedisServer } from "./lib/redis-server.mjs";
import {
  ensureBindgen,
  ensureLinters,
  ensureNextest,
  ensureRust,
  ensureWasmTarget,
  ensureWorkerBuild,
} from "./lib/toolchain.mjs";
import { ensureValkeyServer } from "./lib/valkey-server.mjs";

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {boolean} [lint] runs no test
 * @property {boolean} [long] runs only if it is named
 * @property {(() => Promise<unknown>)[]} [needs] what has to be installed or built first
 * @property {string[]} [command]
 * @property {Record<string, string>} [env]
 */

const warnings = ["--", "-D", "warnings"];
const wasm = ["--target", "wasm32-unknown-unknown", "--features", "panics,queue,sdk"];
// The tests spend more time waiting than computing.
const nodeTest = ["node", "--test", "--test-reporter=spec", "--test-timeout=120000", "--test-concurrency=2"];

/** @type {Step[]} */
const steps = [
  {
    name: "fmt",
    lint: true,
    needs: [ensureLinters],
    command: ["cargo", "fmt", "--all", "--check"],
  },
  {
    name: "clippy",
    lint: true,
    needs: [ensureLinters],
    command: ["cargo", "clippy", "--workspace", "--all-features", "--all-targets", ...warnings],
  },
  {
    name: "clippy-wasm",
    lint: true,
    needs: [ensureLinters, ensureWasmTarget],
    command: [
      "cargo",
      "clippy",
      "--package",
      "omnitrade-edge",
      "--package",
      "omnitrade-edge-wasm",
      "--package",
      "omnitrade-edge-worker-rust",
      "--lib",
      ...wasm,
      ...warnings,
    ],
  },
  {
    name: "native",
    needs: [ensureNextest, requireRedis, requireValkey],
    command: [
      ...["cargo", "nextest", "run", "--package", "omnitrade-edge", "--package", "omnitrade-edge-bindgen"],
      ...["--all-features", "--no-fail-fast"],
    ],
  },
  {
    // What `native` does within small bounds.
    name: "model",
    long: true,
    needs: [ensureNextest],
    command: [
      ...["cargo", "nextest", "run", "--package", "omnitrade-edge", "--cargo-profile", "bench"],
      ...["--no-default-features", "--test", "window_proof", "--no-fail-fast", "--success-output", "immediate"],
    ],
    env: { WINDOW_PROOF: "large" },
  },
  {
    name: "doctest",
    needs: [ensureRust],
    command: ["cargo", "test", "--doc", "--all-features"],
  },
  {
    name: "doc",
    lint: true,
    needs: [buildDocumentation],
  },
  {
    name: "public-api",
    needs: [buildDocumentation],
    command: [...nodeTest, "tests/public_api.test.mjs"],
  },
  {
    // Cargo does one thing at a time, and it has to compile for each test.
    name: "crate",
    needs: [ensureWasmTarget],
    command: [
      ...["node", "--test", "--test-reporter=spec", "--test-timeout=900000", "--test-concurrency=1"],
      "tests/crate/**/*.test.mjs",
    ],
  },
  {
    // It needs a toolchain of its own.
    name: "rust-version",
    long: true,
    needs: [checkOldestRust],
  },
  {
    name: "biome",
    lint: true,
    command: ["node_modules/.bin/biome", "check", "--error-on-warnings"],
  },
  {
    name: "types",
    lint: true,
    command: ["node_modules/.bin/tsc", "--noEmit"],
  },
  {
    name: "origin",
    needs: [requireRedis],
    command: [...nodeTest, "examples/origin/**/*.test.mjs"],
  },
  {
    name: "bench",
    command: [...nodeTest, "tests/bench/**/*.test.mjs"],
  },
  {
    name: "queue",
    needs: [requireRedis, buildPackage, buildCommandLine],
    command: [...nodeTest, "tests/queue/**/*.test.mjs"],
  },
  {
    name: "docs",
    needs: [buildCommandLine],
    command: [...nodeTest, "tests/docs/**/*.test.mjs"],
  },
  {
    name: "build",
    needs: [buildWorker, buildPackage],
  },
  {
    name: "worker",
    needs: [requireRedis, buildPanickingWorker, buildWorker, buildCommandLine],
    command: [...nodeTest, "tests/worker/**/*.test.mjs"],
  },
  {
    name: "create-gate",
    needs: [requireRedis, buildWorker, buildPackage, buildCommandLine],
    command: [...nodeTest, "tests/create-gate/**/*.test.mjs", "tests/clients/**/*.test.mjs"],
  },
  {
    // What differs there is who calls the store, who sends requests, and what is logged.
    name: "worker-over-create-gate",
    needs: [requireRedis, buildPackage, buildCommandLine],
    command: [
      ...nodeTest,
      ...["cache", "clustered-store", "key-locking", "limits", "limits-store", "store-events", "uploads"].map(
        (name) => `tests/worker/${name}.test.mjs`,
      ),
    ],
    env: { EDGE_FORM: "create-gate-over-store" },
  },
  ...["create-gate", "create-gate-over-store"].map((form) => ({
    name: `worker-over-${form}-all`,
    long: true,
    needs: [requireRedis, buildPanickingWorker, buildWorker, buildPackage, buildCommandLine],
    // The bindings of a Worker are no options of `createGate`, which throws if they are wrong.
    command: [...nodeTest, "tests/worker/!(config).test.mjs"],
    env: { EDGE_FORM: form },
  })),
  {
    name: "browser",
    needs: [requireRedis, requireChromium, buildWorker, buildCommandLine],
    command: [...nodeTest, "tests/browser/**/*.test.mjs"],
  },
  {
    name: "page",
    needs: [requireRedis, requireChromium, requirePromtool, buildWorker, buildCommandLine],
    command: [...nodeTest, "tests/page/**/*.test.mjs"],
  },
  {
    name: "alerts",
    needs: [requirePromtool, buildCommandLine],
    command: [...nodeTest, "tests/alerts/**/*.test.mjs"],
  },
  {
    name: "sdk",
    needs: [requireRedis, buildPackage, buildCommandLine],
    command: [...nodeTest, "tests/sdk/**/*.test.mjs"],
  },
  {
    name: "package",
    needs: [requireRedis, buildPackage, buildCommandLine],
    command: [...nodeTest, "tests/package/**/*.test.mjs"],
  },
  {
    name: "examples",
    needs: [requireRedis, buildCommandLine, ensureBindgen, ensureWorkerBuild],
    // A test builds what it runs.
    command: [...nodeTest, "--test-timeout=600000", "tests/examples/**/*.test.mjs"],
  },
  {
    // That each check of a soak finds what it is for.
    name: "soak-checks",
    command: [...nodeTest, "tests/soak/**/*.test.mjs"],
  },
  {
    name: "soak",
    long: true,
    needs: [requireRedis, buildWorker, buildCommandLine],
    command: ["node", "tests/soak/main.mjs"],
  },
  {
    name: "cache-suite",
    needs: [buildWorker],
    command: ["node", "tests/cache-suite/main.mjs"],
  },
];

async function requireRedis() {
  const problem = await ensureRedisServer();
  if (problem) throw new Failure(`these tests need a redis-server: ${problem}`);
}

async function requireValkey() {
  const problem = await ensureValkeyServer();
  if (problem) throw new Failure(`these tests need a valkey-server too: ${problem}`);
}

async function requireChromium() {
  const problem = await ensureChromium();
  if (problem) throw new Failure(`these tests need a browser: ${problem}`);
}

async function requirePromtool() {
  const problem = await ensurePromtool();
  if (problem) throw new Failure(`these tests need promtool: ${problem}`);
}

/** Builds with the features of the native tests, to share their compiled dependencies. */
async function buildCommandLine() {
  await ensureRust();
  await run("cargo", ["build", "--all-features", "--bin", "omnitrade-edge"]);
}

/**
 * Runs a step and counts its tests; a step without tests counts as one.
 * @param {Step} step
 */
async function runStep({ name, needs = [], command, env }) {
  console.log(`\n=== ${name}${command ? `: ${command.join(" ")}` : ""}`);
  const started = performance.now();
  let ok = true;
  let count = { passed: 0, failed: 0, skipped: 0 };
  try {
    for (const need of needs) await need();
    if (command) {
      const [program, ...args] = command;
      const colours = process.stdout.isTTY ? { CARGO_TERM_COLOR: "always", FORCE_COLOR: "1" } : {};
      const done = await run(program, args, {
        output: "tee",
        check: false,
        env: { ...colours, ...env },
      });
      ok = done.code === 0;
      count = counted(stripVTControlCharacters(done.text));
    }
  } catch (error) {
    console.error(error instanceof Failure ? `error: ${error.message}` : error);
    ok = false;
  }
  if (!ok && count.failed === 0) count.failed = 1;
  if (ok && count.passed + count.skipped === 0) count.passed = 1;
  const seconds = (performance.now() - started) / 1000;
  return { name, ok, seconds, ...count };
}

/**
 * Adds up the summary lines of nextest, of rustdoc's tests and of Node's runner.
 * @param {string} text
 */
function counted(text) {
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const [, all, passed] of text.matchAll(/^ *Summary \[.*\] +(\d+) tests? run: (\d+) passed/gm)) {
    count.passed += Number(passed);
    count.failed += Number(all) - Number(passed);
  }
  for (const [, passed, failed] of text.matchAll(/^test result: .* (\d+) passed; (\d+) failed;/gm)) {
    count.passed += Number(passed);
    count.failed += Number(failed);
  }
  const names = { pass: "passed", fail: "failed", cancelled: "failed", skipped: "skipped" };
  for (const [, what, number] of text.matchAll(/^ℹ (pass|fail|cancelled|skipped) (\d+)$/gm)) {
    const name = /** @type {keyof typeof count} */ (names[/** @type {keyof typeof names} */ (what)]);
    count[name] += Number(number);
  }
  return count;
}

function chosen() {
  const { values } = parseArgs({ options: { only: { type: "string" } } });
  if (values.only === undefined) return steps.filter(({ long }) => !long);
  const names = values.only.split(",");
  const unknown = names.find((name) => name !== "lint" && !steps.some((step) => step.name === name));
  if (unknown !== undefined) {
    throw new Failure(`no step is called "${unknown}"; there are ${steps.map(({ name }) => name).join(", ")} and lint`);
  }
  return steps.filter(({ name, lint }) => names.includes(name) || (lint && names.includes("lint")));
}

await main(async () => {
  const plan = chosen();
  await bootstrap();
  /** @type {Awaited<ReturnType<typeof runStep>>[]} */
  const results = [];
  for (const step of plan) results.push(await runStep(step));

  console.log("\n=== summary");
  for (const { name, ok, seconds } of results) {
    console.log(`  ${ok ? "ok    " : "FAILED"} ${seconds.toFixed(1).padStart(7)} s  ${name}`);
  }
  const sum = (/** @type {"passed" | "failed" | "skipped"} */ key) =>
    results.reduce((total, step) => total + step[key], 0);
  const skipped = sum("skipped");
  console.log(
    `\n${sum("passed")} passed, ${sum("failed")} failed${skipped ? `, ${skipped} skipped: see above why` : ""}`,
  );
  if (results.some(({ ok }) => !ok)) process.exitCode = 1;
});
