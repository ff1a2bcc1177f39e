/** What the exporter shows is what rules, dashboards and documents are about. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { test } from "node:test";
import { spawnServer } from "../../scripts/lib/process.mjs";
import { commandLine } from "../../scripts/lib/servers.mjs";
import { listen } from "../worker/kit.mjs";
import { documentedFamilies, labelsOfSeries, seriesOf } from "./families.mjs";

/** What the exporter can never show, because rows have no room for it. */
const NEVER = ["edge_origin_responses_total class 1xx"];

/** A row of sums for each kind and name, with a 1 in all places. */
const ROWS = [
  ["isolate", ""],
  ["route", "/a"],
  ["origin", "/a"],
  ["limit", "per-ip"],
  ...(documentedFamilies.find(({ name }) => name === "edge_store_calls_total")?.labels.op.map((op) => ["store", op]) ??
    []),
].map(([kind, name]) => {
  const numbers = Array.from({ length: 20 }, (_, n) => [`n${n + 1}`, 1]);
  return { kind, name, ...Object.fromEntries(numbers), open: 1, l1_bytes: 4_096, ahead: 0, behind: -20 };
});

test("the exporter shows all documented series, and no other", async () => {
  let asked = 0;
  const api = createServer((from, to) => {
    from.resume().on("end", () => {
      asked++;
      to.setHeader("content-type", "application/json").end(JSON.stringify({ data: asked === 1 ? ROWS : [] }));
    });
  });
  const address = await listen(api);
  const options = ["--listen", "127.0.0.1:0", "--lag", "1s", "--every", "1h", "--api", address];
  const exporter = await spawnServer(commandLine, ["metrics", ...options], {
    name: "omnitrade-edge metrics",
    ready: /^serving (http:\S+)$/,
    env: { CLOUDFLARE_ACCOUNT_ID: "0123abcd", CLOUDFLARE_API_TOKEN: "sql-token" },
  });
  const text = await fetch(exporter.ready[0][1]).then((reply) => reply.text());
  await exporter.stop();

  const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
  assert.equal(status, 0, `${stdout}${stderr}`);

  /** Each label of each family, and each word of those that are fixed. @type {Set<string>} */
  const shown = new Set();
  for (const { name, labels } of seriesOf(text)) {
    const known = labelsOfSeries(name) ?? assert.fail(`${name} is not documented`);
    const family = name.replace(/_(bucket|sum|count)$/, "");
    shown.add(family);
    for (const [label, word] of Object.entries(labels)) {
      const words = known[label] ?? assert.fail(`${name}: ${label} is not documented`);
      if (label !== "le") shown.add(words.length > 0 ? `${family} ${label} ${word}` : `${family} ${label}`);
    }
  }
  const documented = documentedFamilies.flatMap(({ name, labels }) => [
    name,
    ...Object.entries(labels).flatMap(([label, words]) =>
      words.length > 0 ? words.map((word) => `${name} ${label} ${word}`) : [`${name} ${label}`],
    ),
  ]);
  assert.deepEqual([...shown].toSorted(), documented.filter((what) => !NEVER.includes(what)).toSorted());
});
