/**
 * Simulated terminals: each plays what a page of the frontend does for one signed-in user, with a
 * token and an address of its own, and counts what comes back.
 */
import { once } from "node:events";
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import { choices } from "../../tests/support/random.mjs";
import { COINS } from "./profiles.mjs";

/** The page that the frontend is served from. */
const PAGE = "https://app.omnitrade.example";

/** Polls come this share of their interval earlier or later. */
const JITTER = 0.05;

/** Within this time after a page is opened its first requests are sent, in seconds. */
const OPENING = 0.3;

/** @typedef {{ at: number, path: string }} Call `at`: seconds since the start */
/**
 * @typedef {object} Terminal
 * @property {string} user
 * @property {string} address
 * @property {import("./profiles.mjs").Coin} coin
 * @property {number} opens seconds after the start
 * @property {Call[]} calls by time
 */

/**
 * Terminals, and when each asks for what. The same seed gives the same ones.
 * @param {object} options
 * @param {import("./profiles.mjs").Profile} options.profile
 * @param {number} options.users
 * @param {number} options.seconds
 * @param {number} options.seed
 * @param {number} [options.office] how many of the users share one address
 * @param {number} [options.arriving] within how many seconds the pages are opened
 * @param {number} [options.first] the number of the first user
 * @returns {Terminal[]}
 */
export function terminals({ profile, users, seconds, seed, office = 1, arriving = 5, first = 0 }) {
  const { random, weighted } = choices(seed);
  return Array.from({ length: users }, (_, index) => {
    const n = first + index;
    const coin = weighted(COINS);
    const opens = random() * arriving;
    const soon = () => opens + random() * OPENING;
    const polled = profile.polls(coin).flatMap(({ every, path }) => {
      const calls = [];
      for (let at = soon(); at < seconds; at += every * (1 + JITTER * (2 * random() - 1))) calls.push({ at, path });
      return calls;
    });
    const calls = [...profile.opening(coin).map((path) => ({ at: soon(), path })), ...polled];
    return {
      user: `user-${n}`,
      address: index < office ? "192.0.2.1" : `198.51.${100 + (n >> 8)}.${n & 255}`,
      coin,
      opens,
      calls: calls.sort((a, b) => a.at - b.at),
    };
  });
}

/**
 * Plays the terminals to the end, in real time. Each has one connection to one isolate, and a
 * WebSocket of socket.io.
 * @param {Terminal[]} terminals
 * @param {object} options
 * @param {{ url: string }[]} options.isolates
 * @param {(user: string) => Promise<string>} options.tokenOf
 * @param {number} options.seconds
 * @param {ReturnType<typeof createTally>} [options.tally]
 */
export async function play(terminals, { isolates, tokenOf, seconds, tally = createTally() }) {
  const tokens = await Promise.all(terminals.map(({ user }) => tokenOf(user)));
  const start = performance.now();
  await Promise.all(
    terminals.map(async ({ address, opens, calls }, n) => {
      const { url } = isolates[n % isolates.length];
      const page = openPage(url, { token: tokens[n], address, tally });
      const pending = [];
      await until(start, opens);
      const socket = page.socket(["websocket"]);
      for (const { at, path } of calls) {
        await until(start, at);
        pending.push(page.ask(path));
      }
      await until(start, seconds);
      await Promise.all(pending);
      socket.close();
      page.close();
    }),
  );
  return tally;
}

/** @param {number} start of the play @param {number} seconds since then */
export const until = (start, seconds) => sleep(Math.max(0, start + seconds * 1_000 - performance.now()));

/**
 * One page of the frontend.
 * @param {string} url of the gate
 * @param {{ token: string, address: string, tally: ReturnType<typeof createTally> }} options
 */
