/**
 * How large the Workers are, as they are uploaded, and the npm package, and what makes ours as
 * large as they are.
 */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { namesFile } from "../scripts/build.mjs";
import { buildPackage, namesOf, packageSizes } from "../scripts/lib/package.mjs";
import { root, run } from "../scripts/lib/process.mjs";
import { functionBodies, functionNames, namedSections, withoutCustomSections } from "../scripts/lib/wasm.mjs";
import { ours, peer, scriptOf } from "./lib/contestants.mjs";
import { originOf } from "./size/crates.mjs";

/** Crates with less than this part of the code are not listed. */
const LEAST_PART = 0.005;

/** @typedef {{ bytes: number, gzipped: number }} Size */

/** @returns {Promise<import("./lib/report.mjs").Table>} */
export async function measure() {
  const [named, script, module, ofPeer] = await Promise.all(
    [namesFile, await scriptOf(ours), "build/index_bg.wasm", await scriptOf(peer)].map((path) =>
      readFile(resolve(root, path)),
    ),
  );
  const sizes = {
    ours: sum([sizeOf(script), sizeOf(module)]),
    javascript: sizeOf(script),
    wasm: sizeOf(module),
    peer: sizeOf(ofPeer),
    sections: namedSections(withoutCustomSections(named)).map(({ name, whole }) => ({ name, ...sizeOf(whole) })),
    crates: sizesOfCrates(named),
    package: await sizesOfPackage(),
  };
  const ofPackage = sizes.package;
  return {
    title: "Size of the Workers, minified",
    columns: ["gzipped", "as it is"],
    rows: [
      row(ours.title, sizes.ours),
      row("  JavaScript", sizes.javascript),
      row("  WebAssembly", sizes.wasm),
      row(peer.title, sizes.peer),
    ],
    notes: [],
    data: sizes,
    more: [
      {
        title: "The sections of the WebAssembly module",
        columns: ["gzipped", "as it is"],
        rows: sizes.sections.map(({ name, ...size }) => row(name, size)),
        notes: ["Each section gzipped by itself."],
      },
      byCrate("Its code, by crate, and ours by module", sizes.crates),
      {
        title: "Size of the npm package",
        columns: ["gzipped", "as it is"],
        rows: [
          row("all of it, packed", { gzipped: ofPackage.packed, bytes: ofPackage.unpacked }),
          ...Object.entries(ofPackage.files).map(([name, size]) => row(`  ${name}`, size)),
        ],
        notes: ["The JavaScript of an entry with all that it imports, without the inlined WebAssembly."],
      },
      byCrate("The code of edge.wasm, by crate, and ours by module", ofPackage.crates),
    ],
  };
}

/** What the npm package weighs, and the code of the module that limits and caches. */
async function sizesOfPackage() {
  await buildPackage();
  const { text } = await run("npm", ["pack", "--json", "--dry-run"], { cwd: join(root, "pkg"), output: "quiet" });
  const [{ size, unpackedSize }] = JSON.parse(text.slice(text.indexOf("[")));
  const crates = sizesOfCrates(await readFile(namesOf("edge")));
  return { packed: size, unpacked: unpackedSize, files: await packageSizes(), crates };
}

/**
 * @param {string} title
 * @param {ReturnType<typeof sizesOfCrates>} crates
 */
function byCrate(title, crates) {
  const code = crates.reduce((all, { bytes }) => all + bytes, 0);
  const listed = crates.filter(({ bytes }) => bytes >= code * LEAST_PART);
  const others = crates.filter((crate) => !listed.includes(crate));
  return {
    title,
    columns: ["gzipped", "as it is", "part of the code", "functions"],
    rows: [...listed, { name: `${others.length} others`, functions: total(others, "functions"), ...sum(others) }].map(
      ({ name, functions, ...size }) => {
        const { cells } = row(name, size);
        return { name, cells: [...cells, `${((100 * size.bytes) / code).toFixed(1)} %`, `${functions}`] };
      },
    ),
    notes: [
      "A function belongs to the crate that its name begins with; if it implements a trait or drops a value, to",
      "the crate of the type. What the compiler has inlined belongs to where it stands. Each row gzipped by itself.",
    ],
  };
}

/**
 * The code of a module by the crates that it comes from, the largest first.
 * @param {Buffer} module with the names of its functions
 */
function sizesOfCrates(module) {
  const names = functionNames(module);
  const imported = importedFunctions(module);
  /** @type {Map<string, Buffer[]>} */
  const crates = new Map();
  for (const [index, body] of functionBodies(module).entries()) {
    const origin = originOf(names.get(imported + index));
    crates.set(origin, [...(crates.get(origin) ?? []), body]);
  }
  return [...crates]
    .map(([name, bodies]) => ({ name, functions: bodies.length, ...sizeOf(Buffer.concat(bodies)) }))
    .toSorted((a, b) => b.bytes - a.bytes);
}

/**
 * How many functions a module imports: their indices come before those of its own.
 * @param {Buffer} module
 */
function importedFunctions(module) {
  const { Module } = /** @type {any} */ (globalThis).WebAssembly;
  return Module.imports(new Module(module)).filter((/** @type {any} */ { kind }) => kind === "function").length;
}

/** @param {Buffer} bytes @returns {Size} */
function sizeOf(bytes) {
  return { bytes: bytes.length, gzipped: gzipSync(bytes).length };
}

/** @param {Size[]} sizes @returns {Size} */
function sum(sizes) {
  return { bytes: total(sizes, "bytes"), gzipped: total(sizes, "gzipped") };
}

/**
 * @template {string} Name
 * @param {Record<Name, number>[]} all
 * @param {Name} name
 */
function total(all, name) {
  return all.reduce((sum, each) => sum + each[name], 0);
}

/** @param {string} name @param {Size} size */
function row(name, { gzipped, bytes }) {
  return { name, cells: [gzipped, bytes].map((size) => `${(size / 1000).toFixed(1)} kB`) };
}
