/**
 * The module traps: the requests that it was working on get a 500 at once, and the next one is
 * served. The Worker here is built with requests that make it trap: `wasm/src/panics.rs`.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, relative } from "node:path";
import { test } from "node:test";
import { buildPanickingWorker } from "../../scripts/build.mjs";
import { root } from "../../scripts/lib/process.mjs";
import { functionNames, withoutCustomSections } from "../../scripts/lib/wasm.mjs";
import { withNames } from "../../scripts/trace.mjs";
import { startGate } from "../support/gate.mjs";
import { ask, cacheStatus, listen, problem, setUp, until } from "./kit.mjs";

const TRAPS = ["at-once", "overflow", "thrown", "in-a-promise"];

const built = await buildPanickingWorker();

/** What `/held/…` waits for. @type {Map<string, import("node:http").ServerResponse>} */
const held = new Map();
const origin = await listen(
  createServer((request, response) => {
    const path = String(request.url);
    if (path.startsWith("/held/")) return held.set(path, response);
    response.writeHead(200, { "cache-control": "max-age=600" }).end(path);
  }),
);

const { gate } = await setUp({
  script: relative(root, join(built.folder, "index.js")),
  edge: { origin, routes: [{ path: "/kept/{n}", cache: { ttl: "10m" } }] },
});

/** What the gate has logged about traps. */
const breakdowns = () => gate.logs().filter((line) => line.includes("the gate broke down"));

/** @param {import("./kit.mjs").Reply} reply */
function gateFailed(reply) {
  assert.equal(problem(reply, 500).code, "gate_failed");
  assert.equal(reply.headers["cache-control"], "no-store");
}

/** @param {string} path */
async function isServed(path) {
  const reply = await ask(gate, path);
  assert.deepEqual([reply.status, reply.text], [200, path]);
}

for (const how of TRAPS) {
  test(`a trap gets a 500, and the next request is served: ${how}`, async () => {
    gate.clearLogs();
    for (let n = 0; n < 3; n++) {
      gateFailed(await ask(gate, `/__panic/${how}`));
      await isServed(`/${how}/${n}`);
    }
    await until(() => breakdowns().length === 3);
  });
}

test("what the isolate had in memory is gone after a trap", async () => {
  await until(async () => cacheStatus(await ask(gate, "/kept/1")).detail === "l1");
  gateFailed(await ask(gate, "/__panic/at-once"));
  const { hit, detail } = cacheStatus(await ask(gate, "/kept/1"));
  assert.deepEqual([hit, detail], [true, "redis"]);
});

for (const how of TRAPS) {
  test(`other requests in flight get a 500 at once: ${how}`, async () => {
    const paths = Array.from({ length: 5 }, (_, n) => `/held/${how}/${n}`);
    const replies = Promise.all(paths.map((path) => ask(gate, path)));
    await until(() => paths.every((path) => held.has(path)));
    gate.clearLogs();
    gateFailed(await ask(gate, `/__panic/${how}`));
    // The origin has not answered any of them yet.
    for (const reply of await replies) gateFailed(reply);

    // What the instance was waiting for comes, and does nothing.
    for (const path of paths) held.get(path)?.end(path);
    await isServed(`/after/${how}`);
    assert.equal(breakdowns().length, 1);
  });
}

test("an answer that was begun before a trap goes on to its end", async () => {
  const asked = gate.fetch("/held/begun");
  const response = await until(() => held.get("/held/begun"));
  response.writeHead(200, { "content-type": "text/plain" }).write("one, ");
  const reply = await asked;
  gateFailed(await ask(gate, "/__panic/at-once"));
  response.end("two");
  assert.equal(await reply.text(), "one, two");
});

test("traps without end leave a gate that answers", async () => {
  const requests = Array.from({ length: 100 }, (_, n) => ask(gate, `/__panic/${TRAPS[n % TRAPS.length]}`));
  for (const reply of await Promise.all(requests)) gateFailed(reply);
  await isServed("/after/all");
});

test("the log says where the trap was, once the names are added", async () => {
  const names = functionNames(readFileSync(built.names));
  for (const [how, where] of /** @type {const} */ ([
    ["at-once", "panics::trap"],
    ["overflow", "panics::nested"],
    ["in-a-promise", "panics::trap"],
  ])) {
    gate.clearLogs();
    gateFailed(await ask(gate, `/__panic/${how}`));
    const log = await until(() => /wasm-function/.test(gate.logs().join("\n")) && gate.logs().join("\n"));
    assert.ok(!log.includes(where), log);
    assert.ok(withNames(log, names).includes(where), withNames(log, names));
    // The message of a panic may quote what a client has sent.
    assert.equal(/panic at wasm.src.panics\.rs:\d+/.test(log), how !== "overflow", log);
    assert.ok(!log.includes("SECRET"), log);
  }
});

test("the names are those of the module that runs", () => {
  const module = readFileSync(join(built.folder, "index_bg.wasm"));
  assert.ok(withoutCustomSections(readFileSync(built.names)).equals(module));
  assert.equal(functionNames(module).size, 0);
});

test("the Worker that is deployed has no request that makes it trap", async (t) => {
  const shipped = await startGate({ edge: { origin } });
  t.after(() => shipped.stop());
  for (const how of TRAPS) {
    const path = `/__panic/${how}`;
    const reply = await ask(shipped, path);
    assert.deepEqual([reply.status, reply.text], [200, path]);
  }
});
