/**
 * A large answer from the isolate's memory: how many bytes of it are copied through wasm, and what
 * it costs.
 */
import { load, ratio } from "../lib/loading.mjs";
import { median } from "../lib/report.mjs";
import { askOnce } from "./asking.mjs";

const ROUNDS = 5;
const SECONDS = 1;
const CONNECTIONS = 8;
const HITS = 20;

/** @typedef {{ urls: string[], pid?: number }} Measured */

/**
 * @param {Measured} gate
 * @param {Measured} plain a Worker in JavaScript that answers with the same bytes and does nothing
 *   else
 * @param {Measured[]} peers
 */
export async function largeAnswers(gate, plain, peers) {
  const fronts = [gate, plain, ...peers];
  /** @type {Record<string, import("../lib/loading.mjs").Loaded[][]>} */
  const loads = {};
  for (const path of ["/large", "/small"]) {
    const job = { paths: [path], keys: 1, connections: CONNECTIONS, seconds: SECONDS };
    loads[path] = fronts.map(() => []);
    for (const { urls } of fronts) await load({ ...job, urls: urls.slice(0, 1) });
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, { urls, pid }] of fronts.entries()) {
        loads[path][index].push(await load({ ...job, urls: urls.slice(0, 1) }, pid === undefined ? [] : [pid]));
      }
    }
  }
  const speed = (/** @type {string} */ path, /** @type {number} */ index) =>
    loads[path][index].map(({ requests, seconds }) => requests / seconds);
  const cpu = (/** @type {string} */ path, /** @type {number} */ index) =>
    median(loads[path][index].map(({ cpuMs }) => cpuMs ?? 0));
  return {
    /** Requests per second of each front, relative to the gate's. */
    ofGates: fronts.map((_, index) => ratio(speed("/large", index), speed("/large", 0))),
    toPlain: {
      large: ratio(speed("/large", 0), speed("/large", 1)),
      small: ratio(speed("/small", 0), speed("/small", 1)),
    },
    /** How many µs of processor time a large answer takes more than a small one. */
    moreUs: [0, 1].map((index) => 1000 * (cpu("/large", index) - cpu("/small", index))),
  };
}

/**
 * Bytes per hit that cross between JavaScript and wasm, in a gate that counts them.
 * @param {Measured} gate as `tests/support/counting.mjs` bundles it
 */
export async function copiedPerHit({ urls: [url] }) {
  const perPath = /** @type {Record<string, number>} */ ({});
  let grown = 0;
  for (const path of ["/large", "/small"]) {
    while ((await copied(url, path)).bytes > 20_000);
    const before = await crossings(url);
    for (let n = 0; n < HITS; n++) await askOnce(url, path);
    const after = await crossings(url);
    perPath[path] = (after.bytes - before.bytes) / HITS;
    grown += after.memory - before.memory;
  }
  return { large: perPath["/large"], small: perPath["/small"], grown };
}

/** Sends requests until the memory is filled. @param {string} url @param {string} path */
async function copied(url, path) {
  const before = await crossings(url);
  await askOnce(url, path);
  const after = await crossings(url);
  return { bytes: after.bytes - before.bytes };
}

/**
 * @param {string} url
 * @returns {Promise<import("../../tests/support/counting/worker.mjs").Crossings>}
 */
async function crossings(url) {
  return /** @type {any} */ (await (await fetch(`${url}/__counting`)).json());
}
