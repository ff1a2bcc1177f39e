/** Alerts, dashboards and the runbook agree with each other, and with the metrics that exist. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { root, run } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";
import { anchorsOf, read, takeApart } from "../docs/markdown.mjs";
import { documentedFamilies, families, problemsOf } from "./families.mjs";

const RUNBOOK = "https://github.com/omnitrade/omnitrade-edge/blob/main/docs/runbook.md#";

/** @typedef {{ record?: string, alert?: string, expr: string, [more: string]: any }} Rule */

/** @type {{ groups: { rules: Rule[] }[] }} */
const file = parse(read("ops/prometheus/rules.yml"));
const rules = file.groups.flatMap((group) => group.rules);
const alerts = rules.filter((rule) => rule.alert !== undefined);
const records = rules.flatMap((rule) => rule.record ?? []);

const boards = readdirSync(join(root, "ops/grafana")).map((name) => ({
  name,
  board: JSON.parse(read(`ops/grafana/${name}`)),
}));

/** The panels of a dashboard that show something. @param {any} board */
const panelsOf = (board) => board.panels.filter((/** @type {any} */ panel) => panel.type !== "row");

/**
 * The queries of a dashboard, with the values that Grafana puts in place of its variables.
 * @param {any} board
 * @returns {string[]}
 */
function queriesOf(board) {
  const queries = panelsOf(board).flatMap((/** @type {any} */ panel) =>
    panel.targets.map((/** @type {any} */ target) => target.expr),
  );
  return queries.map((/** @type {string} */ query) =>
    query.replaceAll("$__rate_interval", "4m").replaceAll(/"\$\w+"/g, '".*"'),
  );
}

const promtool = (/** @type {string[]} */ ...args) => run("promtool", args, { output: "quiet" });

test("promtool takes the rules, and every case of their tests holds", async () => {
  await promtool("check", "rules", "ops/prometheus/rules.yml");
  const { text } = await promtool("test", "rules", "ops/prometheus/rules.test.yml");
  assert.match(text, /SUCCESS/);
});

test("every alert fires in a case of its tests, and in no case unexpectedly", () => {
  const told = read("ops/prometheus/rules.test.yml");
  const silent = alerts.filter(({ alert }) => !told.includes(`ALERTS{alertname="${alert}",alertstate="firing"`));
  assert.deepEqual(
    silent.map(({ alert }) => alert),
    [],
  );
  // A case that asks for all alerts that fire finds those that should not.
  for (const { name, promql_expr_test } of parse(told).tests) {
    const asked = promql_expr_test.filter((/** @type {any} */ { expr }) =>
      /^ALERTS(\{alertstate="firing"\})?$/.test(expr),
    );
    assert.ok(asked.length > 0, name);
  }
});

