/** The lines of the table. */
import { median } from "../lib/report.mjs";
import { LATENCY_MS } from "./crowds.mjs";
import { ORIGIN_TIMEOUT_MS, TIMES } from "./job.mjs";
import { SECONDS } from "./live.mjs";

/**
 * How many milliseconds the clocks of two isolates may differ after each was corrected by Redis'
 * clock.
 */
export const CLOCKS_MS = 5;

/**
 * @typedef {object} Line
 * @property {string} name
 * @property {string} [must]
 * @property {boolean} [met]
 * @property {string | null} ours
 * @property {(string | null)[]} peers nginx, Varnish
 */

/** @param {import("../cache.mjs").Figures} figures @returns {Line[]} */
export function linesOf(figures) {
  return [
    ...coldLines(figures),
    ...liveLines(figures),
    ...troubleLines(figures),
    ...ageLines(figures),
    ...largeLines(figures),
  ];
}

/**
 * A line in which each front has a figure.
 * @template T
 * @param {string} name
 * @param {(T | null)[]} figures
 * @param {(figure: T) => string} text
 * @param {{ must: string, met: (figure: T) => boolean }} [rule]
 * @returns {Line}
 */
function line(name, [ours, ...peers], text, rule) {
  const shown = (/** @type {T | null} */ figure) => (figure === null ? null : text(figure));
  const asked = rule && ours !== null ? { must: rule.must, met: rule.met(ours) } : {};
  return { name, ...asked, ours: shown(ours), peers: peers.map(shown) };
}

/** @param {import("../cache.mjs").Figures} figures @returns {Line[]} */
function coldLines({ cold, coldOverTwo, coldStore }) {
  /** @param {NonNullable<typeof cold[0]>} figure */
  const text = ({ calls, p50, errors }) => `${calls}, ${ms(p50)}, ${errors}`;
  const rule = (/** @type {number} */ most) => ({
    must: `≤ ${most}, ≤ 100 ms, 0`,
    met: (/** @type {typeof coldOverTwo} */ { calls, p50, errors }) => calls <= most && p50 <= 100 && errors === 0,
  });
  return [
    line("100 cold at once, one isolate: origin calls, p50, errors", cold, text, rule(1)),
    line("the same, two isolates", [coldOverTwo, null, null], text, rule(2)),
    {
      name: "  store commands, HTTP calls per request",
      ours: `${short(coldStore.commands)}, ${short(coldStore.calls)}`,
      peers: [null, null],
    },
  ];
}

/** @param {import("../cache.mjs").Figures} figures @returns {Line[]} */
function liveLines({ live, store }) {
  /** @typedef {import("./live.mjs").Live} Load */
  /** @typedef {{ rounds: Load[], paced: Load }} Loads */
  /** @typedef {(load: Load) => number} Figure */
  const worst =
    (/** @type {Figure} */ of) =>
    (/** @type {Loads} */ { rounds, paced }) =>
      Math.max(...[...rounds, paced].map(of));
  const typical = (/** @type {Loads} */ { rounds }, /** @type {Figure} */ of) => median(rounds.map(of));
  const most = (/** @type {number} */ most, /** @type {Figure} */ of) => ({
    must: most === 0 ? "0" : `≤ ${most}`,
    met: (/** @type {Loads} */ loads) => worst(of)(loads) <= most,
  });
  const calls = (/** @type {Load} */ { calls }) => calls;
  const waited = (/** @type {Load} */ { waited }) => waited;
  const speed = (/** @type {Loads} */ loads) => typical(loads, ({ requests, seconds }) => requests / seconds);
  const ours = live[0] ? speed(live[0]) : 1;
  return [
    line(`50 clients, ${SECONDS} s, ttl 1 s: origin calls`, live, (loads) => `${worst(calls)(loads)}`, most(8, calls)),
    line("  answers that waited for the origin", live, (loads) => `${worst(waited)(loads)}`, most(0, waited)),
    line("  oldest", live, (loads) => ms(worst(({ oldest }) => oldest)(loads))),
    line("  origin calls per second", live, (loads) => short(typical(loads, ({ calls, seconds }) => calls / seconds))),
    {
      name: "  store commands, HTTP calls per request",
      ours: `${store.commands.toFixed(4)}, ${store.calls.toFixed(4)}`,
      peers: [null, null],
    },
    line(
      `  at 500 a second: p50, p99, longest, of ${LATENCY_MS} ms or more`,
      live,
      ({ paced: { p50, p99, longest, slow } }) => `${[p50, p99, longest].map(ms).join(", ")}, ${slow}`,
    ),
    line(
      "  as fast as it goes: p50, p99, longest",
      live,
      (loads) =>
        `${ms(typical(loads, ({ p50 }) => p50))}, ${ms(typical(loads, ({ p99 }) => p99))}, ${ms(typical(loads, ({ longest }) => longest))}`,
    ),
    line("  requests per second, of the gate's", live, (loads) => short(speed(loads) / ours)),
  ];
}

