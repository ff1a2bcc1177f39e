/** The documents are true: their links lead somewhere, and their snippets are right. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { parseDocument } from "yaml";
import { root, run } from "../../scripts/lib/process.mjs";
import { commandLine, scratchFolder } from "../../scripts/lib/servers.mjs";
import { anchorsOf, documents, linksOf, read, takeApart } from "./markdown.mjs";

/** The largest number of lines in the README, so that a newcomer reads it to its end. */
const README_LINES = 200;

/** @type {{ path: string, prose: string, snippets: import("./markdown.mjs").Snippet[] }[]} */
const pages = documents.map((path) => ({ path, ...takeApart(read(path)) }));

/** @param {string} language */
function snippetsIn(language) {
  return pages.flatMap(({ path, snippets }) =>
    snippets
      .filter((snippet) => snippet.language === language)
      .map(({ line, text }) => ({ where: `${path}:${line}`, text })),
  );
}

test("the README has at most 200 lines", () => {
  const lines = read("README.md").trimEnd().split("\n").length;
  assert.ok(lines <= README_LINES, `it has ${lines}`);
});

test("the table of contents names every page", () => {
  const contents = pages.find(({ path }) => path === "docs/README.md");
  const named = linksOf(contents?.prose ?? "").map(({ target }) => target);
  const own = documents.filter((path) => path.startsWith("docs/") && path !== "docs/README.md");
  assert.deepEqual(
    own.filter((path) => !named.includes(path.slice("docs/".length))),
    [],
  );
});

test("every link within the repository leads to a file and an anchor", () => {
  let checked = 0;
  const broken = pages.flatMap(({ path, prose }) =>
    linksOf(prose)
      .filter(({ target }) => !/^[a-z][a-z0-9+.-]*:/i.test(target))
      .filter(({ target }) => {
        checked += 1;
        const [file, anchor] = target.split("#");
        const to = file === "" ? path : normalize(join(dirname(path), decodeURIComponent(file)));
        if (to.startsWith("..") || !existsSync(join(root, to))) return true;
        if (anchor === undefined) return false;
        return !(to.endsWith(".md") && anchorsOf(takeApart(read(to)).prose).includes(anchor));
      })
      .map(({ target, line }) => `${path}:${line}: ${target}`),
  );
  assert.deepEqual(broken, []);
  assert.ok(checked > 40, `only ${checked} links were found`);
});

test("every other link is an https address that can be read", () => {
  const wrong = pages.flatMap(({ path, prose }) =>
    linksOf(prose)
      .filter(({ target }) => /^[a-z][a-z0-9+.-]*:/i.test(target))
      .filter(({ target }) => !URL.canParse(target) || new URL(target).protocol !== "https:")
      .map(({ target, line }) => `${path}:${line}: ${target}`),
  );
  assert.deepEqual(wrong, []);
});

