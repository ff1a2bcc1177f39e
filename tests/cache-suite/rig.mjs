/** The suite's origin, the gate before it, and the suite's client. */
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import { join } from "node:path";
import { buildCommandLine } from "../../scripts/lib/command-line.mjs";
import { Failure, freePort, root, run, spawnServer } from "../../scripts/lib/process.mjs";
import { ensureRedisServer } from "../../scripts/lib/redis-server.mjs";
import { scratchFolder, startRedis, startRestRedis } from "../../scripts/lib/servers.mjs";
import { startGate } from "../support/gate.mjs";
import { folder } from "./suite.mjs";

/**
 * Runs the client against a gate that caches all routes by these rules, without limits.
 * @param {{ cache: object, redis: boolean, id?: string }} options `redis`: two isolates that take
 *   turns, over one Redis; `id`: that test alone
 * @returns {Promise<{ results: Record<string, unknown>, text: string }>} what the client found, and
 *   printed
 */
export async function runSuite({ cache, redis, id = "" }) {
  const port = await freePort();
  const origin = await spawnServer(process.execPath, [join(folder, "server/server.mjs")], {
    name: "the suite's origin",
    ready: /Listening on/,
    env: {
      npm_config_protocol: "http",
      npm_config_port: `${port}`,
      npm_config_pidfile: join(scratchFolder(), "server.pid"),
    },
    onLine: (line) => id !== "" && console.log(line),
  });
  const store = redis ? await startStore() : undefined;
  const gate = await startGate({
    edge: {
      origin: `http://127.0.0.1:${port}`,
      routes: [{ path: "/{*rest}", limits: [], cache }],
      redis: { timeout: "10s" },
    },
    vars: store?.vars,
    isolates: redis ? 2 : 1,
  });
  const turns = redis ? await takeTurns(gate.isolates.map(({ url }) => url)) : undefined;
  try {
    const base = turns?.url ?? gate.url;
    const client = join(root, "tests/cache-suite/client.mjs");
    const { code, text } = await run(process.execPath, ["--no-warnings", client, base, id], {
      output: "quiet",
      check: false,
    });
    if (code !== 0) throw new Failure(`the suite's client ended with ${code}\n${text}`);
    return { results: id === "" ? JSON.parse(text) : {}, text };
  } finally {
    turns?.close();
    await Promise.all([gate.stop(), origin.stop(), store?.stop()]);
  }
}

async function startStore() {
  const problem = await ensureRedisServer();
  if (problem) throw new Failure(`this needs a redis-server: ${problem}`);
  const redis = await startRedis();
  const rest = await startRestRedis({ redisUrl: redis.url, program: await buildCommandLine() });
  return {
    vars: { UPSTASH_REDIS_REST_URL: rest.url, UPSTASH_REDIS_REST_TOKEN: rest.token },
    stop: async () => {
      await rest.stop();
      await redis.stop();
    },
  };
}

/**
 * A proxy that hides several isolates behind one address and sends each request to the next of
 * them.
 * @param {string[]} urls
 */
async function takeTurns(urls) {
  const agent = new Agent({ keepAlive: true });
  let turn = 0;
  const server = createServer((from, to) => {
    const { hostname, port } = new URL(urls[turn++ % urls.length]);
    const { method, url: path, rawHeaders: headers } = from;
    const onward = request({ hostname, port, path, method, headers, setHost: false, agent });
    onward.on("error", () => to.destroy());
    onward.on("response", (reply) => reply.pipe(to.writeHead(reply.statusCode ?? 502, reply.rawHeaders)));
    from.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`,
    close: () => {
      agent.destroy();
      server.close();
      server.closeAllConnections();
    },
  };
}
