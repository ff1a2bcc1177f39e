/** `examples/worker-rust` is built and run by the commands that its page names. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, root, spawnServer } from "../../scripts/lib/process.mjs";
import { ensureBindgen, ensureWorkerBuild } from "../../scripts/lib/toolchain.mjs";
import { startRedis, startRestRedis } from "../support/servers.mjs";

const folder = join(root, "examples/worker-rust");
const binaries = join(root, "node_modules/.bin");

/** The quota of its limiter, and its window in seconds. */
const [QUOTA, WINDOW] = [100, 60];

/** A permit is given back at the end of the sub-bucket in which it was taken: a thirtieth later. */
const LONGEST_WAIT = WINDOW + WINDOW / 30;

/** @type {Awaited<ReturnType<typeof startRedis>>} */
let redis;
/** @type {Awaited<ReturnType<typeof startRestRedis>>} */
let store;
/** @type {import("../../scripts/lib/process.mjs").Server} */
let worker;

before(async () => {
  redis = await startRedis();
  store = await startRestRedis({ redisUrl: redis.url });
  // Else worker-build would download these programs.
  const programs = {
    WASM_BINDGEN_BIN: await ensureBindgen(),
    WASM_OPT_BIN: join(binaries, "wasm-opt"),
    ESBUILD_BIN: join(binaries, "esbuild"),
  };
  const ports = ["--port", `${await freePort()}`, "--inspector-port", `${await freePort()}`];
  const secrets = { UPSTASH_REDIS_REST_URL: store.url, UPSTASH_REDIS_REST_TOKEN: store.token };
  const bindings = Object.entries(secrets).flatMap(([name, value]) => ["--var", `${name}:${value}`]);
  worker = await spawnServer(join(binaries, "wrangler"), ["dev", ...ports, ...bindings], {
    cwd: folder,
    env: {
      ...programs,
      PATH: `${dirname(await ensureWorkerBuild())}:${process.env.PATH}`,
      WRANGLER_SEND_METRICS: "false",
      CI: "1",
    },
    ready: /Ready on (http:\/\/\S+)/,
    timeout: 540_000,
    name: "examples/worker-rust",
  });
});

after(async () => {
  await worker?.stop();
  await store?.stop();
  await redis?.stop();
});

/** @param {string} path */
async function ask(path) {
  const response = await fetch(new URL(path, worker.ready[0][1]));
  return { status: response.status, headers: response.headers, text: await response.text() };
}

test("its page names the version of worker-build that builds it", () => {
  const page = readFileSync(join(folder, "README.md"), "utf8");
  assert.match(page, /cargo install worker-build --version \^0\.8$/m);
  assert.match(readFileSync(join(folder, "Cargo.toml"), "utf8"), /^worker = "0\.8"$/m);
});

test("its own routes answer without taking a permit", async () => {
  for (let sent = 0; sent < 3; sent++) {
    assert.deepEqual((await ask("/health")).text, "ok\n");
    assert.deepEqual((await ask("/quota")).text, `${QUOTA} of ${QUOTA} left\n`);
  }
  assert.equal((await ask("/nothing")).status, 404);
});

test("a report is made once for all who ask, and anew while it is stale", async () => {
  const asked = Date.now();
  const reports = async (/** @type {number} */ count) => {
    const all = await Promise.all(Array.from({ length: count }, () => ask("/report")));
    assert.ok(all.every(({ status }) => status === 200));
    return [...new Set(all.map(({ text }) => text))];
  };
  // A client that hangs up does not end what others wait for.
  const hangsUp = fetch(new URL("/report", worker.ready[0][1]), { signal: AbortSignal.timeout(200) });
  await assert.rejects(hangsUp);
  const [first, ...others] = await reports(12);
  assert.match(first, /^made at \d+\n$/);
  assert.deepEqual(others, []);
  const made = Number(/\d+/.exec(first)?.[0]);
  assert.ok(made - asked < 3_000, `it was made ${made - asked} ms after the first one asked`);
  assert.deepEqual(await reports(5), [first]);

  await sleep(Math.max(made + 2_100 - Date.now(), 0));
  assert.ok((await reports(5)).includes(first), "it is stale, and there at once");
  const until = Date.now() + 10_000;
  let next = first;
  while (next === first && Date.now() < until) {
    await sleep(50);
    [next] = await reports(1);
  }
  assert.notEqual(next, first, "it was made anew");
});

test("it greets a hundred times, refuses, and goes on with its other routes", async () => {
  const first = await ask("/hello/ferris");
  assert.equal(first.text, "Hello, ferris\n");
  const statuses = [first.status];
  while (statuses.length <= QUOTA) statuses.push((await ask("/hello/ferris")).status);
  assert.deepEqual(statuses, [...Array(QUOTA).fill(200), 429]);

  const { status, headers } = await ask("/hello/ferris");
  assert.equal(status, 429);
  assert.equal(headers.get("x-ratelimit-remaining"), "0");
  const seconds = Number(headers.get("retry-after"));
  assert.ok(seconds > 0 && seconds <= LONGEST_WAIT, `${seconds} s`);
  assert.equal((await ask("/health")).status, 200);
  assert.equal((await ask("/quota")).text, `0 of ${QUOTA} left\n`);
});
