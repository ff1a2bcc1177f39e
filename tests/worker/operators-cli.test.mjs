/** Commands for operators: `metrics` exports the fleet, `alert` tests the webhook, `explain`. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { root } from "../../scripts/lib/process.mjs";
import { bundleWithDataset } from "../support/counting.mjs";
import { spawnServer } from "../support/servers.mjs";
import { ask, listenOn, newClient, startGateBefore, surroundings, until } from "./kit.mjs";

const run = promisify(execFile);
const program = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug/omnitrade-edge");
const around = await surroundings();
const limited = "/__origin/status/201";
const edge = {
  limits: { few: { by: "ip", window: "60s", quota: 33 }, keyed: { by: "api-key", window: "60s", quota: 1 } },
  routes: [
    { path: limited, limits: ["few"] },
    { path: "/__origin/status/202", limits: ["keyed"] },
  ],
};

/** @type {string} */
let recording;
before(async () => {
  recording = await bundleWithDataset();
});

/**
 * The environment of a command, without what this process has of Cloudflare.
 * @param {Record<string, string>} env
 */
const environment = (env) => ({ PATH: process.env.PATH, OMNITRADE_LOG: "warn", ...env });

/**
 * What a command that fails says.
 * @param {string[]} args
 * @param {Record<string, string>} env
 */
async function failure(args, env) {
  const failed = await run(program, args, { env: environment(env) }).then(
    () => assert.fail("it succeeded"),
    (error) => error,
  );
  return { code: failed.code, stderr: failed.stderr };
}

/**
 * An SQL API over these rows: it sums them up as the query of the exporter asks.
 * @param {import("node:test").TestContext} t
 * @param {() => Promise<any[]>} points
 */
async function sqlApi(t, points) {
  const api = { url: "", queries: /** @type {string[]} */ ([]), status: 200 };
  let taken = 0;
  const server = createServer(async (from, to) => {
    const chunks = [];
    for await (const chunk of from) chunks.push(chunk);
    const query = Buffer.concat(chunks).toString();
    api.queries.push(query);
    assert.equal(from.url, "/client/v4/accounts/0123abcd/analytics_engine/sql");
    if (from.headers.authorization !== "Bearer sql-token") return to.writeHead(403).end();
    if (api.status === 0) return;
    if (api.status !== 200) return to.writeHead(api.status).end();
    const all = await points();
    // Each question is about other seconds than the ones before.
    const fresh = all.slice(taken);
    taken = all.length;
    /** @type {Map<string, Record<string, any>>} */
    const rows = new Map();
    for (const { blobs, doubles } of fresh) {
      const key = `${blobs[0]} ${blobs[1]}`;
      const row = rows.get(key) ?? { kind: blobs[0], name: blobs[1] };
      // Large numbers are texts, and every number may be sampled.
      for (let n = 1; n <= 20; n++) row[`n${n}`] = String(Number(row[`n${n}`] ?? 0) + (doubles[n - 1] ?? 0));
      Object.assign(row, { open: doubles[13], l1_bytes: doubles[14], ahead: doubles[15], behind: doubles[15] });
      rows.set(key, row);
    }
    to.writeHead(200, { "content-type": "application/json" }).end(
      JSON.stringify({ meta: [], data: [...rows.values()] }),
    );
  });
  api.url = await listenOn(server);
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return api;
}

test("the exporter shows what all isolates have counted", { timeout: 90_000 }, async (t) => {
  const settings = { ...edge, metrics: { analytics: "EDGE_METRICS", every: "10s" } };
  const gate = await startGateBefore(around, { edge: settings, script: recording, isolates: 2 }, t);
  const api = await sqlApi(t, async () => {
    const all = await Promise.all(gate.isolates.map((isolate) => ask(isolate, "/__dataset")));
    return all.flatMap(({ text }) => JSON.parse(text));
  });
  const args = ["metrics", "--listen", "127.0.0.1:0", "--every", "1s", "--lag", "1s", "--api", api.url];
  const server = await spawnServer(program, args, {
    name: "the exporter",
    ready: /^serving (http:\/\/127\.0\.0\.1:\d+\/metrics)$/,
    env: environment({ CLOUDFLARE_ACCOUNT_ID: "0123abcd", CLOUDFLARE_API_TOKEN: "sql-token" }),
  });
  t.after(() => server.stop());
  const headers = newClient();
  const statuses = [];
  for (let n = 0; n < 40; n++) statuses.push((await ask(gate.isolates[n % 2], limited, { headers })).status);
  assert.equal(statuses.filter((status) => status === 429).length, 7);
  const scrape = async () => {
    const reply = await fetch(server.ready[0][1]);
    assert.equal(reply.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    return reply.text();
  };
  const text = await until(
    async () => {
      for (const isolate of gate.isolates) await ask(isolate, "/__edge/health");
      const text = await scrape();
      return text.includes(`edge_requests_total{route="${limited}",outcome="served"} 33`) && text;
    },
    { within: 40_000, every: 250 },
  );
  assert.match(text, new RegExp(`^edge_requests_total\\{route="${limited}",outcome="refused"\\} 7$`, "m"));
  assert.match(text, /^edge_limit_decisions_total\{limit="few",decision="admitted",source="redis"\} 33$/m);
  assert.match(text, /^edge_store_call_duration_seconds_count\{op="admit"\} [1-9]\d*$/m);
  assert.match(text, new RegExp(`^edge_origin_duration_seconds_count\\{route="${limited}"\\} 33$`, "m"));
  assert.match(text, /^edge_exporter_up 1$/m);
  for (const query of api.queries) {
    assert.match(
      query,
      /^SELECT blob1 AS kind, blob2 AS name, SUM\(_sample_interval \* double1\) AS n1, .* FORMAT JSON$/,
    );
  }
  const bounds = api.queries.map(
    (query) =>
      query
        .match(/toDateTime\((\d+)\).*toDateTime\((\d+)\)/)
        ?.slice(1)
        .map(Number) ?? [],
  );
  for (const [n, [from, to]] of bounds.entries()) {
    assert.ok(from < to);
    if (n > 0) assert.equal(from, bounds[n - 1][1], "no second is left out or asked for twice");
  }
  api.status = 500;
  await until(async () => /^edge_exporter_up 0$/m.test(await scrape()));
  assert.match(await scrape(), /outcome="served"\} 33$/m);
  // An API that hangs keeps no scrape waiting.
  api.status = 0;
  const asked = api.queries.length;
  await until(() => api.queries.length > asked);
  const begun = Date.now();
  assert.match(await scrape(), /outcome="served"\} 33$/m);
  assert.ok(Date.now() - begun < 5_000, `${Date.now() - begun} ms`);
});

