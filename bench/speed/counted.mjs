/**
 * What crosses per request between wasm and JavaScript, and to the store. It is counted in a run of
 * its own, because counting takes time.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../../scripts/lib/process.mjs";
import { bundleCountingWorker } from "../../tests/support/counting.mjs";
import { startCountingProxy } from "../lib/counting-proxy.mjs";
import { median } from "../lib/report.mjs";
import { get, openConnection } from "../load/connection.mjs";

/** How many requests are sent before others are counted, and how many are counted. */
const BEFORE = 50;
export const REQUESTS = 50;
/** Longer than a second, the unit of the times in the headers. */
const A_WHILE_MS = 1_100;

/** Where the time and the id of a call stand among the arguments of the script: `store/ask.rs`. */
const NOW = 0;
const ID = 5;

/**
 * @typedef {object} Counted per request
 * @property {number | null} imports how often wasm calls JavaScript; `null` for JavaScript Workers
 * @property {number | null} exports how often JavaScript calls wasm
 * @property {number} calls HTTP calls of the store
 */

/**
 * @typedef {{ counted: Counted, floor: import("../peer/floor.mjs").Floor | undefined }} Seen
 *   `floor`: what a Worker needs to repeat the input and output
 */

/**
 * @param {import("./contestants.mjs").Racer} racer
 * @param {import("../lib/ground.mjs").Ground} ground
 * @param {string} origin
 * @returns {Promise<Seen>}
 */
export async function count({ worker, job, path, headers, withoutStore }, { start, rest }, origin) {
  const isOurs = worker.source === undefined;
  const proxy = await startCountingProxy(rest.url);
  const name = `${worker.name}-counted`;
  const counting = isOurs ? { ...worker, name, script: await bundleCountingWorker() } : { ...worker, name };
  const gate = await start(counting, job(origin), { restUrl: withoutStore ? null : proxy.url });
  const connection = await openConnection(gate.url);
  try {
    const request = get(path, "key-0", headers);
    const crossings = async () => {
      if (!isOurs) return { imports: 0, exports: 0, read: [] };
      return JSON.parse((await connection.exchange(get("/__counting", ""))).body.toString());
    };
    for (let n = 0; n < BEFORE; n++) await connection.exchange(request);
    const first = await connection.exchange(request);
    await sleep(A_WHILE_MS);

    const calls = proxy.calls();
    /** @type {{ imports: number, exports: number }[]} */
    const each = [];
    let [last, before] = [first, await crossings()];
    for (let n = 0; n < REQUESTS; n++) {
      last = await connection.exchange(request);
      const after = await crossings();
      each.push({ imports: after.imports - before.imports, exports: after.exports - before.exports });
      before = after;
    }
    const perRequest = (/** @type {"imports" | "exports"} */ what) =>
      isOurs ? median(each.map((counts) => counts[what])) : null;
    const counted = {
      imports: perRequest("imports"),
      exports: perRequest("exports"),
      calls: (proxy.calls() - calls) / REQUESTS,
    };
    const isCall = isOurs && counted.calls >= 0.5;
    const call = isCall ? callLike(proxy.latest(), rest.url) : undefined;
    return { counted, floor: isOurs ? { ...floorOf(first, last), read: before.read, call } : undefined };
  } finally {
    connection.close();
    await gate.stop();
    proxy.stop();
  }
}

/** @typedef {import("../load/connection.mjs").Reply} Reply */

/**
 * The answer, from two of them.
 * @param {Reply} first
 * @param {Reply} last
 */
function floorOf(first, last) {
  const earlier = new Map(headersOf(first));
  const headers = headersOf(last);
  const changing = headers.filter(([name, value]) => earlier.get(name) !== value).map(([name]) => name);
  return { status: last.status, headers, changing, body: last.body.toString() };
}

/** The headers that the Worker sets, and not the platform. @param {Reply} reply */
function headersOf({ head }) {
  const lines = head.split("\r\n").slice(1);
  const fields = lines.map((line) => {
    const [name, value] = line.split(/: (.*)/s);
    return /** @type {[string, string]} */ ([name.toLowerCase(), value]);
  });
  return fields.filter(([name]) => !["connection", "content-length", "transfer-encoding"].includes(name));
}

/**
 * @param {import("../lib/counting-proxy.mjs").Call | undefined} call of the script
 * @param {string} url of the store
 * @returns {import("../peer/floor.mjs").Call}
 */
function callLike(call, url) {
  const [name, , keyCount, ...words] = JSON.parse(call?.body ?? "[]").map(String);
  const args = words.slice(Number(keyCount));
  const parts = call?.body.split(`"${args[NOW]}"`);
  const [middle, end, ...others] = parts?.[1]?.split(`"${args[ID]}"`) ?? [];
  if (!call || name !== "EVALSHA" || parts?.length !== 2 || end === undefined || others.length > 0) {
    throw new Failure(`the call of the store is not as expected: ${call?.body}`);
  }
  const ofPlatform = ["host", "connection", "content-length", "transfer-encoding", "cf-worker", "cf-connecting-ip"];
  return {
    url: `${url}${call.path}`,
    headers: call.headers.filter(([header]) => !ofPlatform.includes(header)),
    body: [`${parts[0]}"`, `"${middle}"`, `"${end}`],
    idLength: args[ID].length,
    timeoutMs: 5_000,
  };
}
