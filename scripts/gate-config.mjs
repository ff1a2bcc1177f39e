/**
 * Prints the type `GateConfig` of the npm package, made from the schema of the configuration.
 *
 *     node scripts/gate-config.mjs > pkg/types/config.d.ts
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { main, root } from "./lib/process.mjs";

const BANNER =
  "// ───── The configuration of the gate. Made by scripts/gate-config.mjs from schema/edge.json: do not edit. ─────";

/** The declaration, as `pkg/types/config.d.ts` has it. */
export async function gateConfig() {
  const { compile } = await import("json-schema-to-typescript");
  const schema = JSON.parse(await readFile(join(root, "schema/edge.json"), "utf8"));
  return compile({ ...withDefaults(schema), title: "GateConfig" }, "GateConfig", {
    bannerComment: BANNER,
    additionalProperties: false,
    style: { printWidth: 120 },
  });
}

/**
 * A schema whose descriptions tell the defaults, which types cannot.
 * @param {any} schema
 * @returns {any}
 */
function withDefaults(schema) {
  if (Array.isArray(schema)) return schema.map(withDefaults);
  if (typeof schema !== "object" || schema === null) return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, withDefaults(value)]));
  const { description, default: value } = copy;
  const tells = typeof description === "string" && value !== undefined && JSON.stringify(value) !== "{}";
  return tells ? { ...copy, description: `${description}\n\n@default ${JSON.stringify(value)}` } : copy;
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => void process.stdout.write(await gateConfig()));
}
