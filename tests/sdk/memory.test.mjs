/** The memory of JavaScript and of the module stays flat, however long the package is used. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { run } from "../../scripts/lib/process.mjs";

const program = fileURLToPath(new URL("memory/measured.mjs", import.meta.url));

/** What does not count as growth, in bytes: what the runtime itself takes now and then. */
const SLACK = 400_000;

for (const [part, what] of Object.entries({
  limit: "100,000 calls on 10,000 subjects",
  lease: "100,000 calls on leased subjects",
  limiters: "25,000 limiters and caches that are dropped",
  cache: "100,000 loads of values, some of which fail",
  redis: "25,000 commands with one signal",
})) {
  test(`memory is flat after the first two fifths of ${what}`, async () => {
    const { text } = await run(process.execPath, ["--expose-gc", program, part], { output: "quiet" });
    const held = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(held.length, 10);
    const [early, last] = [held[3], held[9]];
    assert.ok(last.wasm <= early.wasm, `wasm: ${held.map(({ wasm }) => wasm)}`);
    // The least of several, because the collector may be late.
    const heap = (/** @type {{ heap: number }[]} */ some) => Math.min(...some.map(({ heap }) => heap));
    assert.ok(heap(held.slice(7)) <= early.heap + SLACK, `heap: ${held.map(({ heap }) => heap)}`);
  });
}
