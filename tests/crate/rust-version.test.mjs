/**
 * The oldest Rust that the manifest names. Clippy knows which items of the standard library it has
 * (`incompatible_msrv`); `npm test -- --only rust-version` compiles with it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CRATE } from "../../scripts/lib/crate.mjs";
import { cargo, manifest } from "./kit.mjs";

/**
 * @typedef {{ id: string, name: string, version: string, rust_version: string | null }} Package
 * @typedef {{ id: string, deps: { pkg: string, dep_kinds: { kind: string | null }[] }[] }} Node
 */

test("no dependency needs a newer Rust than the crate", async () => {
  const found = await dependencies();
  for (const { name, version, rust_version } of found) {
    const isNewer = rust_version !== null && compare(rust_version, manifest.rust_version) > 0;
    assert.ok(!isNewer, `${name} ${version} needs Rust ${rust_version}, the crate says ${manifest.rust_version}`);
  }
  const names = new Set(found.map(({ name }) => name));
  // One that only a feature needs, one that only wasm32 needs, and one of a dependency.
  for (const name of ["clap", "web-sys", "serde_derive"]) assert.ok(names.has(name), `${name} was looked at`);
  assert.ok(!names.has("proptest"), "a dependent does not compile the tests");
});

test("versions are compared by their numbers", () => {
  assert.ok(compare("1.100", "1.91") > 0);
  assert.ok(compare("1.91.1", "1.91") > 0);
  assert.equal(compare("1.91.0", "1.91"), 0);
  assert.ok(compare("1.88", "1.91") < 0);
});

/**
 * What a dependent compiles, with all features and on any platform.
 * @returns {Promise<Package[]>}
 */
async function dependencies() {
  const said = await cargo(["metadata", "--quiet", "--locked", "--all-features", "--format-version", "1"]);
  /** @type {{ packages: Package[], resolve: { nodes: Node[] } }} */
  const { packages, resolve } = JSON.parse(said.slice(said.indexOf("{")));
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
  const ids = new Set([packages.find(({ name }) => name === CRATE)?.id ?? ""]);
  for (const id of ids) {
    const used = nodes.get(id)?.deps.filter(({ dep_kinds }) => dep_kinds.some(({ kind }) => kind !== "dev")) ?? [];
    for (const { pkg } of used) ids.add(pkg);
  }
  return packages.filter(({ id, name }) => ids.has(id) && name !== CRATE);
}

/**
 * @param {string} a
 * @param {string} b
 */
function compare(a, b) {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  const at = [0, 1, 2].find((n) => (left[n] ?? 0) !== (right[n] ?? 0)) ?? 0;
  return (left[at] ?? 0) - (right[at] ?? 0);
}
