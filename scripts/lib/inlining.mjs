/**
 * Profile-guided inlining. The Worker is compiled for size, so that even what a cache hit does all
 * the time is a call. Here the calls that requests really make are counted, and those that are made
 * most often become copies of what they call; the rest of the module stays small.
 *
 * It works on the text of the module, in which a call is a line: `(call $name`, with the arguments
 * in the lines that follow.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure, root, run } from "./process.mjs";

const NAME = String.raw`\$(?:"(?:[^"\\]|\\.)*"|[^\s()]+)`;
const CALL = new RegExp(String.raw`^( *\(call )(${NAME})`);
const FUNCTION = new RegExp(String.raw`^ \(func (${NAME})`);
const END_OF_FUNCTION = " )";

/** A call that fewer requests make, one of ten, is worth no code. */
const MADE_OFTEN = 0.1;

/**
 * @typedef {object} Func a function of the module
 * @property {number} start its first line
 * @property {number} end its last line
 * @property {number} size in instructions, with all that is inlined
 * @property {number} copies of it in the module
 * @property {Call[]} inlined the calls in it that are inlined
 * @property {Call[]} callers the calls of it that are inlined
 *
 * @typedef {object} Call
 * @property {number} line
 * @property {string} name of the function that is called
 * @property {Func} from
 * @property {Func} to
 * @property {number} count how often a request makes it
 */

/**
 * Optimizes the module that wasm-bindgen wrote.
 * @param {string} folder in which wasm-bindgen wrote `index_bg.wasm` and `index_bg.js`
 * @param {number} room how many instructions may be added by inlining
 * @returns {Promise<Buffer>} the module, with the names of its functions
 */
export async function optimize(folder, room) {
  const [plain, marked, optimized] = ["plain.wat", "marked.wat", "optimized.wasm"].map((name) => join(folder, name));
  await run(binaryen("wasm-dis"), [join(folder, "index_bg.wasm"), "-o", plain]);
  // The names are not all in UTF-8.
  const lines = (await readFile(plain, "latin1")).split("\n");
  const features = featuresOf(lines);
  const counts = await countCalls(lines, features, folder);
  await writeFile(marked, markCalls(lines, counts, room).join("\n"), "latin1");
  // Inlining comes first, because the first thing that `-O3` does is to merge equal functions.
  await run(binaryen("wasm-opt"), [...features, "--inlining", "-O3", "-g", marked, "-o", optimized]);
  return readFile(optimized);
}

/**
 * Marks the calls to inline for `wasm-opt`.
 * @param {string[]} lines of a module
 * @param {number[]} counts for each call, in their order, how often a request makes it
 * @param {number} room how many instructions may be added
 */
export function markCalls(lines, counts, room) {
  const { calls, functions } = parse(lines, counts);
  return mark(lines, functions, choose(calls, room));
}

/** @param {string} program of the package binaryen */
function binaryen(program) {
  return join(root, "node_modules/.bin", program);
}

/**
 * The options for what the module may use: in the text, its list of that is only a comment.
 * @param {string[]} lines
 */
function featuresOf(lines) {
  const list = lines.map((line) => /^ ;; features section: (.*)/.exec(line)?.[1]).find((found) => found !== undefined);
  if (list === undefined) throw new Failure("the module does not say which features of WebAssembly it uses");
  return list.split(", ").map((feature) => `--enable-${feature}`);
}

/**
 * Runs requests through a module that counts its calls.
 * @param {string[]} lines
 * @param {string[]} features
 * @param {string} folder
 * @returns {Promise<number[]>} for each call, in their order, how often a request makes it
 */
async function countCalls(lines, features, folder) {
  const [counting, module, counts] = ["counting.wat", "counting.wasm", "counts.json"].map((name) => join(folder, name));
  const firstImport = lines.findIndex((line) => line.startsWith(" (import "));
  let calls = 0;
  // What stands before the arguments is done before them.
  const count = (/** @type {string} */ call) => `${call} (call $count (i32.const ${calls++}))`;
  const counted = lines.map((line) => line.replace(CALL, count));
  counted.splice(firstImport, 0, ' (import "profile" "count" (func $count (param i32)))');
  await writeFile(counting, counted.join("\n"), "latin1");
  // What wasm-bindgen wrote are modules, and Node.js learns of that here.
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  await run(binaryen("wasm-as"), [...features, counting, "-o", module]);
  await run(process.execPath, [join(import.meta.dirname, "profile.mjs"), folder, module, counts, `${calls}`]);
  return JSON.parse(await readFile(counts, "utf8"));
}

