/** Builds the Workers of `tests/support/create-gate/` over the built npm package. */
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { root } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";

const dist = join(root, "pkg/dist");

/** @type {Map<string, Promise<string>>} */
const built = new Map();

/**
 * Builds one of them, once for each process.
 * @param {string} name
 * @returns {Promise<string>} the folder with `index.js`, `edge.wasm` and `gate.wasm`
 */
export function buildCreateGate(name) {
  const known = built.get(name) ?? bundle(name);
  built.set(name, known);
  return known;
}

/** @param {string} name */
async function bundle(name) {
  const folder = scratchFolder();
  const { outputFiles } = await build({
    entryPoints: [join(root, `tests/support/create-gate/${name}.js`)],
    plugins: [
      {
        name: "the built package",
        setup: ({ onResolve }) => {
          onResolve({ filter: /^@omnitrade\/edge/ }, ({ path }) => {
            const name = path.slice("@omnitrade/edge/".length) || "index";
            return { path: join(dist, `${name}.workerd.js`) };
          });
          // wrangler reads it so, too.
          onResolve({ filter: /\.wasm\?module$/ }, ({ path }) => ({
            path: path.replace("?module", ""),
            external: true,
          }));
        },
      },
    ],
    bundle: true,
    format: "esm",
    target: "es2024",
    external: ["cloudflare:*"],
    write: false,
    logLevel: "warning",
  });
  writeFileSync(join(folder, "index.js"), outputFiles[0].contents);
  for (const name of ["edge.wasm", "gate.wasm"]) cpSync(join(dist, name), join(folder, name));
  return folder;
}
