/** One soak: traffic, faults and measurements side by side, then what is found in their logs. */
import { setTimeout as sleep } from "node:timers/promises";
import { presentMemory } from "../support/memory.mjs";
import { choices } from "../support/random.mjs";
import { faults } from "./faults.mjs";
import { median, megabytes, quarters, violations } from "./invariants.mjs";
import { traffic } from "./traffic.mjs";
import { startWorld } from "./world.mjs";

/** @param {{ seconds: number, seed: number, what: string[] }} options `what`: may fail */
export async function soak({ seconds, seed, what }) {
  const world = await startWorld();
  try {
    const until = Date.now() + 1_000 * seconds;
    const [entries, phases, watched] = await Promise.all([
      traffic(world, { until, choose: choices(seed) }),
      faults(world, { until, what, choose: choices(seed + 1) }),
      watch(world, until),
    ]);
    const { ends } = world.origin;
    const logs = { entries, phases, ends, answers: world.store.answers, ...watched };
    return {
      logs,
      found: violations(logs),
      summary: summary({ entries, phases, memory: watched.memory, calls: world.store.calls() }),
    };
  } finally {
    await world.stop();
  }
}

/**
 * Measures memory, and looks for keys that never expire.
 * @param {import("./world.mjs").World} world
 * @param {number} until
 */
async function watch({ gate, commands }, until) {
  /** @type {number[]} */
  const memory = [];
  /** @type {Set<string>} */
  const endless = new Set();
  while (Date.now() < until) {
    await sleep(Math.min(1_000, until - Date.now()));
    memory.push(presentMemory(gate));
    for (const key of await commands.keys()) {
      if ((await commands.run("PTTL", key)) === -1) endless.add(key);
    }
  }
  return { memory, endless: [...endless] };
}

/**
 * @param {object} of
 * @param {import("./traffic.mjs").Entry[]} of.entries
 * @param {import("./faults.mjs").Phase[]} of.phases
 * @param {number[]} of.memory
 * @param {number} of.calls
 */
function summary({ entries, phases, memory, calls }) {
  /** @type {Record<string, number>} */
  const answers = {};
  for (const { status, limiter } of entries) {
    const kind = `${status} ${limiter}`;
    answers[kind] = (answers[kind] ?? 0) + 1;
  }
  const failing = phases.filter(({ store, origin }) => store !== null || origin !== null);
  const longest = entries.reduce((most, { sentAt, receivedAt }) => Math.max(most, receivedAt - sentAt), 0);
  return [
    `${entries.length} requests, ${calls} store calls; ${failing.length} of ${phases.length} phases with faults`,
    `answers by status and limiter: ${Object.entries(answers)
      .toSorted(([, a], [, b]) => b - a)
      .map(([kind, count]) => `${kind}: ${count}`)
      .join(", ")}`,
    `the longest answer took ${longest} ms; memory, by quarters: ${quarters(memory)
      .map((part) => megabytes(median(part)))
      .join(", ")}`,
  ];
}
