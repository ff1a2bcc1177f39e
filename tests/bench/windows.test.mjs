/** How admissions in a window are counted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { most } from "../../bench/lib/windows.mjs";

/** @param {[number, number][]} pairs */
const all = (...pairs) => pairs.map(([came, admitted]) => ({ came, admitted }));

test("only what certainly lies in one window counts together", () => {
  assert.equal(most([], 1_000), 0);
  assert.equal(most(all([0, 1], [500, 501], [998, 999]), 1_000), 3);
  assert.equal(most(all([0, 1], [998, 1_000]), 1_000), 1, "the end of the window is not in it");
  assert.equal(most(all([0, 5], [1, 2], [999, 1_000.5]), 1_000), 2);
  assert.equal(most(all([7, 8], [7, 8], [7, 8]), 1_000), 3, "at the same instant");
});
