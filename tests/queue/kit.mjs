/**
 * What the tests of jobs share: a Redis with REST in front of it, BullMQ of both majors, and ways
 * to add a job as a program outside of BullMQ does.
 */
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import * as bullmq5 from "bullmq-5";
import * as bullmq6 from "bullmq-6";
import { Redis as Ioredis } from "ioredis-5";
import { commandLine, startRedis, startRestRedis } from "../../scripts/lib/servers.mjs";
import { Queue, Redis } from "../support/package.mjs";

/**
 * BullMQ by major version. Their types differ in what the tests do not use.
 * @type {Record<5 | 6, any>}
 */
export const bullmq = { 5: bullmq5, 6: bullmq6 };

/** @typedef {{ name: string, data?: unknown, opts?: Record<string, unknown> }} NewJob */
/** @typedef {{ queue: string, prefix?: string, bullmq?: "any" | 5 | 6 }} Place */
/** @typedef {{ url: string, token: string }} Rest */
/**
 * Adds jobs, one by one or all at once, and returns their ids.
 * @typedef {object} Way
 * @property {string} name
 * @property {(store: Rest, place: Place, job: NewJob) => Promise<string>} add
 * @property {(store: Rest, place: Place, jobs: NewJob[]) => Promise<string[]>} addBulk
 */

/** @type {Way[]} */
export const ways = [
  {
    name: "the command line",
    add: async (store, place, { name, data = {}, opts = {} }) => {
      const args = ["add", place.queue, name, JSON.stringify(data), "--options", JSON.stringify(opts)];
      return (await command(store, place, args)).trim();
    },
    addBulk: async (store, place, jobs) => {
      const lines = jobs.map((job) => `${JSON.stringify(job)}\n`).join("");
      return (await command(store, place, ["add", place.queue, "--jobs", "-"], lines)).trim().split("\n");
    },
  },
  {
    name: "npm",
    add: async (store, place, { name, data, opts }) => {
      const queue = packagedQueue(store, place);
      return (await queue.add(name, data, opts)).id;
    },
    addBulk: async (store, place, jobs) => (await packagedQueue(store, place).addBulk(jobs)).map(({ id }) => id),
  },
];

/**
 * The queue of the built npm package.
 * @param {Rest} store
 * @param {Place} place
 */
function packagedQueue({ url, token }, { queue, prefix, bullmq }) {
  const redis = new Redis({ url, token, timeout: "10s" });
  return new Queue(queue, { redis, prefix, bullmq });
}

/**
 * Runs `omnitrade-edge queue …` and returns what it prints. It fails as the program does.
 * @param {Rest} store
 * @param {Place} place
 * @param {string[]} args
 * @param {string} [input]
 * @returns {Promise<string>}
 */
export async function command(store, { prefix = "bull", bullmq = "any" }, args, input = "") {
  const child = spawn(commandLine, ["queue", ...args, "--prefix", prefix, "--bullmq", `${bullmq}`], {
    env: { ...process.env, UPSTASH_REDIS_REST_URL: store.url, UPSTASH_REDIS_REST_TOKEN: store.token },
  });
  // It may have ended without reading its input.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  let [out, err] = ["", ""];
  child.stdout.on("data", (text) => {
    out += text;
  });
  child.stderr.on("data", (text) => {
    err += text;
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  if (code !== 0) throw Object.assign(new Error(`exit code ${code}: ${err}`), { code, out, err });
  return out;
}

/** A Redis of its own, REST in front of it, and a connection. */
export async function startStore() {
  const server = await startRedis();
  const rest = await startRestRedis({ redisUrl: server.url });
  // BullMQ does not close connections that it was given.
  /** @type {Ioredis[]} */
  const open = [];
  const connection = () => {
    const redis = new Ioredis(server.url, { maxRetriesPerRequest: null });
    open.push(redis);
    return redis;
  };
  const redis = connection();
  return {
    server,
    rest,
    redis,
    url: rest.url,
    token: rest.token,
    connection,
    stop: async () => {
      for (const redis of open) redis.disconnect();
      await rest.stop();
      await server.stop();
    },
  };
}

/** @typedef {Awaited<ReturnType<typeof startStore>>} TestStore */

/**
 * All that Redis holds under a prefix, with the prefix left out. The ids of a stream's entries are
 * the server's clock, so only their order counts.
 * @param {Ioredis} redis
 * @param {string} prefix
 */
export async function contents(redis, prefix) {
  /** @type {Record<string, unknown>} */
  const all = {};
  for (const key of (await redis.keys(`${prefix}:*`)).sort()) {
    const name = key.slice(prefix.length);
    const plain = (/** @type {string} */ text) => text.replaceAll(`${prefix}:`, "PREFIX:");
    const type = await redis.type(key);
    if (type === "string") {
      all[name] = { text: await redis.get(key), expires: (await redis.pttl(key)) > 0 };
    } else if (type === "hash") {
      const fields = Object.entries(await redis.hgetall(key)).map(([field, value]) => {
        const isOptions = field === "opts" && value.startsWith("{");
        return [field, isOptions ? JSON.parse(value) : plain(value)];
      });
      all[name] = { hash: Object.fromEntries(fields) };
    } else if (type === "list") {
      all[name] = { list: await redis.lrange(key, 0, -1) };
    } else if (type === "zset") {
      all[name] = { sorted: await redis.zrange(key, 0, -1, "WITHSCORES") };
    } else if (type === "stream") {
      all[name] = { stream: (await redis.xrange(key, "-", "+")).map(([, fields]) => fields) };
    } else {
      throw new Error(`${key} is of the type ${type}, which BullMQ does not use for jobs`);
    }
  }
  return all;
}

/**
 * Waits for something to be true.
 * @param {() => boolean | Promise<boolean>} holds
 * @param {() => string} what
 */
export async function until(holds, what = () => "it did not come") {
  const end = performance.now() + 20_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(what());
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * What happens to which request, counted from 1.
 * @typedef {object} Faults
 * @property {(number: number) => boolean} [drop]
 * @property {(number: number) => boolean | Promise<boolean>} [lose]
 */

/**
 * A store in front of another, which loses answers after the work is done, or requests before it.
 * @param {Rest} store
 * @param {Faults} faults
 */
export async function losingStore(store, { drop = () => false, lose = () => false }) {
  let [requests, lost] = [0, 0];
  const server = createServer(async (request, response) => {
    const number = ++requests;
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    if (drop(number)) {
      lost += 1;
      return void response.destroy();
    }
    const { authorization = "", "upstash-encoding": encoding = "" } = request.headers;
    const headers = { authorization, "upstash-encoding": `${encoding}`, "content-type": "application/json" };
    const answer = await fetch(`${store.url}${request.url}`, { method: request.method, headers, body });
    const text = await answer.text();
    if (await lose(number)) {
      lost += 1;
      return void response.destroy();
    }
    response.writeHead(answer.status, { "content-type": "application/json" }).end(text);
  });
  await new Promise((resolve) => void server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    token: store.token,
    lost: () => lost,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
