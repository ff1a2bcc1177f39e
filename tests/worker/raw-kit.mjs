/**
 * What the tests with exact bytes share: the gate in front of a raw origin, and the comparison of
 * hits with misses.
 */
import assert from "node:assert/strict";
import { after } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { askRaw, combined, respond, startRawOrigin } from "../support/raw.mjs";
import { cacheStatus, HOST, setUp, until } from "./kit.mjs";

/** @typedef {import("../support/raw.mjs").RawReply} RawReply */
/** @typedef {import("../support/raw.mjs").RawRequest} RawRequest */
/** @typedef {import("../support/raw.mjs").Pieces} Pieces */
/** @typedef {import("../support/raw.mjs").Message} Message */
/** @typedef {Message & { status?: number | string, reason?: string }} Response */
/** @typedef {Response | Pieces | Promise<Pieces>} Responded */
/** @typedef {(call: number, request: RawRequest) => Responded} Responder */

/** The token of `POST /__edge/purge`. */
const TOKEN = "t0ken-of-the-admin";

/**
 * A gate of two isolates with one store, in front of an origin whose bytes the test chooses. The
 * second isolate has nothing in memory that only the first was asked for, so what it answers comes
 * from Redis.
 * @param {Parameters<typeof setUp>[0]} options
 */
export async function setUpRaw({ edge = {}, isolates = 2, vars = {}, ...options }) {
  const raw = await startRawOrigin();
  // This has to come before the gate is stopped, because the gate waits until it has relayed
  // everything.
  after(() => raw.close());
  // Only the store's replies matter here, not its speed, so its timeout is long.
  const setup = await setUp({
    edge: { origin: raw.url, ...edge },
    isolates,
    vars: { EDGE_ADMIN_TOKEN: TOKEN, ...vars },
    ...options,
  });
  const { gate } = setup;
  const [here, there] = gate.isolates;

  /** @type {Map<string, (request: RawRequest, call: number) => Pieces | Promise<Pieces>>} */
  const answers = new Map();
  /** @type {Map<string, RawRequest[]>} */
  const received = new Map();
  /** The requests for a path that the origin has received, in order. @param {string} target */
  const requestsOf = (target) => received.get(pathOf(target)) ?? [];
  raw.answer = (request) => {
    const path = pathOf(request.target);
    const seen = received.get(path) ?? [];
    received.set(path, [...seen, request]);
    return answers.get(path)?.(request, seen.length + 1) ?? respond({ status: 404, reason: "Not Found" });
  };

  let places = 0;
  /**
   * A new path, and what the origin answers there. `call` counts from 1. If no body is given, the
   * body tells which call it answers.
   * @param {string} folder a route, with a slash at its end
   * @param {Response | Responder} response
   */
  const serve = (folder, response) => {
    places++;
    const path = `${folder}${places}`;
    answers.set(path, (request, call) => {
      const made = typeof response === "function" ? response(call, request) : response;
      const isMessage = made !== null && typeof made === "object" && made.constructor === Object;
      return isMessage ? respond({ body: `${path}: ${call}`, ...made }) : /** @type {Pieces} */ (made);
    });
    return path;
  };

  /**
   * Waits until an isolate has stored all that it was about to store: background work is done in
   * order, so once the last entry is found in Redis, all are.
   * @param {{ url: string }} [isolate]
   */
  const settled = async (isolate = here) => {
    places++;
    const path = `/settled/${places}`;
    answers.set(path, () => respond({ fields: ["Cache-Control: max-age=600"], body: path }));
    const other = isolate === here ? there : here;
    await until(async () => {
      // The isolate itself is asked first, because asking the other one first would store the
      // answer there.
      const known = cacheStatus(await askRaw(isolate, path));
      return known.hit && cacheStatus(await askRaw(other, path)).hit;
    });
  };

  /**
   * Requests a path, and again when the answer would have been stored: from the same isolate, and
   * from one that can have it only from the store.
   * @param {string} path
   * @param {Parameters<typeof askRaw>[2]} [options] of the first request
   * @param {Parameters<typeof askRaw>[2]} [later] of those after it
   */
  const thrice = async (path, options = {}, later = options) => {
    const first = await askRaw(here, path, options);
    await settled();
    const again = await askRaw(here, path, later);
    const elsewhere = await askRaw(there, path, later);
    return { first, again, elsewhere };
  };

  /**
   * Checks that a path's answer is not given to a second caller, by either isolate.
   * @param {string} path @param {string} [why] @param {Parameters<typeof askRaw>[2]} [options]
   */
  const notShared = async (path, why = path, options = {}) => {
    const { first, again, elsewhere } = await thrice(path, options);
    assert.equal(cacheStatus(first).stored, undefined, `${why}: it says "stored"`);
    for (const [where, reply] of /** @type {const} */ ([
      ["from the same isolate", again],
      ["from another isolate", elsewhere],
    ])) {
      assert.equal(cacheStatus(reply).hit, undefined, `${why}: a hit ${where}`);
      assert.notEqual(reply.text, first.text, `${why}: the answer of another caller, ${where}`);
    }
    return { first, again, elsewhere };
  };

  /**
   * Checks that a path's answer is stored, and that a hit is the miss, in either isolate.
   * @param {string} path @param {string} [why] @param {Parameters<typeof askRaw>[2]} [options]
   */
  const shared = async (path, why = path, options = {}) => {
    const { first, again, elsewhere } = await thrice(path, options);
    for (const [where, reply] of /** @type {const} */ ([
      ["from the same isolate", again],
      ["from another isolate", elsewhere],
    ])) {
      assert.equal(cacheStatus(reply).hit, true, `${why}: no hit ${where}: ${combined(reply, "cache-status")}`);
      assert.deepEqual(differences(first, reply), [], `${why}: ${where}`);
    }
    return { first, again, elsewhere };
  };

  /**
   * Sends ten requests at once, and checks that each gets its own answer.
   * @param {string} path @param {string} [why]
   */
  const crowdApart = async (path, why = path) => {
    const replies = await Promise.all(Array.from({ length: 10 }, () => askRaw(here, path)));
    const texts = replies.map((reply) => reply.text);
    assert.equal(new Set(texts).size, texts.length, `${why}: ${texts.join(" | ")}`);
  };

  /** @param {string[]} urls @param {{ url: string }} [isolate] */
  const purge = async (urls, isolate = here) => {
    const fields = [`Authorization: Bearer ${TOKEN}`, "Content-Type: application/json"];
    const body = Buffer.from(JSON.stringify({ urls }));
    return askRaw(isolate, "/__edge/purge", { method: "POST", fields, body });
  };

  return { ...setup, raw, here, there, requestsOf, serve, settled, thrice, notShared, shared, crowdApart, purge };
}