export function openPage(url, { token, address, tally }) {
  const { hostname, port } = new URL(url);
  const agent = new Agent({ keepAlive: true });
  const from = { "cf-connecting-ip": address, origin: PAGE };

  /**
   * @param {string} path
   * @param {{ method?: string, body?: object | string, token?: string }} [options] `token`: another
   *   one
   * @returns {Promise<{ status: number, text: string }>} 0: the connection failed
   */
  const ask = async (path, { method = "GET", body, token: other = token } = {}) => {
    const type = typeof body === "string" ? "text/plain;charset=UTF-8" : "application/json";
    const headers = {
      host: "edge.example",
      authorization: `Bearer ${other}`,
      accept: "application/json",
      ...(body && { "content-type": type }),
      ...from,
    };
    const sent = performance.now();
    try {
      const outgoing = request({ hostname, port, path, method, headers, agent });
      outgoing.end(typeof body === "object" ? JSON.stringify(body) : body);
      const [incoming] = await once(outgoing, "response");
      const pieces = [];
      for await (const piece of incoming) pieces.push(piece);
      tally.answered(incoming.statusCode, performance.now() - sent, path, incoming.headers["cache-status"]);
      return { status: incoming.statusCode, text: Buffer.concat(pieces).toString() };
    } catch (error) {
      tally.answered(0, performance.now() - sent, path);
      return { status: 0, text: String(error) };
    }
  };

  return {
    ask,
    /**
     * Polls socket.io, as its client does where no WebSocket passes, until it is refused or the
     * time is over. It speaks the protocol itself (Engine.IO 4), so that each request is counted.
     * @param {number} seconds
     */
    poll: async (seconds) => {
      const start = performance.now();
      const opened = await ask(POLLING);
      if (opened.status !== 200) return;
      const session = `${POLLING}&sid=${JSON.parse(opened.text.slice(1)).sid}`;
      const say = (/** @type {string} */ body) => ask(session, { method: "POST", body });
      let last = await say("40");
      while (last.status === 200 && performance.now() < start + seconds * 1_000) {
        last = await ask(session);
        const isPinged = last.text.split("\x1e").includes("2");
        if (last.status === 200 && isPinged) last = await say("3");
      }
      if (last.status === 200) await say("1");
    },
    /** A socket.io client. @param {("polling" | "websocket")[]} transports */
    socket: (transports) => {
      const socket = io(url, { transports, reconnection: false, forceNew: true, extraHeaders: from });
      const opened = performance.now();
      const took = () => performance.now() - opened;
      socket.on("connect", () => tally.answered(101, took(), SOCKET));
      socket.on("connect_error", (error) => tally.answered(statusIn(error), took(), SOCKET));
      return socket;
    },
    close: () => agent.destroy(),
  };
}

const SOCKET = "/socket.io/";
const POLLING = `${SOCKET}?EIO=4&transport=polling`;

/** The status by which a handshake was refused. @param {any} error */
const statusIn = (error) => Number(/\b\d{3}\b/.exec(`${error.description?.message ?? error.description}`)?.[0] ?? 0);

/** Counts answers. */
export function createTally() {
  /** @type {number[]} */
  const latencies = [];
  /** @type {Record<number, number>} by status; 0: no answer */
  const statuses = {};
  /** @type {Record<string, number>} by where the answer came from */
  const sources = {};
  /** @type {Record<string, number>} refused or failed, by status and path without its query */
  const wrong = {};

  return {
    /**
     * @param {number} status
     * @param {number} ms how long it took
     * @param {string} path
     * @param {string} [cacheStatus]
     */
    answered: (status, ms, path, cacheStatus) => {
      latencies.push(ms);
      add(statuses, status);
      add(sources, sourceOf(cacheStatus));
      if (!isGood(status)) add(wrong, `${status} ${path.split("?", 1)[0]}`);
    },
    summary: () => {
      const sorted = latencies.toSorted((a, b) => a - b);
      const at = (/** @type {number} */ share) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
      const good = Object.entries(statuses).reduce((sum, [status, n]) => sum + (isGood(Number(status)) ? n : 0), 0);
      const refused = statuses[429] ?? 0;
      return {
        requests: sorted.length,
        refused,
        failed: sorted.length - good - refused,
        p50: at(0.5),
        p99: at(0.99),
        statuses: { ...statuses },
        sources: { ...sources },
        wrong: { ...wrong },
      };
    },
  };
}

/** @param {number} status */
const isGood = (status) => status === 101 || (status >= 200 && status < 300) || status === 304;

/**
 * Where an answer came from, by the gate's member of `Cache-Status`.
 * @param {string} [cacheStatus]
 */
function sourceOf(cacheStatus) {
  const own = cacheStatus?.split(", ").at(-1);
  if (own === undefined) return "no cache";
  if (/; hit\b/.test(own)) return /; ttl=-/.test(own) ? "stale" : "fresh";
  if (/; collapsed\b/.test(own)) return "collapsed";
  return `forwarded, ${/; fwd=([\w-]+)/.exec(own)?.[1] ?? "?"}`;
}

/** @param {Record<string | number, number>} counts @param {string | number} name */
function add(counts, name) {
  counts[name] = (counts[name] ?? 0) + 1;
}
