/**
 * What compression saves in what is sent to Redis, and how long it takes: bodies of the sample API.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { startOrigin } from "../examples/origin/index.js";
import { Failure, run } from "../scripts/lib/process.mjs";
import { buildBench } from "./lib/native.mjs";

const market = "/api/v1/market-data";

/** @type {Record<string, string>} */
const BODIES = {
  ticker: `${market}/ticker?symbol=BTCUSDT`,
  "order book, 20 levels": `${market}/orderbook?symbol=BTCUSDT&limit=20`,
  "order book, 100 levels": `${market}/orderbook?symbol=BTCUSDT&limit=100`,
  "100 trades": `${market}/trades?symbol=BTCUSDT&limit=100`,
  "100 candles": `${market}/klines?symbol=BTCUSDT&interval=1m&limit=100`,
  "500 candles": `${market}/klines?symbol=BTCUSDT&interval=1m&limit=500`,
  "250 markets": `${market}/markets?per_page=250&sparkline=true`,
};

/**
 * @typedef {Record<
 *   "body" | "plain" | "packed" | "writeUs" | "writePlainUs" | "readUs" | "readPlainUs", number
 * >} Figures
 */

/** @returns {Promise<import("./lib/report.mjs").Table>} */
export async function measure() {
  const program = await buildBench("compression");
  const folder = await mkdtemp(join(tmpdir(), "bodies-"));
  const origin = await startOrigin({ seed: 1, now: () => Date.UTC(2026, 0, 15, 12) });
  try {
    const files = [];
    for (const [name, path] of Object.entries(BODIES)) {
      const answer = await fetch(origin.url + path);
      if (!answer.ok) throw new Failure(`the sample API answers ${answer.status} to ${path}`);
      files.push(join(folder, name));
      await writeFile(join(folder, name), Buffer.from(await answer.arrayBuffer()));
    }
    const { text } = await run(program, files, { output: "quiet" });
    /** @type {(Figures & { file: string })[]} */
    const measured = JSON.parse(text);
    const microseconds = (/** @type {number} */ us) => `${us.toFixed(us < 10 ? 1 : 0)} µs`;
    return {
      title: "Bodies on their way to Redis",
      columns: ["body", "as JSON", "compressed", "of it", "to write", "uncompressed", "to read", "uncompressed"],
      rows: measured.map((each) => ({
        name: basename(each.file),
        cells: [
          `${each.body} B`,
          `${each.plain} B`,
          `${each.packed} B`,
          `${Math.round((100 * each.packed) / each.plain)} %`,
          ...[each.writeUs, each.writePlainUs, each.readUs, each.readPlainUs].map(microseconds),
        ],
      })),
      notes: ["whole entries, about 150 B of head included; native code, the fastest of many runs"],
      data: measured,
    };
  } finally {
    await Promise.all([origin.close(), rm(folder, { recursive: true })]);
  }
}
