/** The scripts under `src/queue/lua` are BullMQ's. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../scripts/lib/process.mjs";
import { FOLDER, queueScripts } from "../../scripts/queue-scripts.mjs";

test("the scripts are what their source makes, and nothing else is there", async () => {
  const wanted = await queueScripts();
  assert.equal([...wanted.keys()].filter((path) => path.endsWith(".lua")).length, 6);
  for (const [path, text] of wanted) {
    assert.equal(readFileSync(join(root, path), "utf8"), text, `${path}: run node scripts/queue-scripts.mjs`);
  }
  const found = readdirSync(join(root, FOLDER), { recursive: true, withFileTypes: true });
  const files = found.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  assert.deepEqual(files.sort(), [...wanted.keys()].map((path) => join(root, path)).sort());
});

test("each script is BullMQ's but for comments and white space", async () => {
  for (const [path, text] of await queueScripts()) {
    if (!path.endsWith(".lua")) continue;
    const [, major, name] = path.match(/bullmq-(\d)\/(\w+)\.lua$/) ?? [];
    const file = { standard: "addStandardJob-9", delayed: "addDelayedJob-6", prioritized: "addPrioritizedJob-9" }[name];
    const source = readFileSync(join(root, `node_modules/bullmq-${major}/dist/esm/scripts/${file}.js`), "utf8");
    const code = source
      .slice(source.indexOf("`") + 1, source.lastIndexOf("`"))
      .split("--[[")
      .map((part, at) => (at === 0 ? part : part.slice(part.indexOf("]]") + 2)))
      .join("")
      .replaceAll(/--.*/g, "");
    const words = (/** @type {string} */ lua) => lua.split(/\s+/).filter(Boolean).join(" ");
    assert.ok(words(code).length > 10_000);
    assert.ok(words(text).endsWith(words(code)), path);
  }
});

test("BullMQ's licence lies beside its scripts", async () => {
  for (const major of [5, 6]) {
    const licence = readFileSync(join(root, FOLDER, `bullmq-${major}/LICENSE`), "utf8");
    const { version } = JSON.parse(readFileSync(join(root, `node_modules/bullmq-${major}/package.json`), "utf8"));
    assert.ok(licence.includes(`BullMQ ${version}`));
    assert.ok(licence.includes("MIT License") && licence.includes("Copyright (c) 2018 BullForce Labs AB"));
  }
});
