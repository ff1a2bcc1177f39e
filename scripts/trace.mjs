/**
 * Puts the names of functions into a stack trace of the built Worker, which has none: it shows
 * `wasm-function[1234]`, and this the name beside it.
 *
 *     node scripts/trace.mjs [FILE] [--names target/names.wasm]     without a file: standard input
 *
 * `npm run build` writes the names of the Worker that it builds into `target/names.wasm`. A trace
 * of another build needs the names of that build.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { namesFile } from "./build.mjs";
import { Failure, main, root } from "./lib/process.mjs";
import { functionNames, withoutCustomSections } from "./lib/wasm.mjs";

/**
 * @param {string} trace
 * @param {Map<number, string>} names by the functions' indices
 */
export function withNames(trace, names) {
  return trace.replace(/wasm-function\[(\d+)\](:0x[\da-f]+)?/g, (frame, index) => {
    const name = names.get(Number(index));
    return name === undefined ? frame : `${frame} ${name}`;
  });
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { names: { type: "string", default: namesFile } },
    });
    if (!existsSync(values.names)) throw new Failure(`there is no ${values.names}: \`npm run build\` writes it`);
    const module = await readFile(values.names);
    const built = join(root, "build/index_bg.wasm");
    const isBuilt = existsSync(built) && withoutCustomSections(module).equals(await readFile(built));
    if (!isBuilt) console.error(`${values.names} is not of the build in build/: its names may be wrong`);
    const trace = positionals[0] === undefined ? await text(process.stdin) : await readFile(positionals[0], "utf8");
    process.stdout.write(withNames(trace, functionNames(module)));
  });
}
