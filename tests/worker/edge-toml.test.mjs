/**
 * `edge.toml`: the configuration that is compiled into the Worker, and the variable laid over it.
 */
import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compileConfiguration } from "../../scripts/lib/edge-toml.mjs";
import { root } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";
import { startGate } from "../support/gate.mjs";
import { ask, newClient, problem, rateLimit, startSampleOrigin, until } from "./kit.mjs";

const origin = await startSampleOrigin();

/** Sixty routes, each with a limit of its own: 11 KB, and more than a variable may hold. */
const SIXTY = Array.from({ length: 60 }, (_, n) => {
  const limit = `[limits.limit-${n}]\nby = "ip"\nwindow = "60s"\nquota = ${n + 1}\n`;
  return `${limit}[[routes]]\npath = "/__origin/status/${200 + n}"\nlimits = ["limit-${n}"]\n`;
}).join("\n");

/** A copy of the built Worker, and where its `edge.toml` would lie. */
function copy() {
  const folder = scratchFolder();
  const script = join(folder, "index.js");
  cpSync(join(root, "build/index.js"), script);
  return { script, file: join(folder, "edge.toml") };
}

/**
 * A Worker with this `edge.toml` compiled in.
 * @param {import("node:test").TestContext} t
 * @param {string} toml
 * @param {unknown} [edge] the variable
 */
async function gateWith(t, toml, edge) {
  const { script, file } = copy();
  writeFileSync(file, toml);
  await compileConfiguration({ script, file });
  const gate = await startGate({ script, edge });
  t.after(() => gate.stop());
  return gate;
}

test("60 routes that no variable could hold are limited each by its own", async (t) => {
  assert.ok(SIXTY.length > 5 * 1024);
  const gate = await gateWith(t, SIXTY, { origin: origin.url });
  for (const n of [0, 7, 59]) {
    const reply = await ask(gate, `/__origin/status/${200 + n}`, { headers: newClient() });
    assert.equal(reply.status, 200 + n);
    assert.equal(rateLimit(reply)[`limit-${n}`]?.q, n + 1);
  }
  const client = { headers: newClient() };
  assert.equal((await ask(gate, "/__origin/status/200", client)).status, 200);
  assert.equal((await ask(gate, "/__origin/status/200", client)).status, 429, "the second within a quota of 1");
  assert.deepEqual(gate.logs(), []);
});

test("without a variable edge.toml is the whole configuration", async (t) => {
  const gate = await gateWith(t, `origin = "${origin.url}"\n${SIXTY}`);
  assert.equal(rateLimit(await ask(gate, "/__origin/status/201"))["limit-1"]?.q, 2);
});

test("tables are merged, and everything else is replaced", async (t) => {
  const gate = await gateWith(t, `origin = "https://nobody.invalid"\ndefault_limits = ["limit-5"]\n${SIXTY}`, {
    origin: origin.url,
    limits: { "limit-3": { quota: 77 } },
    default_limits: ["limit-3"],
  });
  assert.equal(rateLimit(await ask(gate, "/__origin/status/203"))["limit-3"]?.q, 77);
  assert.deepEqual(Object.keys(rateLimit(await ask(gate, "/__origin/echo"))), ["limit-3"]);
});

test("what is wrong with what results is in the log", async (t) => {
  const gate = await gateWith(t, SIXTY, { origin: origin.url, limits: { "limit-3": { window: "1w" } } });
  problem(await ask(gate, "/"), 500);
  const said = /configuration: limits\.limit-3\.window: expected a duration .*"3650d"/;
  await until(() => gate.logs().some((line) => said.test(line)));
});

test("a script follows edge.toml, and is written only if that has changed", async () => {
  const { script, file } = copy();
  const built = readFileSync(script, "utf8");
  assert.ok(!built.startsWith("globalThis.OMNITRADE_EDGE_CONFIG"), "this repository has no edge.toml");
  const long = new Date(0);
  const written = async () => {
    utimesSync(script, long, long);
    await compileConfiguration({ script, file });
    return statSync(script).mtimeMs > 0;
  };
  assert.equal(await written(), false, "there is no file");
  writeFileSync(file, 'origin = "https://a.example/\\u2028\'"\n');
  assert.equal(await written(), true);
  const [line, ...rest] = readFileSync(script, "utf8").split("\n");
  const { OMNITRADE_EDGE_CONFIG } = new Function("globalThis", `${line}; return globalThis`)({});
  assert.deepEqual(JSON.parse(OMNITRADE_EDGE_CONFIG), { origin: "https://a.example/\u2028'" });
  assert.equal(rest.join("\n"), built);
  assert.equal(await written(), false, "nothing has changed");
  writeFileSync(file, 'origin = "https://b.example"\n');
  assert.equal(await written(), true);
  assert.equal(readFileSync(script, "utf8").split("\n").length, built.split("\n").length + 1, "one line, not two");
  rmSync(file);
  assert.equal(await written(), true);
  assert.equal(readFileSync(script, "utf8"), built);
});

test("an edge.toml that is no TOML, or has the prefix, fails the build", async () => {
  const { script, file } = copy();
  for (const [text, message] of /** @type {const} */ ([
    ["= =", /^edge\.toml: expected TOML: /],
    ['[vars.EDGE]\norigin = "https://a.example"', /^edge\.toml: the fields stand there without `vars\.EDGE\.`/],
  ])) {
    writeFileSync(file, text);
    await assert.rejects(compileConfiguration({ script, file }), { message });
  }
});
