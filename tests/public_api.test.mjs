/**
 * The documentation shows what `public_api.rs` uses, and nothing else. `cargo doc` must have run
 * before.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { root } from "../scripts/lib/process.mjs";

test("the documentation shows the names that the public API's test uses", () => {
  const folder = resolve(root, process.env.CARGO_TARGET_DIR ?? "target", "doc/omnitrade_edge");
  const shown = shownBy(readFileSync(join(folder, "all.html"), "utf8"));
  const used = importedBy(readFileSync(join(root, "tests/public_api.rs"), "utf8"));
  assert.ok(shown.includes("limiter::RateLimiter"), "the page is one that this test can read");
  assert.deepEqual(shown, used);
});

/**
 * The paths on rustdoc's page of all items.
 * @param {string} html
 */
function shownBy(html) {
  const items = html.matchAll(
    /<a href="[\w/]*\b(?:struct|enum|trait|fn|macro|type|constant|static|union)\.[^"]*">([^<]*)</g,
  );
  return [...items].map(([, path]) => path).sort();
}

/**
 * The paths that a file imports from the crate, each as the crate calls it.
 * @param {string} rust
 */
function importedBy(rust) {
  const imports = rust.matchAll(/^use omnitrade_edge::(\w+)::(?:\{([^}]*)\}|(\w+));/gm);
  const paths = [...imports].flatMap(([, module, group, single]) => {
    const names = (group ?? single).split(",").map((name) => name.trim().split(" ")[0]);
    return names.filter(Boolean).map((name) => `${module}::${name}`);
  });
  return paths.sort();
}
