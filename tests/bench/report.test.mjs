import assert from "node:assert/strict";
import { test } from "node:test";
import { ratio, ratiosOf } from "../../bench/lib/loading.mjs";
import { median, quantile, spread } from "../../bench/lib/report.mjs";

test("a median lies between the two middle numbers", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(quantile([10, 20, 30, 40, 50], 0.25), 20);
  assert.equal(quantile([1, 2], 0.75), 1.75);
});

test("a spread shows the median and both quartiles", () => {
  assert.equal(spread([1, 2, 3, 4, 5]), "3.00 (2.00 to 4.00)");
  assert.equal(spread([]), null);
});

test("only rounds that both have are compared", () => {
  assert.deepEqual(ratiosOf([2, null, 9], [1, 5, 3]), [2, 3]);
  assert.deepEqual(ratiosOf([2, 3], [null, 0]), []);
  assert.equal(ratio([2, 9], [1, 3]), "2.50");
  assert.equal(ratio([null], [1]), null);
});
