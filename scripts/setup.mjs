/**
 * `npm run setup`: installs what is missing: everything or, with names as arguments, some parts.
 *
 *     npm run setup               everything that `npm start`, `npm run build` and `npm test` need
 *     npm run setup packages      only the npm packages
 */
import { bootstrap } from "./lib/bootstrap.mjs";
import { ensureChromium } from "./lib/chromium.mjs";
import { Failure, main } from "./lib/process.mjs";
import { ensurePromtool } from "./lib/promtool.mjs";
import { ensureRedisServer } from "./lib/redis-server.mjs";
import {
  ensureBindgen,
  ensureLinters,
  ensureNextest,
  ensureWasmPack,
  ensureWasmTarget,
  ensureWorkerBuild,
} from "./lib/toolchain.mjs";
import { ensureValkeyServer } from "./lib/valkey-server.mjs";

/** @type {Record<string, () => Promise<unknown>>} */
const parts = {
  packages: bootstrap,
  worker: async () => {
    await ensureWasmTarget();
    await ensureBindgen();
  },
  package: async () => {
    await ensureWasmTarget();
    await ensureBindgen();
    await ensureWasmPack();
  },
  examples: ensureWorkerBuild,
  linters: ensureLinters,
  nextest: ensureNextest,
  redis: async () => {
    const problem = await ensureRedisServer();
    if (problem) throw new Failure(`there is no redis-server: ${problem}`);
  },
  valkey: async () => {
    const problem = await ensureValkeyServer();
    if (problem) throw new Failure(`there is no valkey-server: ${problem}`);
  },
  chromium: async () => {
    const problem = await ensureChromium();
    if (problem) throw new Failure(`there is no Chromium: ${problem}`);
  },
  promtool: async () => {
    const problem = await ensurePromtool();
    if (problem) throw new Failure(`there is no promtool: ${problem}`);
  },
};

await main(async () => {
  const names = process.argv.slice(2);
  for (const name of names.length ? names : Object.keys(parts)) {
    const ensure = parts[name];
    if (!ensure) throw new Failure(`no part is called ${name}; there are ${Object.keys(parts).join(", ")}`);
    await ensure();
  }
});
