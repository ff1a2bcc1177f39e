/** The measurements on the virtual clock. */
import { exactLog, mostInAWindow } from "./exact-log.mjs";
import { adversaries, poisson, randomNumbers, START } from "./traces.mjs";
import { FLAVOURS } from "./upstash.mjs";

/** @typedef {import("./simulation.mjs").Scenario} Scenario */
/** @typedef {import("./simulation.mjs").Outcome} Outcome */
/** @typedef {import("./simulation.mjs").Wait} Wait */
/** @typedef {import("./traces.mjs").Shape} Shape */
/** @typedef {import("./traces.mjs").Trace} Trace */
/** @typedef {ReturnType<typeof import("./upstash.mjs").upstash>} Upstash */
/** @typedef {import("./upstash.mjs").Flavour} Flavour */
/**
 * @typedef {{
 *   simulate: (scenarios: Scenario[]) => Promise<Outcome[]>, peer: Upstash, seed: number
 * }} Lab
 */

/** The contestants: the gate's limiter with its two strategies, and the peers. */
export const WHO = /** @type {const} */ (["exact", "lease", ...FLAVOURS, "governor"]);

/** @typedef {typeof WHO[number]} Who */
/** @typedef {Record<Who, number>} Figures */

/** A store that answers at once, and one that is as slow and as uneven as real ones. */
export const AT_ONCE = /** @type {[number, number]} */ ([0, 0]);
export const SLOW = /** @type {[number, number]} */ ([5, 50]);

const MINUTE = 60_000;

/** @type {Shape[]} */
const ATTACKED = [
  { quota: 60, windowMs: MINUTE },
  { quota: 7, windowMs: 10_001 },
];

/** @type {(Shape & { windows: number })[]} `windows`: the first two of them are not evaluated */
const STEADY = [
  { quota: 10, windowMs: MINUTE, windows: 102 },
  { quota: 100, windowMs: MINUTE, windows: 22 },
  { quota: 1_000, windowMs: MINUTE, windows: 10 },
  { quota: 100, windowMs: 10_000, windows: 22 },
  { quota: 100, windowMs: 60 * MINUTE, windows: 22 },
];

const LOAD = 1.5;
const ISOLATES = 3;
const MOST_ISOLATES = 8;

/**
 * How many requests of a trace are probed: in the simulation, and over a real Redis, which is
 * slower.
 */
const PROBES = 300;
const PEERS_PROBES = 40;

/** @typedef {{ shape: Shape, isolates: number, trace: Trace }} Job */

/**
 * Which requests of each trace each contestant admits.
 * @param {Lab} lab
 * @param {Job[]} jobs
 * @param {[number, number]} storeMs
 * @returns {Promise<Record<Who, boolean[][]>>}
 */
async function admittedByAll(lab, jobs, storeMs) {
  const peers = [];
  for (const { shape, isolates, trace } of jobs) peers.push(await lab.peer.run(shape, isolates, trace));
  return {
    exact: await admittedBy(lab, jobs, "exact", storeMs),
    lease: await admittedBy(lab, jobs, "lease", storeMs),
    block: peers.map(({ block }) => block.admitted),
    "no-block": peers.map((run) => run["no-block"].admitted),
    governor: await admittedBy(lab, jobs, "governor", storeMs),
  };
}

/**
 * Which requests of each trace one of the simulated contestants admits.
 * @param {Lab} lab
 * @param {Job[]} jobs
 * @param {"exact" | "lease" | "governor"} who
 * @param {[number, number]} storeMs
 */
async function admittedBy({ simulate, seed }, jobs, who, storeMs) {
  const scenarios = jobs.map(({ shape: { quota, windowMs }, isolates, trace }) => ({
    who,
    quota,
    windowMs,
    isolates,
    storeMs,
    seed,
    trace,
  }));
  return (await simulate(scenarios)).map(({ answers }) => answers.map(([admitted]) => admitted === 1));
}

/** @param {(who: Who) => number} of @returns {Figures} */
function figures(of) {
  const all = WHO.map((who) => [who, of(who)]);
  return /** @type {Figures} */ (Object.fromEntries(all));
}

/**
 * The most that adversaries get in any window, as a multiple of the quota.
 * @param {Lab} lab
 */
