/**
 * Random traces of several processes over one Redis, with a clock of their own: whatever happens,
 * no value is returned that is too old or was purged, and one process at a time loads.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { choices, clock, edge, freshPrefix, seed, startStore, tapped, times, turn } from "./kit.mjs";

/**
 * @import { EntryOptions, LoadContext } from "@omnitrade/edge"
 * @typedef {object} Kept
 * @property {number} ttl
 * @property {number} staleWhileRevalidate
 * @property {number} [staleIfError]
 * @property {string[]} tags
 */

const { Cache, Redis } = edge;
const { store } = await startStore();

const PROCESSES = 3;
const KEYS = ["a", "b"];
const TAGS = ["t", "u"];

/** How long a process believes what it remembers. */
const BELIEVED = 1_000;

/** So many traces run at once: they wait most of the time. */
const AT_ONCE = 12;

/** Later than everything. */
const NEVER = Number.POSITIVE_INFINITY;

/**
 * A value that was made; its number is its place in the list of all. What is counted are events.
 * @typedef {object} Made
 * @property {string} key
 * @property {number} process
 * @property {Kept} kept
 * @property {number} begun from when on a purge must not be missed
 * @property {number} tagged the same for tags, in other processes
 * @property {number} ended
 * @property {number | undefined} stamp when it was made, by the clock
 */

/**
 * @typedef {object} Purge
 * @property {"key" | "tag"} what
 * @property {string} name
 * @property {number} process
 * @property {number} called
 * @property {number} resolved
 * @property {number} at when it was resolved, by the clock
 */

/** @typedef {{ key: string, since: number, goesOn: boolean }} Loading */

/** One trace. */
class Trace {
  now = clock(Date.now());
  events = 0;
  /** @type {Made[]} */
  made = [];
  /** @type {Purge[]} */
  purges = [];
  /** @type {{ key: string, process: number, called: number, resolved: number }[]} */
  sets = [];
  /** Loads until the lease of each is given back. @type {Set<Loading>} */
  loading = new Set();
  /** How many calls of each process are on their way. */
  calling = Array.from({ length: PROCESSES }, () => 0);
  /** Keys whose leases say nothing: what is loaded under them was not kept. @type {Set<string>} */
  unkept = new Set();
  /** When each key was last purged or set, or is being so. @type {Map<string, number>} */
  disturbed = new Map();
  /** @type {string[]} */
  wrong = [];
  isOver = false;
  loads = 0;
  calls = 0;

  /**
   * @param {ReturnType<typeof choices>} make
   * @param {{ schemas: boolean, l1Size?: number }} options
   */
  constructor(make, options) {
    this.make = make;
    this.options = options;
    const keyPrefix = freshPrefix();
    this.caches = Array.from({ length: PROCESSES }, (_, process) => {
      const link = tapped(new Redis({ ...store, timeout: "20s" }));
      const latency = make.between(0, 6);
      link.before = async (words) => {
        this.stamp(words);
        this.calling[process]++;
        if (make.chance(0.5)) await sleep(make.between(0, latency + 1));
      };
      link.after = async (reply) => {
        if (make.chance(0.3)) await sleep(make.between(0, latency + 1));
        this.calling[process]--;
        return reply;
      };
      const { l1Size } = options;
      return new Cache({ redis: link, keyPrefix, timeout: "20s", loadTimeout: "8s", now: this.now.now, l1Size });
    });
  }