test("every configuration in the documents passes `check`", async () => {
  const snippets = snippetsIn("toml");
  assert.ok(snippets.length > 10, `only ${snippets.length} were found`);
  const folder = scratchFolder();
  const outcomes = await Promise.all(
    snippets.map(async ({ where, text }, n) => {
      const toml = text.startsWith("# edge.toml\n") ? withPrefix(text) : text;
      if (!/^\[\[?vars\.EDGE/m.test(toml)) return `${where}: no table [vars.EDGE…] in it`;
      const file = join(folder, `${n}.toml`);
      await writeFile(file, completed(toml));
      const done = await run(commandLine, ["check", file], { output: "quiet", check: false });
      return done.code === 0 ? undefined : `${where}: ${done.text.replaceAll(file, "")}`;
    }),
  );
  assert.deepEqual(
    outcomes.filter((problem) => problem !== undefined),
    [],
  );
});

/**
 * An `edge.toml` as it stands in `wrangler.toml`.
 * @param {string} toml
 */
function withPrefix(toml) {
  const tables = toml.replace(/^(\[\[?)/gm, "$1vars.EDGE.");
  return `[vars.EDGE]\norigin = "https://api.example.com"\n${tables}`;
}

/**
 * A complete configuration: the fragment with an origin and the two limits that all documents use.
 * @param {string} toml
 */
function completed(toml) {
  const isWhole = /^\[vars\.EDGE\]$/m.test(toml);
  const limits = ["per-client", "per-ip"]
    .filter((name) => !isWhole && !toml.includes(`[vars.EDGE.limits.${name}]`))
    .map((name) => `[vars.EDGE.limits.${name}]\nby = "ip"\nwindow = "60s"\nquota = 100\n`);
  const origin = isWhole ? "" : '[vars.EDGE]\norigin = "https://api.example.com"\n';
  // A table of a route belongs to the route before it, so the additions come first.
  return [origin, ...limits, toml].join("\n");
}

test("every JSON snippet in the documents can be read", () => {
  const snippets = snippetsIn("json");
  assert.ok(snippets.length > 0, "none was found");
  for (const { where, text } of snippets) {
    assert.doesNotThrow(() => JSON.parse(text), where);
  }
});

test("every line of a Rust snippet stands in an example that is compiled", () => {
  const programs = readdirSync(join(root, "examples"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".rs"))
    .map((name) => codeLines(read(`examples/${name}`)));
  const snippets = snippetsIn("rust");
  assert.ok(snippets.length > 0, "none was found");
  for (const { where, text } of snippets) {
    assert.ok(
      programs.some((lines) => stand(codeLines(text), lines)),
      `${where}: no program in examples/ has these lines in this order`,
    );
  }
});

/**
 * The lines of code without comments, indentation and empty lines.
 * @param {string} rust
 */
function codeLines(rust) {
  const lines = rust.split("\n").map((line) => line.replace(/(^|\s)\/\/.*$/, "").trim());
  return lines.filter((line) => line !== "");
}

/**
 * Whether `lines` contains the wanted lines in this order.
 * @param {string[]} wanted
 * @param {string[]} lines
 */
function stand(wanted, lines) {
  let next = 0;
  for (const line of lines) if (line === wanted[next]) next += 1;
  return next === wanted.length;
}

test("every script, step and file that a command names is there", () => {
  const { scripts } = JSON.parse(read("package.json"));
  const steps = [...read("scripts/test.mjs").matchAll(/^ {4}name: "(.+)",$/gm)].map(([, name]) => name);
  assert.ok(steps.length > 5, "the steps of scripts/test.mjs were not found");
  const commands = pages.flatMap(({ path, prose, snippets }) => {
    const code = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, text]) => text);
    const shell = snippets.filter(({ language }) => language === "sh").map(({ text }) => text);
    return [...code, ...shell].map((text) => ({ path, text }));
  });
  const wrong = commands.flatMap(({ path, text }) => [
    ...[...text.matchAll(/npm run ([\w:-]+)/g)].filter(([, name]) => !(name in scripts)),
    ...[...text.matchAll(/npm test -- --only ([\w,-]+)/g)].filter(
      ([, names]) => !names.split(",").every((name) => name === "lint" || steps.includes(name)),
    ),
    ...[...text.matchAll(/(?:scripts|bench|tests)\/[\w./-]+\.\w+/g)].filter(([file]) =>
      path.startsWith("examples/") ? false : !existsSync(join(root, file)),
    ),
  ]);
  assert.deepEqual(
    wrong.map(([text]) => text),
    [],
  );
});

test("the workflows are valid YAML and call scripts that are there", () => {
  const { scripts } = JSON.parse(read("package.json"));
  for (const name of ["ci", "release"]) {
    const text = readFileSync(join(root, `.github/workflows/${name}.yml`), "utf8");
    const document = parseDocument(text, { strict: true });
    assert.deepEqual([...document.errors, ...document.warnings], [], name);
    const { permissions, jobs } = document.toJS();
    // A job that needs more than reading asks for it itself.
    assert.deepEqual(permissions, { contents: "read" }, name);
    assert.ok(Object.keys(jobs).length > 0, name);
    for (const [job, { uses, steps, needs = [] }] of Object.entries(jobs)) {
      for (const other of [needs].flat()) assert.ok(other in jobs, `${name}: ${job} needs ${other}`);
      if (uses) assert.ok(existsSync(join(root, uses)), `${name}: ${uses}`);
      for (const step of steps ?? []) {
        if (step.uses) assert.match(step.uses, /^[\w-]+\/[\w-]+@v\d+/, `${name}: ${job}`);
        const [program, argument] = (step.run ?? "").split(" ");
        if (program === "node" || program.startsWith(".")) {
          const file = program === "node" ? argument : program;
          assert.ok(existsSync(join(root, file)), `${name}: ${step.run}`);
        } else if (program === "npm") {
          assert.ok(step.run.split(" ")[2] in scripts, `${name}: ${step.run}`);
        }
      }
    }
  }
});
