/** The examples in Rust run, by the commands that their pages name. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { CRATE } from "../../scripts/lib/crate.mjs";
import { target } from "../../scripts/lib/modules.mjs";
import { root } from "../../scripts/lib/process.mjs";
import { spawnServer, startRedis, startRestRedis } from "../support/servers.mjs";
import { cargo } from "./kit.mjs";

test("50 requests on two processes of examples/axum share one quota of 20", async () => {
  const page = await readFile(join(root, "examples/axum/README.md"), "utf8");
  assert.match(page, /^cargo run$/m);
  // What `cargo run` does, with the features of the command line, so that both share their dependencies.
  const packages = ["--package", CRATE, "--package", "omnitrade-edge-axum"];
  await cargo(["build", ...packages, "--all-features", "--bins"]);
  const redis = await startRedis();
  const store = await startRestRedis({ redisUrl: redis.url });
  const env = { UPSTASH_REDIS_REST_URL: store.url, UPSTASH_REDIS_REST_TOKEN: store.token, PORT: "0" };
  const servers = await Promise.all(
    [1, 2].map(() =>
      spawnServer(join(target, "debug/omnitrade-edge-axum"), [], {
        ...{ env, ready: /listening on (\S+)/, name: "examples/axum" },
      }),
    ),
  );
  try {
    const urls = servers.map((server) => `${server.ready[0][1]}/book`);
    for (const headers of [{ "x-api-key": "me" }, {}]) {
      const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => fetch(urls[n % 2], { headers })));
      const refused = answers.filter(({ status }) => status === 429);
      assert.equal(answers.filter(({ status }) => status === 200).length, 20, JSON.stringify(headers));
      assert.equal(refused.length, 30);
      for (const answer of refused) {
        assert.match(answer.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
        assert.equal((await answer.json()).code, "quota_exceeded");
      }
    }
    const ours = await Promise.all(urls.map((url) => fetch(url, { headers: { "x-api-key": "another" } })));
    assert.deepEqual(
      ours.map(({ status }) => status),
      [200, 200],
      "both go on to serve others",
    );
  } finally {
    for (const server of servers) await server.stop();
    await store.stop();
    await redis.stop();
  }
});
