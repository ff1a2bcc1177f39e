/** The packed package: its manifest, its files and their sizes. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { gateConfig } from "../../scripts/gate-config.mjs";
import { packageSizes } from "../../scripts/lib/package.mjs";
import { root } from "../../scripts/lib/process.mjs";
import { makeProject } from "./project.mjs";

const project = await makeProject();
const tarball = new Uint8Array(await readFile(project.tarball));
const manifest = JSON.parse(await readFile(join(root, "pkg/package.json"), "utf8"));

test("publint finds nothing", async () => {
  const { messages } = await publint({ pack: { tarball: tarball.buffer }, strict: true });
  assert.deepEqual(
    messages.map((message) => formatMessage(message, manifest, { color: false })),
    [],
  );
});

test("attw finds nothing, where there is something to require", async () => {
  const excludeEntrypoints = ["./worker", "./edge.wasm"];
  const result = await checkPackage(createPackageFromTarballData(tarball), { excludeEntrypoints });
  assert.ok(result.types, "there are types");
  assert.deepEqual(result.problems, []);
  assert.deepEqual(Object.keys(result.entrypoints), [".", "./gate", "./clients", "./queue", "./package.json"]);
});

test("the conditions stand in their order, and types come first", () => {
  const order = ["workerd", "edge-light", "unwasm", "bun", "module-sync", "require", "default"];
  for (const entry of [".", "./gate", "./queue"]) {
    assert.deepEqual(Object.keys(manifest.exports[entry]), order);
    for (const [condition, files] of Object.entries(manifest.exports[entry])) {
      assert.deepEqual(Object.keys(files), ["types", "default"], condition);
      const end = condition === "require" ? /\.d\.cts$/ : /\.d\.ts$/;
      assert.match(files.types, end);
    }
  }
});

test("nothing has to be installed with it, and the licences are in it", () => {
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies", "scripts"]) {
    assert.equal(manifest[kind], undefined, kind);
  }
  const paths = project.packed.files.map(({ path }) => path);
  for (const file of ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "dist/LICENSE-BullMQ"])
    assert.ok(paths.includes(file), file);
  assert.deepEqual(
    paths.filter((path) => !/^(dist\/[^/]+|LICENSE-\w+|README\.md|package\.json)$/.test(path)),
    [],
  );
});

test("nothing in it tells of the machine that has built it", async () => {
  for (const { path } of project.packed.files) {
    const bytes = await readFile(join(root, "pkg", path));
    for (const folder of [homedir(), root, tmpdir()]) {
      assert.ok(!bytes.includes(folder), `${path} names ${folder}`);
    }
  }
});

test("it is at most 1.6 MB packed and 4 MB unpacked", () => {
  assert.ok(project.packed.size <= 1_600_000, `${project.packed.size} bytes packed`);
  assert.ok(project.packed.unpackedSize <= 4_000_000, `${project.packed.unpackedSize} bytes unpacked`);
});

// What it takes exactly, `npm run bench -- sdk` prints. Another compiler makes it a little larger
// or smaller.
test("the module of `.` is at most 93 kB, and its JavaScript 12 kB", async () => {
  const sizes = await packageSizes();
  assert.ok(sizes["edge.wasm"].gzipped <= 93_000, `${sizes["edge.wasm"].gzipped} bytes`);
  const javascript = sizes["index.js, minified"];
  assert.ok(javascript.gzipped <= 12_000, `${javascript.gzipped} bytes`);
});

test("the type of the gate's configuration is that of the schema", async () => {
  assert.equal(await readFile(join(root, "pkg/types/config.d.ts"), "utf8"), await gateConfig());
});