test("every alert has a section in the runbook, and every section an alert", () => {
  const { prose } = takeApart(read("docs/runbook.md"));
  const sections = [...prose.matchAll(/^## (.+)$/gm)].map(([, title]) => title);
  assert.deepEqual(sections.toSorted(), alerts.map(({ alert }) => alert).toSorted());
  const anchors = anchorsOf(prose);
  for (const { alert, labels, annotations } of alerts) {
    const { summary, description, runbook_url } = annotations;
    assert.ok(String(runbook_url).startsWith(RUNBOOK), alert);
    const anchor = runbook_url.slice(RUNBOOK.length);
    assert.ok(anchors.includes(anchor), `${alert}: #${anchor}`);
    assert.equal(anchor, String(alert).toLowerCase());
    assert.ok(summary.endsWith(".") && description.endsWith("."), alert);
    const section = prose.split(`\n## ${alert}\n`)[1].split("\n## ")[0];
    assert.ok(section.includes(`*${labels.severity}.*`), `${alert}: the runbook has another severity`);
    for (const part of ["**What clients notice:**", "**Look:**", "**Do:**"]) {
      assert.ok(section.includes(part), `${alert}: ${part}`);
    }
  }
});

test("the metrics of rules, dashboards and runbook exist, with their labels", () => {
  const queries = [
    ...rules.map(({ alert, record, expr }) => ({ where: alert ?? record, query: expr })),
    ...boards.flatMap(({ name, board }) => queriesOf(board).map((query) => ({ where: name, query }))),
    ...boards.flatMap(({ name, board }) =>
      board.templating.list
        .filter((/** @type {any} */ variable) => variable.type === "query")
        .map((/** @type {any} */ variable) => ({ where: name, query: variable.query.query })),
    ),
    ...[...read("docs/runbook.md").matchAll(/`([^`]*\bedge[_:][^`]*)`/g)].map(([, query]) => ({
      where: "runbook",
      query,
    })),
  ];
  assert.ok(queries.length > 50, `only ${queries.length} queries were found`);
  const problems = queries.flatMap(({ where, query }) => problemsOf(query, records).map((what) => `${where}: ${what}`));
  assert.deepEqual(problems, []);
});

test("a name, a label and a word that do not exist are found", () => {
  assert.deepEqual(problemsOf('sum by (route) (rate(edge_requests_total{outcome="error"}[5m]))', records), []);
  assert.deepEqual(problemsOf("rate(edge_store_call_duration_seconds_bucket[5m])", records), []);
  for (const wrong of [
    "edge_requests",
    "edge_requests_total_bucket",
    'edge_requests_total{limit="per-ip"}',
    'edge_requests_total{outcome="failed"}',
    'edge_requests_total{outcome=~"error|failed"}',
    "sum by (limit) (edge_requests_total)",
    "edge:no_such_rule",
  ]) {
    assert.equal(problemsOf(wrong, records).length, 1, wrong);
  }
});

test("every recorded rate is of use", () => {
  const used = [...alerts.map(({ expr }) => expr), ...boards.flatMap(({ board }) => queriesOf(board))].join("\n");
  assert.deepEqual(
    records.filter((name) => !used.includes(name)),
    [],
  );
});

test("the documented families are those that the gate counts", () => {
  assert.deepEqual(
    documentedFamilies.map(({ name, kind }) => `${name} ${kind}`),
    families.map(({ name, kind }) => `${name} ${kind}`),
  );
});

test("dashboards are complete, and Prometheus takes their queries", async () => {
  assert.ok(boards.length >= 2);
  const uids = boards.map(({ board }) => board.uid);
  assert.equal(new Set(uids).size, uids.length);
  const queries = [];
  for (const { name, board } of boards) {
    assert.match(board.title, /^omnitrade-edge: /, name);
    const ids = board.panels.map((/** @type {any} */ panel) => panel.id);
    assert.equal(new Set(ids).size, ids.length, name);
    const variables = board.templating.list.map((/** @type {any} */ variable) => variable.name);
    for (const panel of panelsOf(board)) {
      const { title, description, gridPos, targets } = panel;
      assert.ok(title && description && targets.length > 0, `${name}: ${title}`);
      assert.ok(gridPos.x + gridPos.w <= 24, `${name}: ${title}`);
      for (const { datasource } of [panel, ...targets]) {
        assert.deepEqual(datasource, { type: "prometheus", uid: "$" + "{datasource}" }, `${name}: ${title}`);
      }
      for (const [, variable] of JSON.stringify(targets).matchAll(/\$\{?(\w+)/g)) {
        assert.ok(variable === "__rate_interval" || variables.includes(variable), `${name}: ${title}: $${variable}`);
      }
    }
    queries.push(...queriesOf(board));
  }
  // As rules, promtool reads them.
  const asRules = queries.map((expr, n) => ({ record: `query:${n}`, expr }));
  const path = join(scratchFolder(), "queries.yml");
  await writeFile(path, JSON.stringify({ groups: [{ name: "queries", rules: asRules }] }));
  await promtool("check", "rules", path);
});
