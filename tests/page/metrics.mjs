/** Reads `/__edge/metrics`, and holds it to promtool and to the documented labels. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { labelsOfSeries, seriesOf } from "../alerts/families.mjs";
import { ask } from "../worker/kit.mjs";
import { TOKEN } from "./kit.mjs";

/**
 * The series of an isolate.
 * @param {{ url: string }} gate
 */
export async function metricsOf(gate) {
  const reply = await ask(gate, "/__edge/metrics", { headers: { authorization: `Bearer ${TOKEN}` } });
  assert.equal(reply.status, 200, reply.text);
  assert.match(String(reply.headers["content-type"]), /^text\/plain; version=0\.0\.4/);
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
    input: reply.text,
    encoding: "utf8",
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
  const series = seriesOf(reply.text);
  for (const { name, labels } of series) {
    const known = labelsOfSeries(name) ?? assert.fail(`${name} is not documented`);
    for (const [label, word] of Object.entries(labels)) {
      const words = known[label] ?? assert.fail(`${name}: ${label} is not documented`);
      assert.ok(words.length === 0 || words.includes(word), `${name}: ${label} is ${word}`);
    }
  }
  return series;
}
