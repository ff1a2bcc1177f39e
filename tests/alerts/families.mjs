/**
 * The families of metrics: those that the source declares, and those that docs/operations.md
 * describes with labels and words.
 */
import assert from "node:assert/strict";
import { read } from "../docs/markdown.mjs";

/**
 * @typedef {object} Family
 * @property {string} name with its prefix
 * @property {string} kind `counter`, `gauge` or `histogram`
 */

/** As the source declares them, and last the exporter's own. @type {Family[]} */
export const families = [
  ...read("src/ops/prometheus.rs").matchAll(/\.family\(\s*"([a-z0-9_]+)",\s*(COUNTER|GAUGE|HISTOGRAM)/g),
  ...read("src/bin/omnitrade-edge/metrics.rs").matchAll(/# TYPE edge_(\w+) (\w+)\\n/g),
].map(([, name, kind]) => ({ name: `edge_${name}`, kind: kind.toLowerCase() }));

/**
 * As the table of the document has them: the name, the kind and unit, and the labels, each with its
 * words if these are fixed.
 * @type {(Family & { labels: Record<string, string[]> })[]}
 */
export const documentedFamilies = [
  ...read("docs/operations.md").matchAll(/^\| `(edge_\w+)` \| (\w+)(?:, [^|]*)? \|([^|]*)\|/gm),
].map(([, name, kind, labels]) => ({ name, kind, labels: labelsOf(labels) }));

/** @param {string} cell such as `` `route`; `outcome` = `served`, `refused` `` */
function labelsOf(cell) {
  const labels = cell.split(";").map((label) => [...label.matchAll(/`([^`]+)`/g)].map(([, word]) => word));
  return Object.fromEntries(labels.filter(([name]) => name).map(([name, ...words]) => [name, words]));
}

/** The labels that Prometheus adds, by the suffix of a histogram's series. */
const SUFFIXES = { _bucket: { le: [] }, _sum: {}, _count: {} };

/** @param {string} name of a series */
export function labelsOfSeries(name) {
  const family = documentedFamilies.find((family) => family.name === name && family.kind !== "histogram");
  if (family) return family.labels;
  for (const [suffix, more] of Object.entries(SUFFIXES)) {
    const base = documentedFamilies.find(({ name: base, kind }) => kind === "histogram" && base + suffix === name);
    if (base) return { ...base.labels, ...more };
  }
  return undefined;
}

/**
 * The samples of a scrape.
 * @param {string} text in the text format of Prometheus
 * @returns {{ name: string, labels: Record<string, string>, value: number }[]}
 */
export function seriesOf(text) {
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
  return lines.map((line) => {
    const [, name, list = "", value] = line.match(/^(\w+)(?:\{(.*)\})? (\S+)$/) ?? assert.fail(line);
    const labels = [...list.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, word]) => [label, word]);
    return { name, labels: Object.fromEntries(labels), value: Number(value) };
  });
}

/**
 * What a query asks for and is not there.
 * @param {string} query in PromQL
 * @param {string[]} records the names of recorded rules
 */
export function problemsOf(query, records) {
  const problems = [];
  /** The labels of all series of the query. @type {Set<string>} */
  const labels = new Set();
  for (const [, name, matchers = ""] of query.matchAll(/\b(edge_\w+)(?:\{([^}]*)\})?/g)) {
    const known = labelsOfSeries(name);
    if (!known) {
      problems.push(`there is no ${name}`);
      continue;
    }
    for (const label of Object.keys(known)) labels.add(label);
    for (const [, label, , value] of matchers.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)) {
      const words = known[label];
      if (!words) problems.push(`${name} has no label ${label}`);
      else if (words.length > 0) {
        const strange = value.split("|").filter((word) => word && word !== ".*" && !words.includes(word));
        for (const word of strange) problems.push(`${name}: ${label} is never ${word}`);
      }
    }
  }
  for (const [name] of query.matchAll(/\bedge:[\w:]+/g)) {
    if (!records.includes(name)) problems.push(`no rule records ${name}`);
  }
  if (labels.size > 0) {
    for (const [, list] of query.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g)) {
      for (const label of list.split(",").map((label) => label.trim())) {
        if (label && !labels.has(label)) problems.push(`no series of the query has the label ${label}`);
      }
    }
  }
  return problems;
}
