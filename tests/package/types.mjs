/** Compiles TypeScript in a project with the installed package, as strictly as TypeScript can. */
import { join } from "node:path";
import { root, run } from "../../scripts/lib/process.mjs";

/** How projects resolve packages and what they know of their platform. */
export const SETTINGS = {
  "Node, ES modules": { module: "nodenext", types: ["node"] },
  "Node, CommonJS": { module: "node20", types: ["node"] },
  "a bundler": { module: "esnext", moduleResolution: "bundler", lib: ["es2022", "dom", "dom.iterable"] },
  "Cloudflare Workers": {
    ...{ module: "esnext", moduleResolution: "bundler", customConditions: ["workerd"] },
    ...{ lib: ["es2022"], types: ["@cloudflare/workers-types"] },
  },
};

/**
 * @param {import("./project.mjs").Project} project
 * @param {{ name: string, files: string[], settings: keyof typeof SETTINGS }} options `name`: of
 *   the configuration that it writes; `files`: in the project
 * @returns {Promise<string>} what the compiler has found; empty if all is well
 */
export async function compile(project, { name, files, settings }) {
  for (const linked of ["@types/node", "@cloudflare/workers-types", "undici-types"]) await project.link(linked);
  const options = {
    ...{ target: "es2022", lib: ["es2022"], strict: true, noEmit: true, types: [], allowJs: true, checkJs: true },
    // The declarations are checked as well.
    ...{ skipLibCheck: false, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    ...{ verbatimModuleSyntax: false, isolatedModules: true, ...SETTINGS[settings] },
  };
  const file = await project.write(`${name}.json`, JSON.stringify({ compilerOptions: options, files }));
  const args = ["--project", file, "--pretty", "false"];
  const { code, text } = await run(join(root, "node_modules/.bin/tsc"), args, { output: "quiet", check: false });
  return code === 0 ? "" : text.trim() || `exit code ${code}`;
}
