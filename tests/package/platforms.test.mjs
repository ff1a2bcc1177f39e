/** The packed package runs everywhere where its documentation says that it runs. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { startRedis, startRestRedis } from "../support/servers.mjs";
import { PARTS } from "./assertions.mjs";
import { PLATFORMS, runBundle } from "./platforms.mjs";
import { makeProject } from "./project.mjs";

const redis = await startRedis();
const store = await startRestRedis({ redisUrl: redis.url });
after(async () => {
  await store.stop();
  await redis.stop();
});
const project = await makeProject();

test("the form for edge-light and unwasm takes modules that are imported", async () => {
  for (const condition of ["edge-light", "unwasm"]) {
    const options = /** @type {const} */ ({ platform: "node", format: "esm" });
    const { parts } = await runBundle(
      project,
      { url: store.url, token: store.token },
      { ...options, conditions: [condition] },
    );
    assert.deepEqual(parts, PARTS.all, condition);
  }
});

describe("the packed package runs in", { concurrency: 2 }, () => {
  for (const { name, local, missing, run } of PLATFORMS) {
    test(name, async (t) => {
      const problem = await missing?.();
      if (problem) return t.skip(problem);
      const { parts, isOneClass } = await run(project, { url: store.url, token: store.token });
      assert.deepEqual(parts, local ? PARTS.local : PARTS.all);
      assert.notEqual(isOneClass, false, "import and require give two classes");
    });
  }
});
