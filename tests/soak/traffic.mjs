/** The traffic of a soak: clients that come one by one, in bursts, and with made-up names. */
import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "../worker/kit.mjs";
import { RESOURCES } from "./world.mjs";

/** @typedef {ReturnType<typeof import("../support/random.mjs").choices>} Choices */

/**
 * One request and its answer.
 * @typedef {object} Entry
 * @property {string} client
 * @property {number} isolate by which it went
 * @property {string} path
 * @property {string | null} who whose answer it must be, if it is for one client alone
 * @property {number} sentAt Unix ms
 * @property {number} receivedAt
 * @property {number} status 0: the connection ended without an answer
 * @property {string} limiter who decided the limits
 * @property {{ number: number, path: string, who: string | null } | null} body that of the origin
 */

/** How long an answer may take, in milliseconds, whatever fails. */
export const LONGEST = 15_000;

const CLIENTS = 12;

/**
 * Sends requests until the time is over.
 * @param {import("./world.mjs").World} world
 * @param {{ until: number, choose: Choices }} how
 * @returns {Promise<Entry[]>}
 */
export async function traffic({ gate }, { until, choose }) {
  /** @type {Entry[]} */
  const log = [];
  let invented = 0;

  /** @param {string} client @param {string} path */
  const send = async (client, path) => {
    const headers = /** @type {Record<string, string>} */ ({ "cf-connecting-ip": client });
    if (path === "/mine") headers["x-api-key"] = `key-of-${client}`;
    if (path === "/token") headers.authorization = `Bearer token-of-${client}`;
    const who = headers["x-api-key"] ?? headers.authorization ?? null;
    const isolate = choose.between(0, gate.isolates.length);
    const sentAt = Date.now();
    const reply = await Promise.race([
      ask(gate.isolates[isolate], path, { headers }).catch(() => null),
      sleep(LONGEST, null, { ref: false }),
    ]);
    const isOrigins = reply?.status === 200 && reply.headers["content-type"] === "application/json";
    log.push({
      client,
      isolate,
      path,
      who,
      sentAt,
      receivedAt: Date.now(),
      status: reply?.status ?? 0,
      limiter: String(reply?.headers["x-edge-limiter"]),
      body: isOrigins ? JSON.parse(reply.text) : null,
    });
  };
  const pathOf = () =>
    choose.weighted([
      [5, "/exact"],
      [5, "/lease"],
      [5, `/cached/${choose.between(0, RESOURCES)}`],
      [1, `/cached/${RESOURCES + invented++}`],
      [2, "/limited-and-cached"],
      [2, "/mine"],
      [2, "/token"],
    ]);
  /** @param {string} client */
  const comesAndGoes = async (client) => {
    while (Date.now() < until) {
      const path = pathOf();
      const requests = choose.chance(0.15) ? choose.between(5, 40) : 1;
      await Promise.all(Array.from({ length: requests }, () => send(client, path)));
      await sleep(choose.chance(0.05) ? 3_000 : choose.between(0, 150));
    }
  };
  const stranger = async () => {
    while (Date.now() < until) {
      await send(`10.9.${choose.between(0, 256)}.${choose.between(0, 256)}`, pathOf());
      await sleep(choose.between(0, 60));
    }
  };
  const clients = Array.from({ length: CLIENTS }, (_, n) => comesAndGoes(`10.0.0.${n + 1}`));
  await Promise.all([...clients, stranger()]);
  return log;
}
