/**
 * Strangers: requests that each have an address, an API key, a URL and an `Origin` of their own,
 * and among them clients that come again and again.
 */
import { openConnection } from "../../bench/load/connection.mjs";

/** How many URLs are in demand, and how many strangers come for each request of one of them. */
export const HOT = 10;
const PER_HOT = 20;

/** How many clients send more than they may. */
export const BUSY = 5;

/** The limit that each of these has, in requests in a window of so many milliseconds. */
export const QUOTA = 10;
export const WINDOW = 10_000;

/** The configuration of a gate for strangers, without its origin. */
export const EDGE = {
  limits: { each: { by: "client", window: `${WINDOW / 1_000}s`, quota: QUOTA } },
  routes: [
    { path: "/busy", limits: ["each"] },
    { path: "/made-up/{n}", limits: ["each"], cache: { ttl: "10m", vary: ["origin"] } },
    { path: "/hot/{n}", cache: { ttl: "10m" } },
  ],
};

/**
 * @typedef {object} Seen
 * @property {number} requests of strangers
 * @property {number} seconds
 * @property {number} hits the part of the requests of URLs in demand that a memory has answered,
 *   of those after the first ones
 * @property {number} most how often the busiest of the clients was admitted in a window, at least
 * @property {number} refused how often they were refused
 * @property {Record<string, number>} statuses of the strangers
 */

/**
 * Sends requests, and reports what has become of them.
 * @param {string} url
 * @param {{ strangers: number, perBusy?: number, connections?: number }} options `perBusy`: how
 *   many strangers come for each request of a client that sends more than it may
 * @returns {Promise<Seen>}
 */
export async function crowd(url, { strangers, perBusy = 100, connections = 16 }) {
  const pool = await Promise.all(Array.from({ length: connections }, () => openConnection(url, { bodies: false })));
  /** @type {Record<string, number>} */
  const statuses = {};
  /** @type {{ from: number, to: number }[][]} */
  const admitted = Array.from({ length: BUSY }, () => []);
  let [next, asked, hits, refused] = [0, 0, 0, 0];
  const began = performance.now();
  await Promise.all(
    pool.map(async (connection) => {
      while (next < strangers) {
        const n = next++;
        const { status } = await connection.exchange(stranger(n));
        statuses[status] = (statuses[status] ?? 0) + 1;
        if (n % PER_HOT === 0) {
          const turn = n / PER_HOT;
          const { head } = await connection.exchange(get(`/hot/${turn % HOT}`, "198.51.100.1"));
          // The first ones find nothing.
          if (turn >= 3 * HOT) {
            asked++;
            hits += Number(/^cache-status:.*; hit.*; detail=l1/im.test(head));
          }
        }
        if (n % perBusy === 0) {
          const busy = (n / perBusy) % BUSY;
          const from = performance.now();
          const { status: said } = await connection.exchange(get("/busy", `198.51.100.${10 + busy}`));
          if (said === 200) admitted[busy].push({ from, to: performance.now() });
          else refused++;
        }
      }
    }),
  );
  for (const connection of pool) connection.close();
  return {
    requests: strangers,
    seconds: (performance.now() - began) / 1_000,
    hits: hits / asked,
    most: Math.max(...admitted.map(mostInAWindow)),
    refused,
    statuses,
  };
}

/**
 * How many requests were surely served in one window: those that began and ended in it.
 * @param {{ from: number, to: number }[]} served
 */
function mostInAWindow(served) {
  return Math.max(
    0,
    ...served.map(({ from }) => served.filter((other) => other.from >= from && other.to < from + WINDOW).length),
  );
}

/** @param {number} n */
function stranger(n) {
  const address = `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
  return get(`/made-up/${n}`, address, `X-Api-Key: made-up-${n}\r\nOrigin: https://${n}.example\r\n`);
}

/** @param {string} path @param {string} address @param {string} [fields] */
function get(path, address, fields = "") {
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\nHost: edge.example\r\nCf-Connecting-Ip: ${address}\r\n${fields}\r\n`,
    "latin1",
  );
}
