/** A release is complete: its versions agree, and its archive can be deployed. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";
import { packWorker, plan, releaseBefore, withoutBuild } from "../../scripts/release.mjs";
import { read } from "./markdown.mjs";

const sources = {
  cargo: '[package]\nname = "x"\nversion = "1.2.3"\n\n[dependencies.y]\nversion = "9"\n',
  npm: '{ "version": "1.2.3" }',
  pkg: '{ "version": "1.2.3" }',
  changelog: "# Changelog\n\n## Unreleased\n\n- later\n\n## [1.2.3] - 2027-01-31\n\n- now\n\n## 1.2.2\n\n- before\n",
};

test("a tag releases the version of all files, with its section as notes", () => {
  assert.deepEqual(plan(sources, "v1.2.3"), { version: "1.2.3", notes: "- now", problems: [] });
});

test("versions that differ, and an absent section, stop a release", () => {
  const problems = (/** @type {Partial<import("../../scripts/release.mjs").Sources>} */ changes, tag = "v1.2.3") =>
    plan({ ...sources, ...changes }, tag).problems.length;
  assert.equal(problems({ npm: '{ "version": "1.2.4" }' }), 1);
  assert.equal(problems({ pkg: '{ "version": "1.2.4" }' }), 1);
  assert.equal(problems({}, "v1.2.4"), 1);
  assert.equal(problems({}, "1.2.3"), 1);
  assert.equal(problems({ changelog: "## Unreleased\n\n- later\n" }), 1);
  assert.equal(problems({ changelog: "## 1.2.3\n\n## 1.2.2\n\n- before\n" }), 1);
  // The version of a dependency is not the crate's version.
  assert.equal(problems({ cargo: '[package]\nname = "x"\n\n[other]\nversion = "1.2.3"\n' }), 1);
});

test("without a tag the unreleased section stands for the next one", () => {
  const changelog = "## Unreleased\n\n- later\n";
  assert.deepEqual(plan({ ...sources, changelog }), { version: "1.2.3", notes: "- later", problems: [] });
});

test("the files of this tree agree about their version", () => {
  const here = {
    cargo: read("Cargo.toml"),
    npm: read("package.json"),
    pkg: read("pkg/package.json"),
    changelog: read("CHANGELOG.md"),
  };
  assert.deepEqual(plan(here).problems, []);
});

test("a version is compared with the latest release before it", () => {
  assert.equal(releaseBefore(["v1.3.0", "v1.3.0-rc.1", "v1.2.3", "v1.2.2"], "1.3.0"), "v1.2.3");
  // The tag is made after the dry run.
  assert.equal(releaseBefore(["v1.2.3", "v1.2.2"], "1.3.0"), "v1.2.3");
  assert.equal(releaseBefore(["v0.1.0", "try"], "0.1.0"), undefined);
  assert.equal(releaseBefore([""], "0.1.0"), undefined);
});

test("the archive holds the built Worker and builds nothing", async () => {
  const tree = scratchFolder();
  await mkdir(join(tree, "build"));
  await writeFile(join(tree, "build/index.js"), "export default {};\n");
  await writeFile(join(tree, "wrangler.toml"), read("wrangler.toml"));
  for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) await writeFile(join(tree, name), read(name));
  const into = join(tree, "dist");
  const [archive, checksum] = await packWorker({ version: "1.2.3", tree, into });

  const digest = createHash("sha256")
    .update(await readFile(archive))
    .digest("hex");
  assert.equal(await readFile(checksum, "utf8"), `${digest}  omnitrade-edge-worker-1.2.3.tar.gz\n`);
  await run("tar", ["-xzf", archive], { cwd: into, output: "quiet" });
  const unpacked = join(into, "omnitrade-edge-worker-1.2.3");
  const config = await readFile(join(unpacked, "wrangler.toml"), "utf8");
  assert.equal(await readFile(join(unpacked, "build/index.js"), "utf8"), "export default {};\n");
  assert.equal(await readFile(join(unpacked, "LICENSE-MIT"), "utf8"), read("LICENSE-MIT"));
  assert.doesNotMatch(config, /npm run|node_modules/);
  assert.match(config, /^main = "build\/index.js"$/m);
  assert.match(config, /^\[vars\.EDGE\]$/m);
});

test("only the build is taken out of the configuration of the Worker", () => {
  const before = 'name = "x"\n\n[build]\ncommand = "y"\ncwd = "z"\n\n[vars.EDGE]\norigin = "o"\n';
  assert.equal(withoutBuild(before), 'name = "x"\n\n[vars.EDGE]\norigin = "o"\n');
});
