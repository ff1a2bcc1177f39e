/**
 * Counts the calls that the Worker makes for a request: `inlining.mjs` runs it in a process of its
 * own, since it replaces what is global.
 *
 *     node scripts/lib/profile.mjs FOLDER MODULE COUNTS CALLS
 *
 * `FOLDER` has what wasm-bindgen wrote; `MODULE` tells the number of each call that it makes;
 * `COUNTS` is the file for how often a request makes each of the `CALLS`.
 *
 * Nothing is random here, so that the same sources give the same Worker.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, module, file, calls] = process.argv.slice(2);

const NOW = Date.UTC(2026, 0, 1);
const ROUNDS = 40;
const CLIENTS = 10;

/**
 * Hits with leased and with exact limits, refusals, and responses that are relayed: the status of
 * each and its `X-Edge-Limiter`.
 */
const ANSWERS = { lease: "200 lease", exact: "200 redis", refused: "429 blocked", relayed: "200 none" };
const REQUESTS = /** @type {const} */ (["lease", "lease", "lease", "lease", "exact", "refused", "relayed"]);
const limit = { by: "client", window: "60s", quota: 1_000_000 };
const env = {
  UPSTASH_REDIS_REST_URL: "https://store.invalid",
  UPSTASH_REDIS_REST_TOKEN: "token",
  EDGE: {
    origin: "https://origin.invalid",
    limits: { exact: limit, lease: { ...limit, strategy: "lease" }, refused: { ...limit, quota: 1 } },
    routes: [
      { path: "/exact", limits: ["exact"], cache: { ttl: "1h" } },
      { path: "/lease", limits: ["lease"], cache: { ttl: "1h" } },
      { path: "/refused", limits: ["refused"] },
      { path: "/relayed" },
    ],
  },
};

/**
 * What Redis replies to a command, if the cache is empty, and each limit met that has a large quota:
 * see `src/store/admit.lua`.
 * @param {string[]} command
 */
function reply([name, , keys, ...rest]) {
  if (!name.startsWith("EVAL")) return "OK";
  const [, , , , , , , , entry, , , , , , quota, , , , , width, , , lent] = rest.slice(Number(keys));
  const bucket = Math.floor(NOW / Number(width));
  const isMet = Number(quota) > 1;
  const state = isMet ? [1, Number(quota), Number(quota) - 1, 0, 60_000, "tag"] : [0, 1, 0, 60_000, 60_000, null];
  const lease = isMet ? [bucket, Number(lent), bucket + 10, 20_000] : [bucket, 0, 0, 0];
  return [isMet ? 1 : 0, null, null, 0, ...state, ...lease, ...(Number(entry) === 0 ? [] : [null, 1, "-"])];
}

/** @type {Promise<unknown>[]} */
const tasks = [];
class PretendedStream {
  #stream = new TransformStream();
  readable = this.#stream.readable;
  writable = this.#stream.writable;
}
Date.now = () => NOW;
Math.random = () => 0.5;
Object.assign(globalThis, {
  IdentityTransformStream: PretendedStream,
  FixedLengthStream: PretendedStream,
  fetch: async (/** @type {string | Request} */ to, /** @type {{ body: string }} */ init) =>
    typeof to === "string" && to.startsWith(env.UPSTASH_REDIS_REST_URL)
      ? Response.json({ result: reply(JSON.parse(init.body)) })
      : Response.json({ price: 1 }, { headers: { etag: '"1"', "cache-control": "max-age=600" } }),
});

const counts = new Array(Number(calls)).fill(0);
const profile = { count: (/** @type {number} */ call) => counts[call]++ };
const glue = await import(pathToFileURL(join(folder, "index_bg.js")).href);
const counting = new WebAssembly.Module(await readFile(module));
const { exports } = new WebAssembly.Instance(counting, { "./index_bg.js": glue, profile });
glue.__wbg_set_wasm(exports);
exports.__wbindgen_start();
glue.prepare(env);

const waitUntil = (/** @type {Promise<unknown>} */ task) => tasks.push(task);
for (let round = 0; round < ROUNDS; round++) {
  // The first requests find nothing in the cache.
  if (round === 1) counts.fill(0);
  for (let client = 0; client < CLIENTS; client++) {
    for (const name of REQUESTS) {
      const headers = { accept: "*/*", "cf-connecting-ip": "192.0.2.1", "x-api-key": `key-${client}` };
      const request = new Request(`https://gate.invalid/${name}`, { headers });
      const response = await glue.fetch(request, { waitUntil });
      await response.arrayBuffer();
      await Promise.all(tasks.splice(0));
      const answer = `${response.status} ${response.headers.get("x-edge-limiter")}`;
      if (round > 0 && answer !== ANSWERS[name]) throw new Error(`/${name}: ${answer}, expected ${ANSWERS[name]}`);
    }
  }
}
const requests = (ROUNDS - 1) * CLIENTS * REQUESTS.length;
await writeFile(file, JSON.stringify(counts.map((count) => count / requests)));
