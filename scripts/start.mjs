/** `npm start`: the gate on this machine, in front of a sample API, with a Redis of its own. */
import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { buildWorker } from "./build.mjs";
import { bootstrap } from "./lib/bootstrap.mjs";
import { buildCommandLine } from "./lib/command-line.mjs";
import { Failure, freePort, handleSignals, main, root, spawnServer } from "./lib/process.mjs";
import { ensureRedisServer } from "./lib/redis-server.mjs";
import { scratchFolder, startBots, startRedis, startRestRedis, startSampleApi } from "./lib/servers.mjs";
import { ensureBindgen } from "./lib/toolchain.mjs";

const USAGE = `usage: npm start -- [--port N] [--no-redis]

  --port N      where the gate listens; without it 8787, or the next free port
  --no-redis    local mode: the limits and the cache of one isolate, and no store`;

await main(async () => {
  const { port, noRedis } = options();
  await bootstrap();
  const whyNoRedis = noRedis ? "as asked for" : await ensureRedisServer();

  // Cargo builds both at once, except that it builds the tool for the first and the second one
  // after another.
  await Promise.all([buildWorker(), whyNoRedis ? undefined : ensureBindgen().then(() => buildCommandLine())]);

  const api = await startSampleApi();
  const store = whyNoRedis ? undefined : await startStore();
  const bots = store && (await startBots({ redisUrl: store.redis.url, apiUrl: api.url, onLine: tellOfBots }));
  const [adminToken, keySecret] = [randomUUID(), randomUUID()];
  const at = { port: port ?? (await freePort(8787)), origin: api.url, store };
  const gate = await startGate({ ...at, adminToken, keySecret });

  const { url } = gate;
  const orderBook = `${url}/api/v1/market-data/orderbook?symbol=bitcoin`;
  const reset = `-H 'content-type: application/json' -d '{"email":"a@example.com"}' ${url}/api/auth/password-reset-request`;
  const doctor = store
    ? `    export UPSTASH_REDIS_REST_URL=${store.rest.url} UPSTASH_REDIS_REST_TOKEN=${store.rest.token}
    export REDIS_URL=${store.redis.url} EDGE_ADMIN_TOKEN=${adminToken}
    cargo run --quiet --features cli -- doctor --worker ${url} --config ${relative("", gate.configuration)}
`
    : "";
  console.log(`
  the gate     ${url}
  sample API   ${api.url}
  store        ${store ? `${store.redis.url}, over REST on ${store.rest.url}` : `none, local mode: ${whyNoRedis}`}
  admin token  ${adminToken}
  key secret   ${keySecret}
  its page     ${url}/__edge/ (it asks for the admin token)

  Try, in another terminal:

    curl -i "${orderBook}"
    for i in 1 2 3 4; do curl -i ${reset}; done
    TOKEN=$(curl -s "${api.url}/__origin/token?user=alice" | sed 's/.*:"//; s/".*//')
    curl -i -H "authorization: Bearer $TOKEN" ${url}/api/portfolio
    curl ${url}/__edge/health${
      store ? `\n    curl -i -X POST ${url}/api/bots/7/jobs -d '{"side":"buy"}'   # and see the bots' line below` : ""
    }
    curl -H "authorization: Bearer ${adminToken}" ${url}/__edge/metrics
${doctor}
  Ctrl-C stops all of it.
`);

  const waiting = setInterval(() => {}, 1 << 30);
  const ended = await Promise.race([
    new Promise((resolve) => handleSignals(() => resolve(undefined))),
    gate.exited.then((how) => `wrangler dev ended (${how})\n${gate.output()}`),
    api.exited.then((how) => `the sample API ended (${how})`),
    ...(store ? [store.rest.exited.then((how) => `omnitrade-edge serve-redis ended (${how})`)] : []),
    ...(bots ? [bots.exited.then((how) => `the bots ended (${how})`)] : []),
  ]);
  await bots?.stop();
  await Promise.all([gate, api, store].map((server) => server?.stop()));
  clearInterval(waiting);
  if (ended) throw new Failure(ended);
});

/** @param {string} line of the log of the trading bots, which run the jobs of the gate's route */
function tellOfBots(line) {
  console.log(`[bots] ${line}`);
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: "string" },
        "no-redis": { type: "boolean", default: false },
        help: { type: "boolean" },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    const port = values.port === undefined ? undefined : Number(values.port);
    if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
      throw new Error(`--port takes a number from 1 to 65535, not "${values.port}"`);
    }
    return { port, noRedis: values["no-redis"] };
  } catch (error) {
    throw new Failure(`${/** @type {Error} */ (error).message}\n\n${USAGE}`);
  }
}

async function startStore() {
  const redis = await startRedis();
  const rest = await startRestRedis({ redisUrl: redis.url });
  const stop = async () => {
    await rest.stop();
    await redis.stop();
  };
  return { redis, rest, stop };
}

/**
 * Starts `wrangler dev` on a copy of the configuration in which the origin is the sample API.
 * @param {object} options
 * @param {number} options.port
 * @param {string} options.origin
 * @param {{ rest: { url: string, token: string } }} [options.store]
 * @param {string} options.adminToken
 * @param {string} options.keySecret
 */
async function startGate({ port, origin, store, adminToken, keySecret }) {
  // Imported here, because it exists only after `bootstrap`.
  const { readWranglerConfig } = await import("./lib/wrangler.mjs");
  const { shippedEdge } = await import("./lib/shipped.mjs");
  const { name, main, compatibility_date, compatibility_flags, vars } = readWranglerConfig();
  mkdirSync(join(root, ".wrangler"), { recursive: true });
  const folder = scratchFolder(join(root, ".wrangler"));
  const configuration = join(folder, "wrangler.json");
  writeFileSync(
    configuration,
    JSON.stringify({
      name,
      main,
      compatibility_date,
      compatibility_flags,
      // What edge.toml says is in the Worker; this lies over it.
      vars: { ...vars, EDGE: shippedEdge(origin) },
    }),
  );
  const secrets = {
    EDGE_ADMIN_TOKEN: adminToken,
    EDGE_KEY_SECRET: keySecret,
    ...(store && { UPSTASH_REDIS_REST_URL: store.rest.url, UPSTASH_REDIS_REST_TOKEN: store.rest.token }),
  };
  writeFileSync(
    join(folder, ".dev.vars"),
    Object.entries(secrets)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(""),
  );

  // Its output before it is ready matters only if it never becomes ready.
  let show = false;
  const server = await spawnServer(
    join(root, "node_modules/.bin/wrangler"),
    [
      ...["dev", "--config", configuration],
      ...["--ip", "127.0.0.1", "--port", `${port}`, "--show-interactive-dev-session=false"],
    ],
    {
      name: "wrangler dev",
      ready: /Ready on (http:\S+)/,
      timeout: 60_000,
      onLine: (line) => show && console.log(line),
      env: {
        CLOUDFLARE_CF_FETCH_ENABLED: "false",
        WRANGLER_SEND_METRICS: "false",
        WRANGLER_WRITE_LOGS: "false",
      },
    },
  );
  const url = server.ready[0][1];
  const health = await fetch(`${url}/__edge/health`);
  if (!health.ok) throw new Failure(`the gate answers ${health.status}\n${server.output()}`);
  show = true;
  const stop = () => {
    show = false;
    return server.stop();
  };
  return { ...server, url, configuration, stop };
}
