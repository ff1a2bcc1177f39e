/** `createGate` in a Worker, before an origin in the same program. */
import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { after, test } from "node:test";
import { root } from "../../scripts/lib/process.mjs";
import { buildCreateGate } from "../support/create-gate.mjs";
import { startGate } from "../support/gate.mjs";
import { cacheStatus } from "./kit.mjs";

const folder = await buildCreateGate("in-process");
const gate = await startGate({ script: relative(root, join(folder, "index.js")) });
after(() => gate.stop());

/** @param {string} path @param {RequestInit & { duplex?: "half" }} [init] */
const ask = (path, init) => gate.fetch(path, { ...init, headers: { "cf-connecting-ip": "192.0.2.1" } });

for (const [kind, text] of [
  ["text", "GET /cached/text"],
  ["stream", Array.from({ length: 10 }, (_, n) => `chunk ${n}\n`).join("")],
]) {
  for (const query of ["", "?alone"]) {
    test(`an answer of the program is cached: ${kind}${query}`, async () => {
      const path = `/cached/${query ? "alone-" : ""}${kind}${query}`;
      const expected = kind === "text" ? `GET ${path.split("?")[0]}` : text;
      const miss = await ask(path);
      assert.equal(await miss.text(), expected);
      assert.match(String(cacheStatus(miss)), /^fwd=uri-miss; stored/);
      const hit = await ask(path);
      assert.equal(await hit.text(), expected);
      assert.match(String(cacheStatus(hit)), /^hit;/);
      assert.equal(hit.headers.get("x-answered"), miss.headers.get("x-answered"));
    });
  }
}

test("an answer that is not cached is handed on", async () => {
  for (const path of ["/text", "/stream"]) {
    const answers = [await ask(path), await ask(path)];
    const [one, two] = await Promise.all(answers.map((answer) => answer.text()));
    assert.ok(one.length > 0 && one === two);
    assert.notEqual(answers[0].headers.get("x-answered"), answers[1].headers.get("x-answered"));
  }
});

test("an upload reaches the program", async () => {
  const text = "x".repeat(300_000);
  assert.equal(await (await ask("/upload", { method: "POST", body: text })).text(), text);
  const body = new Blob([text]).stream();
  assert.equal(await (await ask("/upload", { method: "PUT", body, duplex: "half" })).text(), text);
});

test("limits alone are asked, and all is counted", async () => {
  const admitted = await ask("/admit");
  assert.match(String(admitted.headers.get("ratelimit")), /^"ip";r=\d+;t=\d+$/);
  const results = /** @type {any} */ (await admitted.json());
  assert.equal(results[0].success, true);
  const metrics = await (await ask("/metrics")).text();
  assert.match(metrics, /^edge_cache_requests_total\{route="\/cached\/\{n\}",result="hit",tier="l1"\} 4$/m);
  assert.deepEqual(gate.logs(), []);
});
