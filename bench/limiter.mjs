/**
 * How well the limiter works: what adversaries get, what ordinary clients get, what it costs the
 * store, and whether clients are told the truth. Traces run on a virtual clock; commands and times
 * are those of a real Redis.
 */
import { measureCosts, NAMES } from "./cost.mjs";
import { oneClient, SLOW, underAttack, underLoad, whatIsTold } from "./limiter/measurements.mjs";
import { largestState, openScript, scriptTimes } from "./limiter/script.mjs";
import { buildSimulation } from "./limiter/simulation.mjs";
import { upstash } from "./limiter/upstash.mjs";

/** Another seed makes other traces. */
const SEED = 20_261_125;

const COLUMNS = ["must", "met", "omnitrade-edge", "@upstash", "@upstash, ephemeralCache: false", "governor"];

/**
 * A line of the table.
 * @typedef {object} Line
 * @property {string} name
 * @property {string} [must]
 * @property {boolean} [met]
 * @property {string | null} ours
 * @property {(string | null)[]} peers `@upstash` with its memory of refusals, without it, and
 *   `governor`
 */

/** @param {import("./lib/ground.mjs").Ground} ground */
export async function measure(ground) {
  const simulation = await buildSimulation();
  const peer = upstash(ground.rest);
  const lab = { simulate: simulation.simulate, peer, seed: SEED };
  const attack = await underAttack(lab);
  const load = await underLoad(lab);
  const told = await whatIsTold(lab);
  const one = await oneClient(lab);
  const rhythms = await simulation.rhythms();
  const script = await openScript(ground, simulation);
  const times = await scriptTimes(script, peer.redis);
  const largest = Math.max(told.largestState, await largestState(script));
  const peerState = await peer.largestState({ quota: 1_000_000_000, windowMs: 60_000 });
  const costs = await measureCosts(ground);

  /** @type {Line[]} */
  const lines = [
    ...attackLines(attack),
    ...loadLines(load),
    ...costLines(costs),
    ...scriptLines(times),
    ...toldLines(told),
    { name: "largest state of a subject, bytes", ...most(largest, 400), peers: [`${peerState}`, `${peerState}`, null] },
    ...oneClientLines(one),
    ...rhythmLines(rhythms),
  ];
  return {
    title: "How well it limits",
    columns: COLUMNS,
    rows: lines.map(({ name, must, met, ours, peers }) => ({
      name,
      cells: [must ?? "", met === undefined ? "" : met ? "yes" : "NO", ours, ...peers],
    })),
    notes: [
      `Traces of seed ${SEED}, the same for all; governor: burst N and one permit back each window / N, in each isolate.`,
      `Adversaries: ${attack.requests} requests in all, by way of 1 to 8 isolates; windows with both ends.`,
      `Slow store: a call takes ${SLOW.join(" to ")} ms of virtual time; by the instants at which requests come.`,
      `Load: ${load.shapes.map(({ quota, windowMs }) => `${quota} per ${windowMs / 1000} s`).join(", ")}; slow store; the worst of them.`,
      `Script: medians of ${times.rounds} rounds of ${times.calls} calls, all sub-buckets in use.`,
      "Probe: when the same request would pass, if nobody came in between; @upstash by its `reset`. Log: as soon",
      "as a log of all that was admitted would let it.",
      "Rhythms: clients with two leased limits of 120 per minute on a virtual clock, commands per request, and in",
      "brackets with exact limits; too early: an exact log of what was admitted would have let the request pass.",
      "Moving: up to half of 100 permits per minute through one isolate, then as fast as it goes through another.",
    ],
    data: { seed: SEED, attack, load, told, one, rhythms, times, largestState: largest, peerState, costs },
  };
}

/** @param {Awaited<ReturnType<typeof underAttack>>} attack @returns {Line[]} */
function attackLines({ most: figures, slow, slowLess }) {
  const peers = peersOf(figures);
  const none = [null, null, null];
  return [
    { name: "most in any window / quota, adversary, exact", ...most(figures.exact, 1), peers },
    { name: "the same, lease", ...most(figures.lease, 1), peers },
    { name: "slow store: exact, lease", ours: `${short(slow.exact)}, ${short(slow.lease)}`, peers: none },
    {
      name: `slow store, in any window less ${SLOW[1]} ms`,
      ours: `${short(slowLess.exact)}, ${short(slowLess.lease)}`,
      peers: none,
    },
  ];
}

/** @param {Awaited<ReturnType<typeof underLoad>>} load @returns {Line[]} */
function loadLines({ worst }) {
  const peers = peersOf(worst);
  return [
    { name: "admitted under 1.5 × quota / exact log, exact", ...least(worst.exact, 0.95), peers },
    { name: "the same, lease, 3 isolates", ...least(worst.lease, 0.9), peers },
  ];
}

