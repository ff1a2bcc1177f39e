/**
 * The contestants: the built Worker, and JavaScript Workers that do the same job with other
 * packages.
 */
import { join, relative } from "node:path";
import { build } from "esbuild";
import { root } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";

/**
 * @typedef {object} Contestant
 * @property {string} name also the prefix of its keys in Redis
 * @property {string} title
 * @property {string} [source] of a JavaScript Worker that has to be bundled first
 * @property {string} [script] of a Worker that is ready, from the root of the repository
 * @property {Record<string, unknown>} [vars] bindings of its own
 */

/** @type {Contestant} */
export const ours = { name: "ours", title: "omnitrade-edge" };

/** @type {Contestant} */
export const peer = { name: "peer", title: "@upstash", source: "bench/peer/worker.mjs" };

/** The peer without its in-memory block, which it has by default. @type {Contestant} */
export const peerWithoutBlock = {
  ...peer,
  name: "peer-no-block",
  title: "@upstash, ephemeralCache: false",
  vars: { EPHEMERAL_CACHE: "off" },
};

/** @type {Map<string, Promise<string>>} */
const bundles = new Map();

/**
 * The file of a contestant's Worker, from the root of the repository.
 * @param {Contestant} contestant
 */
export async function scriptOf({ source, script = "build/index.js" }) {
  if (source === undefined) return script;
  const bundle = bundles.get(source) ?? bundled(source);
  bundles.set(source, bundle);
  return bundle;
}

/**
 * Bundles a Worker as wrangler does it, minified like the built Worker.
 * @param {string} source
 */
async function bundled(source) {
  const outfile = join(scratchFolder(), "index.js");
  await build({
    entryPoints: [join(root, source)],
    outfile,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    mainFields: ["browser", "module", "main"],
    logLevel: "error",
  });
  return relative(root, outfile);
}