  /**
   * Learns when a value was made from what is written to the store.
   * @param {readonly unknown[]} words
   */
  stamp([name, , text]) {
    const [, stamp, id] = /^2 \d+ \d+ (\d+) [\s\S]*\{"id":(\d+)/.exec(name === "SET" ? String(text) : "") ?? [];
    if (id === undefined) return;
    const made = this.made[Number(id)];
    made.stamp = Number(stamp);
    made.tagged = Math.min(made.tagged, this.events++);
  }

  /** @returns {Kept} */
  kept() {
    const { make } = this;
    const time = () =>
      make.weighted([
        [1, 0],
        [3, make.between(1, 2_000)],
        [2, 20_000],
      ]);
    const kept = { ttl: make.chance(0.05) ? 0 : time() + 1, staleWhileRevalidate: time(), tags: make.some(TAGS, 0.5) };
    return make.chance(0.5) ? { ...kept, staleIfError: time() } : kept;
  }

  /**
   * Checks that a call, which began when so much had happened, may return a value.
   * @param {number} process
   * @param {any} value
   * @param {{ at: number, begun: number }} call
   */
  check(process, value, call) {
    const made = this.made[value.id];
    const { ttl, staleWhileRevalidate, staleIfError = staleWhileRevalidate, tags } = made.kept;
    const tell = (/** @type {string} */ what) => {
      this.wrong.push(`${value.id} in ${process} ${what}: ${JSON.stringify({ made, call, now: this.now.at })}`);
    };
    if (made.ended < call.begun && made.stamp !== undefined && this.now.at >= made.stamp + ttl + staleIfError) {
      tell("is too old");
    }
    for (const purge of this.purges) {
      const isOf = purge.what === "key" ? purge.name === made.key : tags.includes(purge.name);
      const isHere = purge.process === process;
      const begun = purge.what === "key" || purge.process === made.process ? made.begun : made.tagged;
      const isLate = isHere ? call.begun > purge.called : call.begun > purge.resolved && call.at >= purge.at + BELIEVED;
      if (isOf && isLate && begun < purge.called) tell(`was purged: ${JSON.stringify(purge)}`);
    }
    for (const set of this.sets) {
      const isHere = set.process === process && made.process === process && set.key === made.key;
      // If the load ended before, the order of the two writes is the network's.
      const isBefore = made.begun < set.called && made.ended > set.resolved;
      if (isHere && isBefore && call.begun > set.resolved) tell("is from before a set");
    }
  }

  /** @param {string} key */
  disturb(key) {
    this.disturbed.set(key, this.events++);
  }

  /**
   * @param {string} key
   * @param {number} process
   * @param {Kept} kept
   * @param {number} since when its call began
   */
  loader(key, process, kept, since) {
    const { make } = this;
    const takes = make.weighted([
      [3, make.between(0, 4)],
      [2, make.between(0, 40)],
    ]);
    const end = make.weighted([
      [8, "value"],
      [2, "error"],
      [0.3, "nothing"],
      [0.3, "unkept"],
    ]);
    const other = make.chance(0.3) ? this.kept() : undefined;
    return async (/** @type {LoadContext} */ context) => {
      this.loads++;
      const begun = this.events++;
      const load = { key, since, goesOn: true };
      const all = [...this.loading].filter((each) => each.key === key);
      const first = Math.min(since, ...all.map((each) => each.since));
      const isAlone = this.options.schemas || this.unkept.has(key) || Number(this.disturbed.get(key)) >= first;
      if (all.some((each) => each.goesOn) && !isAlone) this.wrong.push(`2 loads of ${key} at once, in ${process}`);
      // Whoever overlaps with one of them may have been let in by what let that one in.
      load.since = Math.min(since, ...all.map((each) => each.since));
      this.loading.add(load);
      try {
        await sleep(takes / 2);
        if (other) context.keep(other);
        await sleep(takes / 2);
        if (end === "unkept") context.keep(false);
        const used = { ...kept, ...other };
        if (end === "nothing" || end === "unkept" || used.ttl + used.staleWhileRevalidate === 0) this.unkept.add(key);
        if ((used.staleIfError ?? used.staleWhileRevalidate) + used.ttl === 0) this.unkept.add(key);
        if (end === "error") throw new Error("down");
        if (end === "nothing") return undefined;
        const hasLate = other !== undefined;
        this.made.push({
          ...{ key, process, kept: used, begun, tagged: hasLate ? NEVER : begun, ended: this.events++ },
          stamp: hasLate ? undefined : this.now.at,
        });
        return { id: this.made.length - 1, version: process % 2 };
      } finally {
        load.goesOn = false;
        this.settle(load, process);
      }
    };
  }

  /**
   * A load is over when its process has written what it has to: the lease that it gives back may be
   * another one's, if its key was purged.
   * @param {Loading} load
   * @param {number} process
   */
  async settle(load, process) {
    do await sleep(2);
    while (this.calling[process] > 0 && !this.isOver);
    this.loading.delete(load);
  }

  /** Does something, and returns when it is over. */
  async act() {
    const { make, caches } = this;
    const [process, key] = [make.between(0, PROCESSES), make.one(KEYS)];
    const cache = caches[process];
    const call = { at: this.now.at, begun: this.events++ };
    await make.weighted([
      [
        12,
        async () => {
          this.calls++;
          const kept = this.kept();
          const schema = this.options.schemas && make.chance(0.7) ? schemaOf(process % 2, make.chance(0.3)) : undefined;
          try {
            const load = this.loader(key, process, kept, call.begun);
            const value = await cache.getOrSet(key, { ...kept, schema }, load);
            if (value !== undefined) this.check(process, value, call);
          } catch (error) {
            assert.equal(/** @type {Error} */ (error).message, "down");
          }
        },
      ],
      [
        3,
        async () => {
          const entry = await cache.get(key);
          if (entry) this.check(process, entry.value, call);
        },
      ],
      [
        2,
        async () => {
          const kept = this.kept();
          const set = { key, process, called: call.begun, resolved: NEVER };
          const made = { key, process, kept, begun: NEVER, tagged: NEVER, ended: NEVER, stamp: undefined };
          this.sets.push(set);
          this.disturb(key);
          const id = this.made.push(made) - 1;
          if (kept.ttl + (kept.staleIfError ?? kept.staleWhileRevalidate) === 0) this.unkept.add(key);
          await cache.set(key, { id, version: process % 2 }, kept);
          this.disturb(key);
          made.begun = made.tagged = made.ended = set.resolved = this.events++;
        },
      ],
      [2, () => this.purge(process, "key", key)],
      [2, () => this.purge(process, "tag", make.one(TAGS))],
      [
        4,
        async () => {
          // Nothing that is decided already is returned after it.
          await turn();
          this.now.pass(make.between(0, make.one([50, 1_500])));
        },
      ],
    ])();
  }

  /**
   * @param {number} process
   * @param {"key" | "tag"} what
   * @param {string} name
   */
  async purge(process, what, name) {
    const purge = { what, name, process, called: this.events++, resolved: NEVER, at: NEVER };
    this.purges.push(purge);
    if (what === "key") this.disturb(name);
    await this.caches[process].purge(what === "key" ? { keys: [name] } : { tags: [name] });
    if (what === "key") this.disturb(name);
    purge.resolved = this.events++;
    purge.at = this.now.at;
  }

  async run() {
    const acts = [];
    // Their clocks agree with the store's from the start.
    for (const cache of this.caches) {
      this.now.at = Date.now();
      await cache.getOrSet("first", { ttl: 1 }, () => ({}));
    }
    for (let left = this.make.between(10, 80); left > 0; left--) {
      acts.push(this.act());
      if (this.make.chance(0.7)) await sleep(this.make.between(0, 12));
    }
    await Promise.all(acts);
    this.isOver = true;
  }
}

/**
 * A schema that takes one version, maybe after a while.
 * @param {number} version
 * @param {boolean} isSlow
 */
function schemaOf(version, isSlow) {
  return {
    "~standard": {
      validate: async (/** @type {any} */ value) => {
        if (isSlow) await sleep(5);
        return value.version === version ? { value } : { issues: [{ message: "of another version" }] };
      },
    },
  };
}

for (const [what, options] of /** @type {const} */ ([
  ["one loads", { schemas: false }],
  ["one loads, without memory", { schemas: false, l1Size: 0 }],
  ["versions that do not fit", { schemas: true }],
])) {
  test(`nothing is too old or purged, whatever happens: ${what}`, async () => {
    const first = seed();
    let [loads, calls] = [0, 0];
    const run = async (/** @type {number} */ number) => {
      const trace = new Trace(choices(number), options);
      await trace.run();
      assert.deepEqual(trace.wrong, [], `SEED=${number}`);
      loads += trace.loads;
      calls += trace.calls;
    };
    const cases = times(12);
    for (let n = 0; n < cases; n += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, more) => run(first + n + more)));
    }
    assert.ok(loads < calls && loads > calls / 20, `${loads} loads for ${calls} calls`);
  });
}
