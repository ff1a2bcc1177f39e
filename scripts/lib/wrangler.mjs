/** Reads `wrangler.toml`, which is the one place for the Worker's date, flags and configuration. */
import { join } from "node:path";
import { unstable_readConfig } from "wrangler";
import { root } from "./process.mjs";

/** As wrangler itself reads it, with its defaults filled in. */
export function readWranglerConfig() {
  return unstable_readConfig({ config: join(root, "wrangler.toml") }, { hideWarnings: true });
}