test("an exporter that may not read says what to do, without the token", async (t) => {
  const api = await sqlApi(t, async () => []);
  const args = ["metrics", "--listen", "127.0.0.1:0", "--lag", "1s", "--every", "1s", "--api", api.url];
  const wrong = { CLOUDFLARE_ACCOUNT_ID: "0123abcd", CLOUDFLARE_API_TOKEN: "wrong-token" };
  await new Promise((resolve) => setTimeout(resolve, 10));
  const { code, stderr } = await failure(args, wrong);
  assert.equal(code, 1);
  assert.match(stderr, /CLOUDFLARE_API_TOKEN must be a token of this account that may read "Account Analytics"/);
  assert.ok(!stderr.includes("wrong-token"));
  const odd = await failure([...args, "--dataset", "x; DROP"], wrong);
  assert.equal(odd.code, 2);
  assert.match(odd.stderr, /expected letters, digits and underscores/);
});

test("a test alert reaches the webhook, or says why not", async (t) => {
  /** @type {any[]} */
  const bodies = [];
  let status = 200;
  const server = createServer(async (from, to) => {
    const chunks = [];
    for await (const chunk of from) chunks.push(chunk);
    bodies.push(JSON.parse(Buffer.concat(chunks).toString()));
    if (status !== 0) to.writeHead(status).end();
  });
  const url = `${await listenOn(server)}/hook?key=s3cret`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { stdout } = await run(program, ["alert", "--test"], { env: environment({ EDGE_ALERT_WEBHOOK: url }) });
  assert.equal(stdout, "sent; the webhook answered 200\n");
  assert.deepEqual([bodies[0].alert, bodies[0].status], ["test", "test"]);
  for (const [answer, says] of /** @type {const} */ ([
    [500, /EDGE_ALERT_WEBHOOK: it answered 500/],
    [0, /EDGE_ALERT_WEBHOOK: it did not answer within 2 s/],
  ])) {
    status = answer;
    const { code, stderr } = await failure(["alert", "--test"], { EDGE_ALERT_WEBHOOK: url });
    assert.equal(code, 1);
    assert.match(stderr, says);
    assert.ok(!stderr.includes("s3cret"));
  }
  const plain = await failure(["alert", "--test"], { EDGE_ALERT_WEBHOOK: "http://hooks.example.com/s3cret" });
  assert.equal(plain.code, 2);
  assert.ok(plain.stderr.includes("expected an https:// address") && !plain.stderr.includes("s3cret"), plain.stderr);
});

test("explain prints the digests that the pages show", async (t) => {
  const token = "an-admin-token-0123";
  const secret = "a secret of more than sixteen characters";
  const vars = { EDGE_ADMIN_TOKEN: token, EDGE_KEY_SECRET: secret };
  const gate = await startGateBefore(around, { edge, vars }, t);
  const headers = { ...newClient(), "x-api-key": "a-key-of-somebody-0123" };
  for (let n = 0; n < 40; n++) await ask(gate, limited, { headers });
  for (let n = 0; n < 3; n++) await ask(gate, "/__origin/status/202", { headers });
  const reply = await ask(gate, "/__edge/stats", { headers: { authorization: `Bearer ${token}` } });
  const shown = new Map(JSON.parse(reply.text).refused.map((/** @type {any} */ each) => [each.limit, each.digest]));
  const env = environment({ EDGE_ADMIN_TOKEN: token, EDGE_KEY_SECRET: secret });
  const address = await run(program, ["explain", "--prefix", "ot", "--ip", headers["cf-connecting-ip"]], { env });
  assert.equal(address.stdout.trim(), shown.get("few"));
  const started = run(program, ["explain", "--prefix", "ot", "--key-stdin"], { env });
  started.child.stdin?.end(headers["x-api-key"]);
  assert.equal((await started).stdout.trim(), shown.get("keyed"));
  const { code, stderr } = await failure(["explain", "--ip", "nowhere"], { EDGE_ADMIN_TOKEN: token });
  assert.equal(code, 2);
  assert.match(stderr, /expected an IPv4 or IPv6 address/);
});
