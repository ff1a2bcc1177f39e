/** Prints what was measured: tables for people, or JSON for machines. */

/**
 * @typedef {object} Table
 * @property {string} title
 * @property {string[]} columns
 * @property {{ name: string, cells: (string | null)[] }[]} rows `null`: not available on this
 *   machine
 * @property {string[]} notes how it was measured
 * @property {unknown} data the figures behind it, for machines
 * @property {Omit<Table, "data">[]} [more] further tables of the same figures
 */

/**
 * @param {{ machine: import("./machine.mjs").Machine, tables: Record<string, Table> }} report
 * @param {boolean} json
 */
export function printReport({ machine, tables }, json) {
  if (json) {
    const data = Object.entries(tables).map(([name, table]) => [name, table.data]);
    console.log(JSON.stringify({ ...machine, ...Object.fromEntries(data) }, null, 2));
    return;
  }
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  console.log(`${versions.join(", ")}; ${machine.cores} cores`);
  for (const table of Object.values(tables).flatMap((table) => [table, ...(table.more ?? [])])) {
    console.log(`\n${lines(table).join("\n")}`);
  }
}

/** @param {Omit<Table, "data">} table */
function lines({ title, columns, rows, notes }) {
  const grid = [["", ...columns], ...rows.map(({ name, cells }) => [name, ...cells.map((cell) => cell ?? "-")])];
  const widths = grid[0].map((_, column) => Math.max(...grid.map((row) => row[column].length)));
  const text = grid.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join("   ")
      .trimEnd(),
  );
  return [title, ...text.map((line) => `  ${line}`), ...notes.map((note) => `  ${note}`)];
}

/**
 * The middle number, or the mean of the two middle ones if their number is even.
 * @param {number[]} numbers
 */
export function median(numbers) {
  return quantile(numbers, 0.5);
}

/**
 * The number below which this part of the numbers lies; between two of them, in proportion.
 * @param {number[]} numbers
 * @param {number} part from 0 to 1
 */
export function quantile(numbers, part) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

/**
 * The median, and the quartiles around it.
 * @param {number[]} numbers
 * @returns {string | null} `null`: there are no numbers
 */
export function spread(numbers) {
  if (numbers.length === 0) return null;
  const [low, middle, high] = [0.25, 0.5, 0.75].map((part) => quantile(numbers, part).toFixed(2));
  return `${middle} (${low} to ${high})`;
}
