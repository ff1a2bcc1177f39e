/** The template of a gate without Rust runs with the packed package, as its page says. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import { unstable_readConfig } from "wrangler";
import { capture, root, run, spawnServer } from "../../scripts/lib/process.mjs";
import { commandLine } from "../../scripts/lib/servers.mjs";
import { startRedis, startRestRedis } from "../support/servers.mjs";
import { wranglerArguments } from "./platforms.mjs";
import { makeProject, PACKAGE } from "./project.mjs";

const template = join(root, "templates/gate");
const read = async (/** @type {string} */ name) => readFile(join(template, name), "utf8");

const server = createServer((request, response) => {
  response.writeHead(200, { "content-type": "text/plain" }).end(`${request.method} ${request.url}`);
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => {
  server.close();
  server.closeAllConnections();
});
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());

/** Copies the template, and installs the packed package there in place of the published one. */
async function install() {
  const { folder, tarball } = await makeProject();
  const copy = join(folder, "gate");
  await cp(template, copy, { recursive: true, filter: (path) => !path.includes("node_modules") });
  const manifest = JSON.parse(await read("package.json"));
  manifest.dependencies[PACKAGE] = `file:${tarball}`;
  // The one of this repository, because a test needs no network.
  delete manifest.devDependencies;
  await writeFile(join(copy, "package.json"), JSON.stringify(manifest));
  await run("npm", ["install", "--no-audit", "--no-fund", "--offline"], { cwd: copy, output: "quiet" });
  await mkdir(join(copy, "node_modules/.bin"), { recursive: true });
  for (const name of ["wrangler", ".bin/wrangler"]) {
    await symlink(join(root, "node_modules", name), join(copy, "node_modules", name));
  }
  return copy;
}

/**
 * Runs the template's `npm run dev`, and stops it after the test.
 * @param {import("node:test").TestContext} t
 * @param {string} cwd
 */
async function startDevelopment(t, cwd) {
  const args = ["--var", `EDGE_ORIGIN:http://127.0.0.1:${port}`];
  const running = await spawnServer("npm", ["run", "dev", "--", ...(await wranglerArguments()), ...args], {
    ...{ cwd, env: { WRANGLER_SEND_METRICS: "false", CI: "1" } },
    ...{ ready: /Ready on (http:\/\/\S+)/, name: "templates/gate" },
  });
  t.after(() => running.stop());
  return (/** @type {string} */ path, /** @type {RequestInit} */ init = {}) =>
    fetch(new URL(path, running.ready[0][1]), init);
}

const copy = await install();

test("the template limits and caches, in local mode", async (t) => {
  const ask = await startDevelopment(t, copy);
  const first = await ask("/anything?a=1");
  assert.deepEqual([first.status, await first.text()], [200, "GET /anything?a=1"]);
  assert.match(first.headers.get("ratelimit-policy") ?? "", /^"per-ip";q=300;w=60$/);
  assert.equal(first.headers.get("x-edge-limiter"), "local");
  await (await ask("/cached/any")).text();
  const hit = await ask("/cached/any");
  assert.equal(await hit.text(), "GET /cached/any");
  assert.match(hit.headers.get("cache-status") ?? "", /^omnitrade-edge; hit/);
  assert.deepEqual(await (await ask("/__edge/health")).json(), { status: "ok", store: "none" });
  // There is no such page without the secret.
  assert.equal((await ask("/__edge/purge", { method: "POST" })).status, 404);
});

test("the template counts in a Redis that its secrets name", async (t) => {
  const redis = await startRedis();
  const rest = await startRestRedis({ redisUrl: redis.url });
  t.after(async () => {
    await rest.stop();
    await redis.stop();
  });
  // The example file is what a user fills in.
  const example = await read(".dev.vars.example");
  const values = [rest.url, rest.token, "of at least 16 characters", "t0ken"];
  const secrets = example.replaceAll(/^# ([A-Z_]+)=".*"$/gm, (_, name) => `${name}="${values.shift()}"`);
  assert.deepEqual(values, []);
  await writeFile(join(copy, ".dev.vars"), secrets);
  const ask = await startDevelopment(t, copy);
  // The first call of an isolate may be too slow for the deadline of a call.
  let limiter = "";
  for (let n = 0; n < 100 && limiter !== "redis"; n++) {
    const response = await ask("/anything");
    await response.text();
    limiter = response.headers.get("x-edge-limiter") ?? "";
    if (limiter === "lease") limiter = "redis";
    if (limiter !== "redis") await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(limiter, "redis");
  const headers = { authorization: "Bearer t0ken" };
  const purge = await ask("/__edge/purge", { method: "POST", headers, body: '{"tags":["a"]}' });
  assert.equal(purge.status, 200);
});

test("the template is what the deploy button and wrangler take", async () => {
  // Each uncommented line of this file would become a secret that a deployment requires.
  const lines = (await read(".dev.vars.example")).split("\n");
  assert.deepEqual(
    lines.filter((line) => line !== "" && !line.startsWith("#")),
    [],
  );
  const manifest = JSON.parse(await read("package.json"));
  const { version } = JSON.parse(await readFile(join(root, "pkg/package.json"), "utf8"));
  assert.equal(manifest.dependencies[PACKAGE], `^${version}`);
  const described = Object.entries(manifest.cloudflare.bindings);
  const worker = await readFile(join(root, "pkg/src/worker.js"), "utf8");
  const [bindings] = worker.match(/const BINDINGS = \[[\s\S]+?\];/) ?? [""];
  const names = [...bindings.matchAll(/"([A-Z_]+)"/g)].map(([, name]) => name);
  assert.deepEqual(described.map(([name]) => name).sort(), names.sort());
  for (const [name, { description }] of /** @type {[string, { description: string }][]} */ (described)) {
    assert.ok(description.length > 10, name);
  }
  const own = unstable_readConfig({ config: join(template, "wrangler.jsonc") }, { hideWarnings: true });
  const date = unstable_readConfig({ config: join(root, "wrangler.toml") }, { hideWarnings: true }).compatibility_date;
  assert.equal(own.compatibility_date, date);
  const said = await capture(commandLine, ["check", join(template, "wrangler.jsonc")]);
  assert.match(String(said), /^origin .*\n[\s\S]*per-ip: 300 per 1m/m);
});