export async function underAttack(lab) {
  const random = randomNumbers(lab.seed);
  const jobs = ATTACKED.flatMap((shape) =>
    Array.from({ length: MOST_ISOLATES }, (_, n) => n + 1).flatMap((isolates) =>
      adversaries(shape, isolates, random).map(({ name, trace }) => ({ name, shape, isolates, trace })),
    ),
  );
  const worstOf = (/** @type {boolean[][]} */ runs, less = 0) => {
    const shares = runs.map((admitted, n) => {
      const { shape, trace } = jobs[n];
      const times = trace.flatMap(([at], request) => (admitted[request] ? [at] : []));
      return mostInAWindow(times, shape.windowMs - less) / shape.quota;
    });
    return Math.max(...shares);
  };
  const runs = await admittedByAll(lab, jobs, AT_ONCE);
  const slow = { exact: await admittedBy(lab, jobs, "exact", SLOW), lease: await admittedBy(lab, jobs, "lease", SLOW) };
  return {
    most: figures((who) => worstOf(runs[who])),
    slow: { exact: worstOf(slow.exact), lease: worstOf(slow.lease) },
    slowLess: { exact: worstOf(slow.exact, SLOW[1]), lease: worstOf(slow.lease, SLOW[1]) },
    requests: jobs.reduce((sum, { trace }) => sum + trace.length, 0),
  };
}

/**
 * The share of a steady load above the quota that is admitted, relative to what an exact log
 * admits.
 * @param {Lab} lab
 */
export async function underLoad(lab) {
  const random = randomNumbers(lab.seed + 1);
  const jobs = STEADY.map((shape) => ({
    shape,
    isolates: ISOLATES,
    trace: poisson({ ...shape, load: LOAD }, ISOLATES, random),
  }));
  const runs = await admittedByAll(lab, jobs, SLOW);
  const count = (/** @type {boolean[]} */ admitted, /** @type {Job} */ { shape, trace }) => {
    const from = START + 2 * shape.windowMs;
    return admitted.filter((yes, request) => yes && trace[request][0] >= from).length;
  };
  const logs = jobs.map(({ shape, trace }) =>
    exactLog(
      trace.map(([at]) => at),
      shape,
    ),
  );
  const shares = runs.exact.map((_, n) => figures((who) => count(runs[who][n], jobs[n]) / count(logs[n], jobs[n])));
  return { shapes: STEADY, shares, worst: figures((who) => Math.min(...shares.map((share) => share[who]))) };
}

/**
 * @typedef {object} Told
 * @property {number} early at most, ms
 * @property {number} late at most, ms
 * @property {number} allowed how late it may be, ms
 * @property {number} tooLate the share of answers that are later
 */

/**
 * When clients are told to come back, compared with the truth.
 * @param {Lab} lab
 */
export async function whatIsTold(lab) {
  const random = randomNumbers(lab.seed + 2);
  /** @type {Record<Who, Told[]>} */
  const results = { exact: [], lease: [], block: [], "no-block": [], governor: [] };
  /** @type {Told[]} */
  const byLog = [];
  let largestState = 0;
  for (const shape of [...ATTACKED, { quota: 100, windowMs: 60 * MINUTE }]) {
    const trace = poisson({ ...shape, windows: 8, load: LOAD }, ISOLATES, random);
    for (const who of /** @type {const} */ (["exact", "lease", "governor"])) {
      const scenario = { who, ...shape, isolates: ISOLATES, storeMs: AT_ONCE, seed: lab.seed, trace };
      const [{ answers, largestState: state }] = await lab.simulate([scenario]);
      largestState = Math.max(largestState, state);
      const which = (/** @type {0 | 1} */ admitted) =>
        sample(
          answers.flatMap((answer, n) => (answer[0] === admitted ? [n] : [])),
          PROBES,
        );
      // A probe of the store does not see permits that were fetched ahead, and governor tells
      // admitted requests nothing.
      const probes = [...which(0), ...(who === "exact" ? which(1) : [])];
      const [{ waits }] = await lab.simulate([{ ...scenario, probes }]);
      results[who].push(worst(shape, waits));
      if (who === "exact") byLog.push(worst(shape, waitsByLog(shape, answers)));
    }
    const before = await lab.peer.run(shape, ISOLATES, trace);
    const refused = (/** @type {Flavour} */ who) =>
      sample(
        before[who].admitted.flatMap((yes, n) => (yes ? [] : [n])),
        PEERS_PROBES,
      );
    const probes = { block: refused("block"), "no-block": refused("no-block") };
    const probed = await lab.peer.run(shape, ISOLATES, trace, probes);
    for (const who of FLAVOURS) results[who].push(worst(shape, probed[who].waits));
  }
  return { results, byLog, largestState };
}

