/**
 * The documentation shows what `public_api.rs` uses, and nothing else, and names the features. It
 * must have been built before: `npm test -- --only doc`.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PLATFORMS, readManifest } from "../scripts/lib/crate.mjs";
import { root } from "../scripts/lib/process.mjs";

/** The features to which no item of the documentation belongs. */
const WITHOUT_ITEMS = ["axum", "cli", "default", "tokio", "tracing", "worker"];

const folders = PLATFORMS.map(({ output }) => join(output, "doc/omnitrade_edge"));

test("the documentation shows the names that the public API's test uses", () => {
  const shown = shownBy(readFileSync(join(folders[0], "all.html"), "utf8"));
  const used = importedBy(readFileSync(join(root, "tests/public_api.rs"), "utf8"));
  assert.ok(shown.includes("limiter::RateLimiter"), "the page is one that this test can read");
  assert.deepEqual(shown, used);
});

test("the documentation says which items need which feature", async () => {
  const features = Object.keys((await readManifest()).features);
  const pages = folders.flatMap((folder) => {
    const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
    const pages = names
      .filter((name) => name.endsWith(".html"))
      .map((name) => readFileSync(join(folder, name), "utf8"));
    // What other crates implement for all types has notes of theirs.
    return pages.map((page) => page.split('id="blanket-implementations"')[0]);
  });
  const named = features.filter((name) => {
    const note = new RegExp(`Available on [^.]*\\bcrate features? [^.]*<code>${name}</code>`);
    return pages.some((page) => note.test(page));
  });
  assert.deepEqual(
    named,
    features.filter((name) => !WITHOUT_ITEMS.includes(name)),
  );
});

test("the table of features names all of them", async () => {
  const lines = readFileSync(join(root, "src/lib.rs"), "utf8").split("\n");
  const rows = lines.flatMap((line) => line.match(/^\/\/! \| `([\w-]+)`(?: \([^)]+\))? \|/)?.[1] ?? []);
  const { features } = await readManifest();
  assert.deepEqual(
    rows.toSorted(),
    Object.keys(features)
      .filter((name) => name !== "default")
      .toSorted(),
  );
  const defaults = lines.flatMap((line) => line.match(/^\/\/! \| `([\w-]+)` \(default\) \|/)?.[1] ?? []);
  assert.deepEqual(defaults.toSorted(), features.default.toSorted());
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