/** @param {Awaited<ReturnType<typeof measureCosts>>} costs @returns {Line[]} */
function costLines(costs) {
  /** @type {[name: string, kind: string, of: "commands" | "calls", must: number][]} */
  const wanted = [
    ["Redis commands per request: one limit", NAMES.oneLimit, "commands", 3],
    ["two limits", NAMES.twoLimits, "commands", 4],
    ["leased and hot (50 a second)", NAMES.leased, "commands", 0.2],
    ["refused again", NAMES.refusedAgain, "commands", 0],
    ["HTTP calls per request, limit and cache", NAMES.cached, "calls", 1],
  ];
  return wanted.map(([name, kind, of, must]) => ({
    name,
    ...most(costs.ours[kind][of], must),
    peers: [short(costs.peer[kind][of]), short(costs["peer-no-block"][kind][of]), null],
  }));
}

/** @param {Awaited<ReturnType<typeof scriptTimes>>} times @returns {Line[]} */
function scriptLines({ ours, peer }) {
  const line = most(Math.max(...Object.values(ours)), 40);
  const all = Math.max(...Object.values(peer));
  /** @type {Record<string, string>} */
  const alike = { "in a sub-bucket in use": "admitted", refused: "refused" };
  return [
    { name: "script time in Redis, k = 30, µs, the slowest kind", ...line, peers: [short(all), short(all), null] },
    ...Object.entries(ours).map(([kind, time]) => ({
      name: `  ${kind}`,
      ours: short(time),
      peers: [null, kind in alike ? short(peer[alike[kind]]) : null, null],
    })),
  ];
}

/** @param {Awaited<ReturnType<typeof whatIsTold>>} told @returns {Line[]} */
function toldLines({ results, byLog }) {
  const peers = [results.block, results["no-block"], results.governor].map((told) => told && toldIn(told).text);
  const must = "0 early, ≤ sub-bucket + 1 s late";
  const line = (/** @type {string} */ name, /** @type {import("./limiter/measurements.mjs").Told[]} */ told) => {
    const { text, met, often } = toldIn(told);
    return { name, must, met, ours: `${text}${often}`, peers };
  };
  return [
    line("Retry-After, t, reset against a probe, exact", results.exact),
    line("the same, lease", results.lease),
    { ...line("the same against an exact log, exact", byLog), peers: [null, null, null] },
  ];
}

/** The worst of several shapes. @param {import("./limiter/measurements.mjs").Told[]} told */
function toldIn(told) {
  const inWords = (/** @type {number} */ ms) => (ms < 100 ? `${ms} ms` : `${Number((ms / 1000).toFixed(2))} s`);
  const early = Math.max(...told.map((shape) => shape.early));
  const { late, allowed } = told.reduce((a, b) => (b.late / b.allowed > a.late / a.allowed ? b : a));
  const share = Math.max(...told.map(({ tooLate }) => tooLate));
  return {
    text: `${inWords(early)} early, ${inWords(late)} late`,
    met: early === 0 && late <= allowed,
    often: share > 0 ? ` (${short(100 * share)} % too late)` : "",
  };
}

/** @param {Awaited<ReturnType<typeof oneClient>>} figures @returns {Line[]} */
function oneClientLines({ rightAfter, later, atOnce }) {
  const line = (/** @type {string} */ name, /** @type {import("./limiter/measurements.mjs").Figures} */ figures) => ({
    name,
    ours: `${short(figures.exact)}, ${short(figures.lease)}`,
    peers: peersOf(figures),
  });
  return [
    line("moving client's share of its quota: exact, lease", rightAfter),
    line("the same 20 s later: unspent permits went back", later),
    line("twice the quota at once, 3 isolates: exact, lease", atOnce),
  ];
}

/** @param {import("./limiter/simulation.mjs").Rhythm[]} rhythms @returns {Line[]} */
function rhythmLines(rhythms) {
  return rhythms.map(({ name, commands, exact, most: bound, early, earlyExact }) => {
    const refused = early + earlyExact > 0 ? `; ${short(early)} % too early (${short(earlyExact)} %)` : "";
    const line = bound === null ? {} : most(commands, bound);
    return {
      ...line,
      name: `rhythm: ${name}`,
      ours: `${short(commands)} (${short(exact)})${refused}`,
      peers: [null, null, null],
    };
  });
}

/** @param {import("./limiter/measurements.mjs").Figures} figures */
function peersOf(figures) {
  return [figures.block, figures["no-block"], figures.governor].map(short);
}

/** @param {number} figure @param {number} must */
function most(figure, must) {
  return { must: must === 0 ? "0" : `≤ ${must}`, met: figure <= must, ours: short(figure) };
}

/** @param {number} figure @param {number} must */
function least(figure, must) {
  return { must: `≥ ${must}`, met: figure >= must, ours: short(figure) };
}

/** @param {number} number */
function short(number) {
  return `${Number(number.toFixed(2))}`;
}
