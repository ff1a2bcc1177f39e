/**
 * Reads `wrangler.toml`, the only place for the Worker's compatibility date, flags and
 * configuration.
 */
import { join } from "node:path";
import { unstable_readConfig } from "wrangler";
import { root } from "./process.mjs";

/** The configuration as wrangler reads it, with its defaults filled in. */
export function readWranglerConfig() {
  return unstable_readConfig({ config: join(root, "wrangler.toml") }, { hideWarnings: true });
}
