/**
 * `edge.toml`: the configuration that is compiled into the Worker, because it needs no variable
 * then.
 */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { Failure } from "./process.mjs";

/**
 * How a script begins that a configuration is compiled into: src/shell/worker.rs reads this global.
 */
const BEGINNING = "globalThis.OMNITRADE_EDGE_CONFIG = ";

/**
 * Puts the configuration into the first line of a built script, in place of one that is there
 * already; without a file there is no such line. It writes the script only if that changes it.
 * @param {object} paths
 * @param {string} paths.script `index.js` of the built Worker
 * @param {string} paths.file the `edge.toml`
 */
export async function compileConfiguration({ script, file }) {
  const text = await readFile(script, "utf8");
  const built = text.startsWith(BEGINNING) ? text.slice(text.indexOf("\n") + 1) : text;
  const config = existsSync(file) ? await readEdgeToml(file) : undefined;
  // JSON in a string: the Worker reads JSON, and JSON of a string is a literal of JavaScript on one
  // line.
  const line = config && `${BEGINNING}${JSON.stringify(JSON.stringify(config))};\n`;
  const compiled = `${line ?? ""}${built}`;
  if (compiled !== text) await writeFile(script, compiled);
}

/**
 * Reads the file as wrangler reads `wrangler.toml`. What the fields may hold is for `check` to say.
 * @param {string} file
 * @returns {Promise<object>}
 */
async function readEdgeToml(file) {
  const { experimental_readRawConfig } = await import("wrangler");
  const name = basename(file);
  let config;
  try {
    config = /** @type {Record<string, unknown>} */ (experimental_readRawConfig({ config: file }).rawConfig);
  } catch (error) {
    throw new Failure(`${name}: expected TOML: ${/** @type {Error} */ (error).message}`);
  }
  if ("vars" in config) {
    throw new Failure(`${name}: the fields stand there without \`vars.EDGE.\`: \`[limits.NAME]\`, \`[[routes]]\``);
  }
  return config;
}
