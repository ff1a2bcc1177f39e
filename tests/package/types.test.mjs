/** The declarations of the packed package, by the TypeScript compiler. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { root } from "../../scripts/lib/process.mjs";
import { makeProject, PACKAGE } from "./project.mjs";
import { compile } from "./types.mjs";

const project = await makeProject();
const everyExport = await readFile(join(root, "tests/package/types/every-export.ts"), "utf8");
const cloudflare = await readFile(join(root, "tests/package/types/cloudflare.ts"), "utf8");
await project.write("every-export.ts", everyExport);
await project.write("every-export.cts", everyExport);
await project.write("cloudflare.ts", cloudflare);

describe("tsc --strict takes the declarations in a project for", () => {
  for (const [settings, files] of /** @type {const} */ ([
    ["Node, ES modules", ["every-export.ts"]],
    ["Node, CommonJS", ["every-export.cts"]],
    ["a bundler", ["every-export.ts"]],
    ["Cloudflare Workers", ["every-export.ts", "cloudflare.ts"]],
  ])) {
    test(settings, async () => {
      assert.equal(await compile(project, { name: settings.replaceAll(/\W/g, "-"), files: [...files], settings }), "");
    });
  }
});

test("the compiled file uses every export", async () => {
  const exported = new Set();
  for (const name of ["index", "gate", "clients", "queue"]) {
    const text = await readFile(join(root, "pkg/dist", `${name}.d.ts`), "utf8");
    for (const [, found] of text.matchAll(/^export (?:declare )?(?:class|function|interface|type) (\w+)/gm)) {
      exported.add(found);
    }
  }
  assert.ok(exported.size > 30, `only ${exported.size} exports were found`);
  const imported = [...everyExport.matchAll(/^import \{([^}]+)\}/gm)].flatMap(([, list]) => list.split(","));
  const names = new Set(imported.map((name) => name.trim().replace(/^type /, "")));
  assert.deepEqual(
    [...exported].filter((name) => !names.has(name)),
    [],
  );
});

test("what is exported at run time is what is declared", async () => {
  for (const [entry, file] of [
    [PACKAGE, "index"],
    [`${PACKAGE}/gate`, "gate"],
    [`${PACKAGE}/clients`, "clients"],
    [`${PACKAGE}/queue`, "queue"],
  ]) {
    const text = await readFile(join(root, "pkg/dist", `${file}.d.ts`), "utf8");
    const declared = [...text.matchAll(/^export declare (?:class|function|const) (\w+)/gm)].map(([, name]) => name);
    const folder = join(project.folder, "node_modules", PACKAGE, "dist");
    const exported = Object.keys(await import(join(folder, `${file}.js`)));
    assert.deepEqual(exported.toSorted(), declared.toSorted(), entry);
  }
});

test("every file of the declarations is there for import and for require", async () => {
  const files = await readdir(join(root, "pkg/dist"));
  const names = (/** @type {string} */ end) =>
    files.filter((file) => file.endsWith(end)).map((file) => file.slice(0, -end.length));
  assert.deepEqual(
    names(".d.ts")
      .filter((name) => name !== "worker")
      .toSorted(),
    names(".d.cts").toSorted(),
  );
});
