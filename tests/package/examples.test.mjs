/** The examples run with the packed package, by the commands that their pages name. */
import assert from "node:assert/strict";
import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { ensureChromium } from "../../scripts/lib/chromium.mjs";
import { root, run, spawnServer } from "../../scripts/lib/process.mjs";
import { startBrowser } from "../support/browser.mjs";
import { startRedis, startRestRedis } from "../support/servers.mjs";
import { viteArguments, wranglerArguments } from "./platforms.mjs";
import { makeProject, PACKAGE } from "./project.mjs";
import { compile } from "./types.mjs";

const project = await makeProject();

/** Starts a store, which is empty, and returns the variables that name it. */
async function secrets() {
  const redis = await startRedis();
  const store = await startRestRedis({ redisUrl: redis.url });
  after(async () => {
    await store.stop();
    await redis.stop();
  });
  return { UPSTASH_REDIS_REST_URL: store.url, UPSTASH_REDIS_REST_TOKEN: store.token };
}

/** What tells an example of no store. */
const nothing = async () => ({});

/**
 * Copies an example into the project, where it finds the installed package.
 * @param {string} name
 */
async function copy(name) {
  const folder = join(project.folder, name);
  await cp(join(root, "examples", name), folder, { recursive: true, filter: (path) => !path.includes("node_modules") });
  return folder;
}

/** @param {string} url @param {number} requests */
async function statuses(url, requests) {
  const found = [];
  for (let sent = 0; sent < requests; sent++) {
    const response = await fetch(url);
    await response.text();
    found.push(response.status);
  }
  return found;
}

const LIMITED = [200, 200, 200, 200, 200, 429];

test("the examples ask for the version that is built", async () => {
  const { version } = JSON.parse(await readFile(join(root, "pkg/package.json"), "utf8"));
  for (const name of ["worker-js", "node", "browser"]) {
    const { dependencies } = JSON.parse(await readFile(join(root, "examples", name, "package.json"), "utf8"));
    assert.deepEqual(dependencies, { [PACKAGE]: `^${version}` }, name);
  }
});

for (const [name, variables, processes] of /** @type {const} */ ([
  ["a process of its own", nothing, 1],
  ["all processes together, over Redis", secrets, 2],
])) {
  test(`examples/node limits the clients of ${name}`, async () => {
    const cwd = await copy("node");
    const options = { cwd, env: { ...(await variables()), PORT: "0" }, ready: /listening on (\S+)/ };
    const servers = await Promise.all(
      Array.from({ length: processes }, () => spawnServer("npm", ["start"], { ...options, name: "examples/node" })),
    );
    try {
      const found = [];
      for (const [n] of LIMITED.entries()) {
        found.push(...(await statuses(servers[n % processes].ready[0][1], 1)));
      }
      assert.deepEqual(found, LIMITED);
      const refused = await fetch(servers[0].ready[0][1]);
      assert.match(refused.headers.get("retry-after") ?? "", /^\d+$/);
      assert.ok(refused.headers.has("ratelimit"), "it tells its limits");
    } finally {
      for (const server of servers) await server.stop();
    }
  });
}

for (const [name, variables] of /** @type {const} */ ([
  ["an isolate", nothing],
  ["all isolates, over Redis", secrets],
])) {
  test(`examples/worker-js limits and caches for ${name}`, async () => {
    const cwd = await copy("worker-js");
    const bindings = Object.entries(await variables()).flatMap(([name, value]) => ["--var", `${name}:${value}`]);
    const server = await spawnServer("npm", ["run", "dev", "--", ...(await wranglerArguments()), ...bindings], {
      ...{ cwd, env: { WRANGLER_SEND_METRICS: "false", CI: "1" } },
      ...{ ready: /Ready on (http:\/\/\S+)/, name: "examples/worker-js" },
    });
    try {
      const { href } = new URL("/report", server.ready[0][1]);
      const first = await (await fetch(href)).json();
      assert.deepEqual(await (await fetch(href)).json(), first, "the second comes from the cache");
      assert.deepEqual(await statuses(href, 4), [200, 200, 200, 429]);
      assert.deepEqual(await statuses(new URL("/health", href).href, 3), [200, 200, 200], "its own route");
    } finally {
      await server.stop();
    }
  });
}

for (const [mode, start] of /** @type {const} */ ([
  ["in development", serveSources],
  ["built", serveBuild],
])) {
  test(`examples/browser limits its page, ${mode}`, async (t) => {
    const problem = await ensureChromium();
    if (problem) return t.skip(problem);
    const server = await start(await copy("browser"));
    const browser = await startBrowser();
    try {
      const page = await browser.open(server.ready[0][1]);
      const told = await page.run(async () => {
        const { document } = /** @type {any} */ (globalThis);
        const status = document.querySelector("[role=status]");
        const told = [];
        for (let click = 0; click < 4; click++) {
          status.textContent = "";
          document.querySelector("button").click();
          for (let tries = 0; status.textContent === "" && tries < 500; tries++) {
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
          told.push(status.textContent);
        }
        return told;
      });
      assert.deepEqual(told.slice(0, 3), ["sent, 2 left", "sent, 1 left", "sent, 0 left"]);
      assert.match(told[3], /^not sent: wait \d\.\d s$/);
    } finally {
      await browser.stop();
      await server.stop();
    }
  });
}

/** @param {string} cwd */
async function serveSources(cwd) {
  return spawnServer("npm", ["run", "dev", "--", ...(await viteArguments())], serving(cwd));
}

/** @param {string} cwd */
async function serveBuild(cwd) {
  await run("npm", ["run", "build"], { cwd, output: "quiet" });
  return spawnServer("vite", ["preview", ...(await viteArguments())], serving(cwd));
}

/** @param {string} cwd */
function serving(cwd) {
  return { cwd, env: { NO_COLOR: "1" }, ready: /Local:\s+(http:\S+)/, name: "examples/browser" };
}

test("the examples are right by their types", async () => {
  for (const [name, file, settings] of /** @type {const} */ ([
    ["worker-js", "src/index.js", "Cloudflare Workers"],
    ["node", "index.js", "Node, ES modules"],
    ["browser", "main.js", "a bundler"],
  ])) {
    await copy(name);
    assert.equal(await compile(project, { name: `types-${name}`, files: [`${name}/${file}`], settings }), "", name);
  }
});
