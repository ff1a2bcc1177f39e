/** Builds the Worker of `tests/support/create-gate/` over the built npm package. */
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { root } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";

const dist = join(root, "pkg/dist");

/** @type {Promise<string> | undefined} */
let built;

/**
 * Builds it once for each process.
 * @returns {Promise<string>} the folder with `index.js`, `edge.wasm` and `gate.wasm`
 */
export function buildCreateGate() {
  built ??= bundle();
  return built;
}

async function bundle() {
  const folder = scratchFolder();
  const { outputFiles } = await build({
    entryPoints: [join(root, "tests/support/create-gate/worker.js")],
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
