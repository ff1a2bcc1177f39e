/** Single requests, each over a connection of its own, or many at once; and their results. */
import { once } from "node:events";
import { connect } from "node:net";
import { get, openConnection } from "../load/connection.mjs";
import { stampOf } from "./stamp.mjs";

/**
 * @typedef {object} Told
 * @property {number} status 0: no answer
 * @property {number} ms until the answer was complete
 * @property {number} sentAt Unix milliseconds
 * @property {import("./stamp.mjs").Stamp | null} stamp of an answer with status 200
 */

/** Longer than every deadline of the fronts. */
const LONGEST_MS = 10_000;

/** @param {string} url @param {string} path */
export async function askOnce(url, path) {
  const connection = await openConnection(url);
  try {
    return await ask(connection, path);
  } finally {
    connection.close();
  }
}

/**
 * `size` simultaneous requests, distributed over the addresses, on connections that are opened
 * before.
 * @param {string[]} urls
 * @param {string} path
 * @param {number} size
 */
export async function crowd(urls, path, size) {
  const connections = await Promise.all(Array.from({ length: size }, (_, n) => openConnection(urls[n % urls.length])));
  try {
    return await Promise.all(connections.map((connection) => ask(connection, path)));
  } finally {
    for (const connection of connections) connection.close();
  }
}

/**
 * @param {import("../load/connection.mjs").Connection} connection
 * @param {string} path
 * @returns {Promise<Told>}
 */
export async function ask(connection, path) {
  const sentAt = Date.now();
  const started = performance.now();
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, LONGEST_MS, undefined);
  });
  const reply = await Promise.race([connection.exchange(get(path, "key")).catch(() => undefined), late]);
  clearTimeout(timer);
  const ms = performance.now() - started;
  if (!reply) return { status: 0, ms, sentAt, stamp: null };
  return { status: reply.status, ms, sentAt, stamp: reply.status === 200 ? stampOf(reply.body) : null };
}

/**
 * A client that asks and does not wait for the answer; the returned function closes its connection.
 * @param {string} url
 * @param {string} path
 */
export async function askAndLeave(url, path) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  socket.on("error", () => {});
  socket.write(get(path, "key"));
  return () => socket.destroy();
}

/**
 * How many answers had each status, such as "200 ×9, 502 ×1".
 * @param {Told[]} told
 */
export function statuses(told) {
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (const { status } of told) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts].map(([status, count]) => `${status || "no answer"} ×${count}`).join(", ");
}

/** @param {Told[]} told */
export function longest(told) {
  return Math.max(...told.map(({ ms }) => ms));
}
