/** What clients are told. */
import { addressHeader } from "omnitrade-edge:platform";
import { ADDRESS, FIELDS, say } from "./engine.js";
import { misuse } from "./errors.js";
import { clocks } from "./limiter.js";
import { integer, oneOf } from "./settings.js";

/** @import { HeaderStyle, LimitResult } from "@omnitrade/edge" */

const STYLES = /** @type {const} */ (["draft-10", "draft-7", "legacy"]);

/**
 * What a refusal is: its type (draft-ietf-httpapi-ratelimit-headers-10, "Problem Types"), its title
 * and its code.
 */
const KINDS = {
  exceeded: ["quota-exceeded", "Request cannot be satisfied as assigned quota has been exceeded", "quota_exceeded"],
  reduced: [
    "temporary-reduced-capacity",
    "Request cannot be satisfied due to temporary server capacity constraints",
    "reduced_capacity",
  ],
  held: [
    "abnormal-usage-detected",
    "Request not satisfied due to detection of abnormal request pattern",
    "abnormal_usage",
  ],
};

/**
 * @param {LimitResult | readonly LimitResult[]} results
 * @returns {readonly LimitResult[]}
 */
const all = (results) => (Array.isArray(results) ? results : [/** @type {LimitResult} */ (results)]);

/** The time by which a result was given. @param {LimitResult} result */
const nowOf = (result) => (clocks.get(result) ?? Date.now)();

/** @param {string} policy */
function partsOf(policy) {
  const [, name, quota, window] = /^"([^"]*)";q=(\d+);w=(\d+)$/.exec(policy) ?? [];
  if (name === undefined) throw misuse("results", "results of a limiter");
  return { name, quota: Number(quota), window: Number(window) };
}

/**
 * @param {LimitResult | readonly LimitResult[]} results
 * @param {HeaderStyle} [style]
 * @returns {Record<string, string>}
 */
export function rateLimitHeaders(results, style) {
  const told = oneOf(style, "style", STYLES);
  const limits = all(results).map((result) => {
    const { name, quota, window } = partsOf(result.policy);
    const wait = Math.max(Math.ceil(result.reset - nowOf(result)), 0);
    return [quota, window * 1_000, Number(result.success), result.remaining, wait, name].join(" ");
  });
  /** @type {Record<string, string>} */
  const headers = {};
  if (limits.length === 0) return headers;
  const said = say(FIELDS, limits.join("\n"), STYLES.indexOf(told), nowOf(all(results)[0]));
  const lines = /** @type {string} */ (said).split("\n");
  for (let at = 0; at < lines.length; at += 2) headers[usual(lines[at])] = lines[at + 1];
  return headers;
}

/** A name as it is usually written. @param {string} name */
function usual(name) {
  return name.replace(/ratelimit/, "RateLimit").replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}

/**
 * @param {LimitResult | readonly LimitResult[]} results
 * @param {ResponseInit & { style?: HeaderStyle }} [init]
 */
export function tooManyRequests(results, { style, ...init } = {}) {
  const refused = all(results).filter(({ success }) => !success);
  const told = refused.length > 0 ? refused : all(results);
  const waits = told.map((result) => Math.ceil((result.reset - nowOf(result)) / 1_000));
  const has = (/** @type {string} */ why) => told.some(({ reason }) => reason === why);
  const kind = has("denyList") ? "held" : has("timeout") ? "reduced" : "exceeded";
  const [type, title, code] = KINDS[kind];
  const status = init.status ?? 429;
  const problem = {
    type: `https://iana.org/assignments/http-problem-types#${type}`,
    title,
    status,
    code,
    "violated-policies": told.map(({ policy }) => partsOf(policy).name),
  };
  const headers = new Headers({
    "content-type": "application/problem+json",
    "cache-control": "no-store",
    "retry-after": String(Math.max(...waits, 1)),
    ...rateLimitHeaders(results, style),
  });
  new Headers(init.headers).forEach((value, name) => {
    // Of these there may be several.
    if (name === "set-cookie") headers.append(name, value);
    else headers.set(name, value);
  });
  return new Response(JSON.stringify(problem), { ...init, status, headers });
}

/**
 * @param {{ headers: Headers }} request
 * @param {{ header?: string, ipv6Prefix?: number }} [options]
 * @returns {string | undefined}
 */
export function clientAddress({ headers }, { header = addressHeader(), ipv6Prefix = 64 } = {}) {
  const prefix = integer(ipv6Prefix, "ipv6Prefix", 1, 128);
  const text = headers.get(header);
  return text === null ? undefined : say(ADDRESS, text, prefix);
}