/**
 * @param {string[]} lines
 * @param {number[]} counts
 */
function parse(lines, counts) {
  /** @type {Map<string, Func>} */
  const functions = new Map();
  /** @type {(Omit<Call, "to"> & { to?: Func })[]} */
  const calls = [];
  /** @type {Func | undefined} */
  let current;
  for (const [at, line] of lines.entries()) {
    const name = FUNCTION.exec(line)?.[1];
    if (name !== undefined) {
      current = { start: at, end: at, size: 0, copies: 1, inlined: [], callers: [] };
      functions.set(name, current);
    } else if (current && line === END_OF_FUNCTION) {
      current.end = at;
      current = undefined;
    } else if (current && !line.startsWith("  (local ") && /^ +\(/.test(line)) {
      current.size++;
      const called = CALL.exec(line)?.[2];
      if (called !== undefined) calls.push({ line: at, name: called, from: current, count: counts[calls.length] });
    }
  }
  for (const call of calls) call.to = functions.get(call.name);
  // What is imported cannot be inlined.
  return { functions, calls: /** @type {Call[]} */ (calls.filter(({ to }) => to !== undefined)) };
}

/**
 * The calls to inline: again and again the one that is made most often for the code that it adds.
 * @param {Call[]} calls
 * @param {number} room how many instructions may be added
 * @returns {Call[]}
 */
function choose(calls, room) {
  const chosen = [];
  const left = new Set(calls.filter(({ count }) => count >= MADE_OFTEN));
  const cost = (/** @type {Call} */ { from, to }) => to.size * from.copies;
  while (left.size > 0) {
    const best = [...left].reduce((a, b) => (b.count * cost(a) > a.count * cost(b) ? b : a));
    left.delete(best);
    if (cost(best) > room || contains(best.to, best.from)) continue;
    room -= cost(best);
    chosen.push(best);
    best.from.inlined.push(best);
    best.to.callers.push(best);
    addSize(best.from, best.to.size);
    addCopies(best.to, best.from.copies);
  }
  return chosen;
}

/**
 * Whether a function is another, or has it inlined: it cannot be inlined into that one.
 * @param {Func} outer
 * @param {Func} inner
 * @returns {boolean}
 */
function contains(outer, inner) {
  return outer === inner || outer.inlined.some(({ to }) => contains(to, inner));
}

/** @param {Func} to @param {number} size */
function addSize(to, size) {
  to.size += size;
  for (const { from } of to.callers) addSize(from, size);
}

/** @param {Func} of @param {number} copies */
function addCopies(of, copies) {
  of.copies += copies;
  for (const { to } of of.inlined) addCopies(to, copies);
}

/**
 * Each function that is inlined gets a twin. Only the calls to inline go to the twin, and
 * `wasm-opt` inlines all calls of it.
 * @param {string[]} lines
 * @param {Map<string, Func>} functions
 * @param {Call[]} chosen
 */
function mark(lines, functions, chosen) {
  const twinOf = (/** @type {string} */ name) => name.replace(/"?$/, "#twin$&");
  const marked = [...lines];
  for (const { line } of chosen) marked[line] = lines[line].replace(CALL, (_, call, name) => call + twinOf(name));
  const twins = [...new Set(chosen.map(({ name }) => name))].flatMap((name) => {
    const { start, end } = /** @type {Func} */ (functions.get(name));
    const head = marked[start].replace(name, () => twinOf(name));
    return [' (@binaryen.inline "\\7f")', head, ...marked.slice(start + 1, end + 1)];
  });
  marked.splice(marked.lastIndexOf(")"), 0, ...twins);
  return marked;
}
