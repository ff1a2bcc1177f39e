/** The Worker of this repository and the package's `./worker` are one: one suite tests both. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../scripts/lib/process.mjs";

/** @param {string} file */
const read = (file) => readFileSync(join(root, file));

test("the Worker and the package's have one WebAssembly module", () => {
  assert.ok(read("build/index_bg.wasm").equals(read("pkg/dist/gate.wasm")));
});

test("the Worker and the package's have one script", () => {
  // Only where the module lies is another place.
  const packaged = read("pkg/dist/worker.js").toString().replace('"./gate.wasm?module"', '"./index_bg.wasm"');
  const built = read("build/index.js").toString();
  // A configuration in an `edge.toml` would stand in a line before it.
  assert.ok(packaged.length > 10_000 && built.endsWith(packaged));
});
