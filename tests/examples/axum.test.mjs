/** `examples/axum` runs, and its processes share one quota. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { admitInWindows } from "../../bench/lib/windows.mjs";
import { buildProgram } from "../../scripts/lib/command-line.mjs";
import { spawnServer, startRedis, startRestRedis } from "../support/servers.mjs";

/** The quota of its limiter. */
const QUOTA = 20;

/** @type {Awaited<ReturnType<typeof startRedis>>} */
let redis;
/** @type {Awaited<ReturnType<typeof startRestRedis>>} */
let store;
/** @type {import("../../scripts/lib/process.mjs").Server[]} */
let processes = [];
/** @type {string[]} */
let urls = [];

before(async () => {
  redis = await startRedis();
  store = await startRestRedis({ redisUrl: redis.url });
  const program = await buildProgram("omnitrade-edge-axum", "omnitrade-edge-axum");
  const env = { UPSTASH_REDIS_REST_URL: store.url, UPSTASH_REDIS_REST_TOKEN: store.token, PORT: "0" };
  const start = () => spawnServer(program, [], { env, ready: /listening on (\S+)/, name: "examples/axum" });
  processes = await Promise.all([start(), start()]);
  urls = processes.map(({ ready }) => `${ready[0][1]}/book`);
});

after(async () => {
  for (const process of processes) await process.stop();
  await store?.stop();
  await redis?.stop();
});

for (const [who, headers] of /** @type {const} */ ([
  ["with an API key", { "x-api-key": "me" }],
  ["from one address", {}],
])) {
  test(`50 requests ${who} on two processes share one quota`, async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => fetch(urls[n % 2], { headers })));
    const [served, refused] = [200, 429].map((wanted) => answers.filter(({ status }) => status === wanted));
    assert.deepEqual([served.length, refused.length], [QUOTA, 50 - QUOTA]);
    for (const answer of served) assert.equal(await answer.text(), "bids and asks\n");
    for (const answer of refused) {
      assert.match(answer.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
      const { code } = /** @type {{ code: string }} */ (await answer.json());
      assert.equal(code, "quota_exceeded");
    }
    for (const url of urls) {
      const answer = await fetch(url, { headers: { "x-api-key": `another ${who}` } });
      assert.equal(answer.status, 200, "others go on");
    }
  });
}

for (const strategy of /** @type {const} */ (["exact", "lease"])) {
  test(`two processes under load never admit more than 100 a second, ${strategy}`, async () => {
    const program = await buildProgram("omnitrade-edge-bench-tower", "limited-axum");
    const load = { quota: 100, windowMs: 1_000, connections: 16, seconds: 4 };
    const { sent, admitted, most } = await admitInWindows({ program, store, strategy, ...load });
    assert.ok(sent > 1_000, `${sent} were sent, which is no load`);
    assert.ok(most <= 100, `${most} in one second`);
    assert.ok(admitted >= 200, `${admitted} in four seconds, and half of it would be enough`);
  });
}