/**
 * @param {Shape} shape
 * @param {Wait[]} waits
 * @returns {Told}
 */
function worst({ windowMs }, waits) {
  const early = waits.map(({ told, toldInSeconds, truly }) => truly - Math.min(told, toldInSeconds));
  const late = waits.map(({ told, toldInSeconds, truly }) => Math.max(told, toldInSeconds) - truly);
  const allowed = Math.ceil(windowMs / 30) + 1_000;
  return {
    early: Math.max(0, ...early),
    late: Math.max(0, ...late),
    allowed,
    tooLate: late.filter((ms) => ms > allowed).length / Math.max(late.length, 1),
  };
}

/**
 * What refused requests were told, and when a log of the requests admitted before would let them
 * pass.
 * @param {Shape} shape
 * @param {import("./simulation.mjs").Answer[]} answers
 */
function waitsByLog({ quota, windowMs }, answers) {
  /** @type {number[]} */
  const log = [];
  /** @type {Wait[]} */
  const waits = [];
  for (const [admitted, at, retryAfter] of answers) {
    if (admitted) {
      log.push(at);
      continue;
    }
    // A request exactly one window later is still inside the window.
    const truly = Math.max(at, (log[log.length - quota] ?? Number.NEGATIVE_INFINITY) + windowMs + 1);
    const toldInSeconds = at + 1_000 * Math.ceil(retryAfter / 1_000);
    waits.push({ asked: at, answered: at, admitted: false, told: at + retryAfter, toldInSeconds, truly });
  }
  return waits;
}

/** @param {number[]} numbers @param {number} most */
function sample(numbers, most) {
  const step = Math.max(numbers.length / most, 1);
  return numbers.filter((_, n) => Math.floor(n / step) !== Math.floor((n - 1) / step));
}

/**
 * A client whose requests all go to another isolate than before: how much of its quota it gets
 * while the first isolate still holds permits for it, and after these were returned. And a client
 * whose requests come all at once.
 * @param {Lab} lab
 */
export async function oneClient(lab) {
  const shape = { quota: 100, windowMs: MINUTE };
  const moving = [5, 10, 25, 50].map((perSecond) => {
    const before = Array.from({ length: Math.min(2 * perSecond, 50) }, (_, n) => Math.floor((n * 1000) / perSecond));
    const moved = before[before.length - 1] + 100;
    // First as fast as possible, to take everything that is left; then at intervals.
    const after = Array.from({ length: 2 * shape.quota }, (_, n) => moved + 4 * n);
    const later = Array.from({ length: 100 }, (_, n) => moved + 1_000 + 200 * n);
    /** @type {Trace} */
    const trace = [
      ...before.map((at) => /** @type {[number, number]} */ ([START + at, 0])),
      ...[...after, ...later].map((at) => /** @type {[number, number]} */ ([START + at, 1])),
    ];
    return { shape, isolates: 2, trace, rightAfter: START + moved + 999 };
  });
  /** @type {Trace} */
  const atOnce = Array.from({ length: 2 * shape.quota }, (_, n) => [START + 1_000, n % ISOLATES]);
  const burst = [{ shape, isolates: ISOLATES, trace: atOnce }];
  const runs = await admittedByAll(lab, [...moving, ...burst], SLOW);
  const share = (/** @type {Who} */ who, /** @type {number} */ n, until = Number.POSITIVE_INFINITY) => {
    const { trace } = moving[n] ?? burst[0];
    return runs[who][n].filter((yes, request) => yes && trace[request][0] <= until).length / shape.quota;
  };
  return {
    rightAfter: figures((who) => Math.min(...moving.map(({ rightAfter }, n) => share(who, n, rightAfter)))),
    later: figures((who) => Math.min(...moving.map((_, n) => share(who, n)))),
    atOnce: figures((who) => share(who, moving.length)),
  };
}
