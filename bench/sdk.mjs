/** The npm package: speed beside `@upstash/ratelimit`, start, memory and size. */
import { cp, symlink } from "node:fs/promises";
import { join } from "node:path";
import { buildPackage, packageSizes } from "../scripts/lib/package.mjs";
import { Failure, root, run } from "../scripts/lib/process.mjs";
import { ensureNode } from "../scripts/lib/runtimes.mjs";
import { makeProject } from "../tests/package/project.mjs";
import { median, spread } from "./lib/report.mjs";

/** @typedef {{ perSecond: number, cpuMicroseconds: number }} Result */

/** What is compared: a contest of `sdk/contest.mjs`, and how many clients call at once. */
const CONTESTS = [
  { title: "limitNow, leased ÷ blocked path", what: "blocked", clients: 1, must: 1 },
  { title: "limit, exact ÷ slidingWindow, one after another", what: "exact", clients: 1, must: 1.2 },
  { title: "the same, 16 requests of a server", what: "exact-apart", clients: 16, must: 1.2 },
  { title: "the same, 16 in step", what: "exact", clients: 16, must: 1.2 },
];

/** How often each Node imports the package. */
const IMPORTS = 15;
const MAJORS = /** @type {const} */ ([20, 22]);

/**
 * @param {import("./lib/ground.mjs").Ground} ground
 * @param {import("./main.mjs").Settings} settings
 * @returns {Promise<import("./lib/report.mjs").Table>}
 */
export async function measure(ground, { rounds = 7, seconds = 1 }) {
  await buildPackage();
  const project = await makeProject();
  for (const name of ["@upstash"])
    await symlink(join(root, "node_modules", name), join(project.folder, "node_modules", name));
  await cp(join(root, "bench/sdk"), project.folder, { recursive: true });
  const node = async (/** @type {string} */ program, /** @type {string[]} */ args) =>
    JSON.parse((await run(program, args, { cwd: project.folder, output: "quiet" })).text);

  /**
   * @typedef {{ ours: Result, peer: Result }} Pair
   * @type {{ title: string, must: number, ratios: number[], results: Pair[] }[]}
   */
  const contests = CONTESTS.map(({ title, must }) => ({ title, must, ratios: [], results: [] }));
  for (let round = 0; round < rounds; round++) {
    for (const [n, { what, clients }] of CONTESTS.entries()) {
      const args = [what, ground.rest.url, ground.rest.token, `${seconds * 1_000}`, `${clients}`];
      const result = await node(process.execPath, ["contest.mjs", ...args]);
      contests[n].results.push(result);
      contests[n].ratios.push(result.ours.perSecond / result.peer.perSecond);
    }
  }
  /** @type {Record<string, number[]>} */
  const imports = {};
  for (const major of MAJORS) {
    const found = await ensureNode(major);
    if ("problem" in found) throw new Failure(found.problem);
    const times = [];
    for (let n = 0; n < IMPORTS; n++) times.push(await node(found.program, ["import.mjs"]));
    imports[`Node ${major}`] = times;
  }
  const memory = await node(process.execPath, ["--expose-gc", "memory.mjs"]);
  const sizes = await packageSizes();
  return report({ contests, imports, memory, sizes, packed: project.packed, rounds, seconds });
}

/** @param {any} results @returns {import("./lib/report.mjs").Table} */
function report(results) {
  const { contests, imports, memory, sizes, packed, rounds, seconds } = results;
  const micro = (/** @type {Result[]} */ all) => median(all.map(({ cpuMicroseconds }) => cpuMicroseconds)).toFixed(1);
  const persecond = (/** @type {Result[]} */ all) => Math.round(median(all.map((each) => each.perSecond))).toString();
  const kilobytes = (/** @type {number} */ bytes) => `${(bytes / 1_000).toFixed(1)} kB`;
  return {
    title: "The npm package beside @upstash/ratelimit, calls per second as a ratio: median and quartiles",
    columns: ["ratio", "must", "ours per s", "peer per s", "CPU µs, ours", "CPU µs, peer"],
    rows: contests.map((/** @type {any} */ { title, must, ratios, results: all }) => {
      const [ours, peer] = [
        all.map((/** @type {any} */ each) => each.ours),
        all.map((/** @type {any} */ each) => each.peer),
      ];
      return {
        name: title,
        cells: [spread(ratios), `${must}`, persecond(ours), persecond(peer), micro(ours), micro(peer)],
      };
    }),
    notes: [
      `${rounds} rounds of ${seconds} s each, each in a process of its own, on Node ${process.versions.node}. The peer sends`,
      "calls of one turn in one request; so do we, but on Workers.",
    ],
    data: results,
    more: [
      {
        title: "From the import to the first local answer, ms",
        columns: ["median (quartiles)"],
        rows: Object.entries(imports).map(([name, times]) => ({ name, cells: [spread(times)] })),
        notes: [`${IMPORTS} processes each.`],
      },
      {
        title: "Memory in use after so many local calls on 10,000 subjects",
        columns: ["MB"],
        rows: [2, 5, 10].map((tens) => ({
          name: `${tens}0,000`,
          cells: [(memory[tens - 1] / 1e6).toFixed(2)],
        })),
        notes: [],
      },
      {
        title: "Size",
        columns: ["gzipped", "as it is"],
        rows: [
          ...Object.entries(sizes).map(([name, /** @type {any} */ { gzipped, bytes }]) => ({
            name,
            cells: [kilobytes(gzipped), kilobytes(bytes)],
          })),
          { name: "the package", cells: [kilobytes(packed.size), kilobytes(packed.unpackedSize)] },
        ],
        notes: [],
      },
    ],
  };
}