/**
 * Runs a task for each item, a few at a time.
 * @template T, R
 * @param {Iterable<T>} items
 * @param {(item: T) => Promise<R>} task
 * @returns {Promise<R[]>} in the order of the items
 */
export async function each(items, task) {
  const left = [...items].entries();
  /** @type {R[]} */
  const done = [];
  const worker = async () => {
    for (const [n, item] of left) done[n] = await task(item);
  };
  await Promise.all(Array.from({ length: 24 }, worker));
  return done;
}

/** The route by which {@link setUpRaw} knows when something would have been stored. */
export const SETTLED = { path: "/settled/{n}", cache: {} };

/** The path of a target, which may be a whole URL. @param {string} target */
export function pathOf(target) {
  return target.replace(/^https?:\/\/[^/]*/, "").replace(/[?#].*$/s, "");
}

/**
 * The URL of a target, with the host name by which the tests call the gate.
 * @param {string} target
 */
export function urlOf(target) {
  return `http://${HOST}${target}`;
}

const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** Fields that the gate sets anew for each answer. */
const ANEW = ["age", "cache-status", "content-length"];

/**
 * Whether a field is one of the gate's own, or tells the limits of one client.
 * @param {string} name in lower case
 */
function isOfTheGate(name) {
  return /^(ratelimit|x-ratelimit-|x-edge-)/.test(name) || name === "x-data-age";
}

/** The digests that describe a body as it was sent. */
export const DIGESTS = ["content-digest", "repr-digest", "digest", "content-md5"];

/**
 * The fields that a stored answer has to keep, combined: all but those of one hop and of one
 * exchange. White space around a value does not belong to it (RFC 9110 §5.5).
 * @param {Pick<import("../support/raw.mjs").Head, "fields">} message
 * @returns {Map<string, string>}
 */
export function endToEnd(message) {
  const named = (combined(message, "connection") ?? "").split(",").map((name) => name.trim().toLowerCase());
  /** @type {Map<string, string>} */
  const fields = new Map();
  for (const [known] of message.fields) {
    const name = known.toLowerCase();
    if (HOP_BY_HOP.includes(name) || named.includes(name) || ANEW.includes(name) || isOfTheGate(name)) continue;
    fields.set(name, String(combined(message, name)).replace(/^[ \t]+|[ \t]+$/g, ""));
  }
  return fields;
}

/**
 * The content of a message, decoded if its coding is one that the gate undoes.
 * @param {RawReply} reply
 */
export function decoded(reply) {
  if (reply.body.length === 0) return reply.body;
  const coding = combined(reply, "content-encoding");
  if (coding === "gzip") return gunzipSync(reply.body);
  return coding === "br" ? brotliDecompressSync(reply.body) : reply.body;
}

/**
 * The differences between a hit and the miss that it stands for; empty if there is none that
 * matters.
 * @param {RawReply} miss
 * @param {RawReply} hit
 * @param {{ dated?: boolean }} [options] whether the origin has sent a `Date`
 * @returns {string[]}
 */
export function differences(miss, hit, { dated = miss.fields.some(([name]) => /^date$/i.test(name)) } = {}) {
  const found = [];
  if (hit.status !== miss.status) found.push(`status: ${miss.status}, then ${hit.status}`);
  const [before, after] = [endToEnd(miss), endToEnd(hit)];
  const undone = before.has("content-encoding") && !after.has("content-encoding");
  if (!dated) for (const fields of [before, after]) fields.delete("date");
  if (undone) {
    for (const fields of [before, after]) {
      for (const name of ["content-encoding", ...DIGESTS]) fields.delete(name);
      const tag = fields.get("etag");
      if (tag !== undefined) fields.set("etag", tag.replace(/^W\//, ""));
      const names = (fields.get("vary") ?? "").split(",").map((name) => name.trim());
      const others = names.filter((name) => name !== "" && name.toLowerCase() !== "accept-encoding").join(", ");
      if (others === "") fields.delete("vary");
      else fields.set("vary", others);
    }
  }
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(name), after.get(name)];
    if (was !== is) found.push(`${name}: ${JSON.stringify(was)}, then ${JSON.stringify(is)}`);
  }
  const [content, kept] = undone ? [decoded(miss), hit.body] : [miss.body, hit.body];
  if (!content.equals(kept)) found.push(`content: ${shown(content)}, then ${shown(kept)}`);
  if (!hit.whole) found.push("the hit broke off");
  return found;
}

/** @param {Buffer} bytes */
function shown(bytes) {
  const text = JSON.stringify(bytes.subarray(0, 60).toString("latin1"));
  return bytes.length > 60 ? `${text}… (${bytes.length} octets)` : text;
}
