/** The packed crate compiles for its dependents, also with the oldest versions that it allows. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { PLATFORMS } from "../../scripts/lib/crate.mjs";
import { cargo, makePackage, separate, unpack } from "./kit.mjs";
import { withOldestVersions } from "./oldest.mjs";

test("a program that depends on the packed crate can be built", async () => {
  const crate = await unpack("published");
  const folder = await makePackage("dependent", {
    "Cargo.toml": `[package]
name = "dependent"
edition = "2024"

[dependencies]
omnitrade-edge = { path = ${JSON.stringify(crate)} }
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
`,
    // The example of the README.
    "src/main.rs": await readFile(join(crate, "examples/limiter.rs"), "utf8"),
  });
  await separate(folder);
  await cargo(["build"], folder);
});

for (const { name, args } of PLATFORMS) {
  test(`${name}: it compiles with the oldest versions that its manifest allows`, async () => {
    const crate = await unpack("oldest");
    const path = join(crate, "Cargo.toml");
    await writeFile(path, withOldestVersions(await readFile(path, "utf8")));
    await separate(crate);
    await cargo(["check", "--lib", "--bins", "--all-features", ...args], crate);
  });
}

test("the oldest versions are exact, and no dependency is left out", () => {
  const packed = `[package]
version = "1.2.3"

[[example]]
name = "e"

[dependencies.a]
version = "1"
features = ["x"]

[dev-dependencies.b]
version = "2"

[build-dependencies.c]
version = "3.4"

[target.'cfg(unix)'.dependencies.d]
version = "0.5.6"

[target.'cfg(unix)'.dev-dependencies.e]
version = "7"

[features]
default = []
`;
  const exact = `[package]
version = "1.2.3"

[dependencies.a]
version = "=1.0.0"
features = ["x"]

[build-dependencies.c]
version = "=3.4.0"

[target.'cfg(unix)'.dependencies.d]
version = "=0.5.6"

[features]
default = []
`;
  assert.equal(withOldestVersions(packed), exact);
  assert.throws(() => withOldestVersions('[dependencies.a]\npath = "../a"\n'), /dependencies\.a/);
});
