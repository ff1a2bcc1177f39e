/** How large the Workers are, as they are uploaded. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { root } from "../scripts/lib/process.mjs";
import { ours, peer, scriptOf } from "./lib/contestants.mjs";

/** @returns {Promise<import("./lib/report.mjs").Table>} */
export async function measure() {
  const sizes = {
    ours: sizeOf([await scriptOf(ours), "build/index_bg.wasm"]),
    peer: sizeOf([await scriptOf(peer)]),
  };
  const kilobytes = (/** @type {number} */ bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  return {
    title: "Size of the Worker, minified",
    columns: [ours.title, peer.title],
    rows: [
      { name: "gzipped", cells: [kilobytes(sizes.ours.gzipped), kilobytes(sizes.peer.gzipped)] },
      { name: "as it is", cells: [kilobytes(sizes.ours.bytes), kilobytes(sizes.peer.bytes)] },
    ],
    notes: [],
    data: sizes,
  };
}

/** @param {string[]} paths */
function sizeOf(paths) {
  const files = paths.map((path) => readFileSync(join(root, path)));
  const sum = (/** @type {(file: Buffer) => number} */ size) => files.reduce((total, file) => total + size(file), 0);
  return { bytes: sum((file) => file.length), gzipped: sum((file) => gzipSync(file).length) };
}
