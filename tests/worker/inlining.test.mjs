/** Which calls of the module the build inlines: `scripts/lib/inlining.mjs`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { markCalls } from "../../scripts/lib/inlining.mjs";

const LARGE = Array.from({ length: 50 }, () => "  (nop)");

/**
 * A module as `wasm-dis` writes it.
 * @param {Record<string, string[]>} functions the lines of their bodies
 */
function moduleOf(functions) {
  const bodies = Object.entries(functions).flatMap(([name, lines]) => [` (func $${name}`, ...lines, " )"]);
  return ["(module", ' (import "a" "b" (func $imported))', ...bodies, ")"];
}

/** @param {string[]} lines */
function callsIn(lines) {
  return lines.filter((line) => line.includes("(call ")).map((line) => line.trim());
}

test("only the calls that requests make are inlined", () => {
  const module = moduleOf({ helper: ["  (nop)"], hot: ["  (call $helper", "  )"], cold: ["  (call $helper", "  )"] });
  const marked = markCalls(module, [2, 0], 100);
  assert.deepEqual(callsIn(marked), ["(call $helper#twin", "(call $helper"]);
  assert.deepEqual(marked.slice(-5), [' (@binaryen.inline "\\7f")', " (func $helper#twin", "  (nop)", " )", ")"]);
});

test("names in quotes stay names", () => {
  const module = moduleOf({ '"a (b) \\" c"': ["  (nop)"], hot: ['  (call $"a (b) \\" c"', "  )"] });
  assert.deepEqual(callsIn(markCalls(module, [1], 100)), ['(call $"a (b) \\" c#twin"']);
});

test("what adds the least code for the most calls comes first, as far as there is room", () => {
  const calls = ["  (call $large", "  )", "  (call $small", "  )"];
  const module = moduleOf({ large: LARGE, small: ["  (nop)"], hot: calls });
  assert.deepEqual(callsIn(markCalls(module, [9, 1], 50)), ["(call $large", "(call $small#twin"]);
  assert.deepEqual(callsIn(markCalls(module, [9, 1], 51)), ["(call $large#twin", "(call $small#twin"]);
});

test("a function that is inlined twice brings what it inlines twice", () => {
  const module = moduleOf({
    inner: LARGE,
    outer: ["  (call $inner", "  )"],
    hot: ["  (call $outer", "  )", "  (call $outer", "  )"],
  });
  const inlined = (/** @type {number} */ room) =>
    callsIn(markCalls(module, [1, 9, 9], room).slice(0, module.length)).filter((call) => call.endsWith("#twin"));
  assert.deepEqual(inlined(52), ["(call $outer#twin", "(call $outer#twin"]);
  assert.deepEqual(inlined(152), ["(call $inner#twin", "(call $outer#twin", "(call $outer#twin"]);
});

test("functions that call each other, or themselves, are not inlined without end", () => {
  const module = moduleOf({ a: ["  (call $b", "  )"], b: ["  (call $a", "  )"], c: ["  (call $c", "  )"] });
  const marked = markCalls(module, [2, 1, 1], 100).slice(0, module.length);
  assert.deepEqual(callsIn(marked), ["(call $b#twin", "(call $a", "(call $c"]);
});

test("what is imported is called", () => {
  const module = moduleOf({ hot: ["  (call $imported", "  )"] });
  assert.deepEqual(markCalls(module, [9], 100), module);
});
