/** Any one of the crate's features suffices, or none, on every platform. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CRATE, PLATFORMS } from "../../scripts/lib/crate.mjs";
import { cargo, manifest } from "./kit.mjs";

/** What people choose, and Cargo's arguments for it. */
const choices = [
  { choice: "no feature", features: ["--no-default-features"] },
  ...Object.keys(manifest.features).map((name) => ({
    choice: `"${name}" alone`,
    features: ["--no-default-features", "--features", name],
  })),
  { choice: "all features", features: ["--all-features"] },
];

for (const { name, args } of PLATFORMS) {
  for (const { choice, features } of choices) {
    test(`${name}, ${choice}: it compiles without a warning`, async () => {
      // Without tests and examples: their dependencies switch on what a dependent may not have.
      // Cargo repeats the warnings of what it need not compile again.
      const said = await cargo(["check", "--package", CRATE, "--lib", "--bins", ...features, ...args]);
      assert.doesNotMatch(said, /^(warning|error)/m);
    });
  }
}