/** @param {import("../cache.mjs").Figures} figures @returns {Line[]} */
function troubleLines({ leaves, reset, hang }) {
  /** @typedef {NonNullable<typeof leaves[0]>} Trouble */
  const text = (/** @type {Trouble} */ { statuses, longest, calls }) => `${statuses}, ${ms(longest)}, ${calls}`;
  const next = (/** @type {Trouble} */ { next, nextMs }) => `${next}, ${ms(nextMs)}`;
  const within = (/** @type {number} */ most, /** @type {string} */ statuses) => ({
    must: `${statuses}, ≤ ${ms(most)}`,
    met: (/** @type {Trouble} */ { told, longest }) =>
      told.every(({ status }) => (statuses === "200" ? status === 200 : status !== 0)) && longest <= most,
  });
  const clean = { must: "200", met: (/** @type {Trouble} */ { next }) => next === 200 };
  return [
    line("who asked hangs up: followers, longest, origin calls", leaves, text, within(ORIGIN_TIMEOUT_MS, "200")),
    line("  the next request", leaves, next, clean),
    line("the origin resets: followers, longest, origin calls", reset, text, within(ORIGIN_TIMEOUT_MS, "answered")),
    line("  the next request, after 1.1 s", reset, next, clean),
    line(
      "the origin hangs, then heals: followers, longest, origin calls",
      hang,
      text,
      within(ORIGIN_TIMEOUT_MS + 1_000, "answered"),
    ),
    line("  the next request, after 1.1 s", hang, next, clean),
  ];
}

/** @param {import("../cache.mjs").Figures} figures @returns {Line[]} */
function ageLines({ fine, fineOverTwo, ceiling, deadByReset, deadByHang, purge }) {
  const { ttl } = TIMES["/fine"];
  const { ttl: fresh, ifError = 0 } = TIMES["/ceiling"];
  /** @typedef {{ oldest: number }} Aged */
  const most = (/** @type {number} */ most) => ({
    must: `≤ ${ms(most)}`,
    met: (/** @type {Aged} */ { oldest }) => oldest <= most,
  });
  /** @typedef {NonNullable<typeof deadByReset[0]>} Dead */
  const dead = (/** @type {Dead} */ { statuses, longest }) => `${statuses}, ${ms(longest)}`;
  const served = { must: "200", met: (/** @type {Dead} */ { isStale }) => isStale };
  const back = (/** @type {Dead} */ { backMs }) => ms(backMs);
  const soon = (/** @type {number} */ most) => ({
    must: `≤ ${ms(most)}`,
    met: (/** @type {Dead} */ { backMs }) => backMs <= most,
  });
  return [
    line(`ttl ${ttl} ms: oldest served as fresh, one isolate`, fine, ({ oldest }) => ms(oldest), most(ttl)),
    line("the same, two isolates", [fineOverTwo, null, null], ({ oldest }) => ms(oldest), most(ttl + CLOCKS_MS)),
    line(
      `origin down, ttl + stale_if_error = ${ms(fresh + ifError)}: oldest served`,
      ceiling,
      ({ oldest, isEndless }) => (isEndless ? `${ms(oldest)}, all the time` : ms(oldest)),
      most(fresh + ifError),
    ),
    line("origin dead (resets): answers, longest", deadByReset, dead, served),
    line("  fresh again after", deadByReset, back, soon(2_000)),
    line("origin dead (hangs): answers, longest", deadByHang, dead, served),
    line("  fresh again after", deadByHang, back, soon(2 * ORIGIN_TIMEOUT_MS)),
    {
      ...line("purge, until every isolate has it", purge, ms, { must: "≤ 1.2 s", met: (took) => took <= 1_200 }),
      ...(purge[0] === null && { must: "≤ 1.2 s", met: false, ours: "no purge" }),
    },
  ];
}

/** @param {import("../cache.mjs").Figures} figures @returns {Line[]} */
function largeLines({ large: { ofGates, toPlain, moreUs }, copied, live }) {
  let next = 2;
  const peers = live.slice(1).map((rounds) => (rounds === null ? null : ofGates[next++]));
  const none = [null, null];
  return [
    {
      name: "250 KB out of L1: bytes copied through wasm per hit",
      must: "≤ 10000",
      met: copied.large <= 10_000,
      ours: copied.large.toFixed(0),
      peers: none,
    },
    { name: "  the same, 1 KB", ours: copied.small.toFixed(0), peers: none },
    { name: "  wasm's memory grew by, bytes", ours: `${copied.grown}`, peers: none },
    { name: "  requests per second, of the gate's", ours: "1", peers },
    { name: "  requests per second : plain JS, 250 KB, 1 KB", ours: `${toPlain.large}, ${toPlain.small}`, peers: none },
    {
      name: "  processor, 250 KB more than 1 KB: gate, plain JS",
      ours: moreUs.every(Boolean) ? moreUs.map((us) => `${us.toFixed(0)} µs`).join(", ") : null,
      peers: none,
    },
  ];
}

/** @param {number} ms */
function ms(ms) {
  return ms < 10 ? `${short(ms)} ms` : ms < 10_000 ? `${Math.round(ms)} ms` : `${short(ms / 1000)} s`;
}

/** @param {number} number */
function short(number) {
  return `${Number(number.toFixed(2))}`;
}
