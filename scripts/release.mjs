/**
 * Releases the version that the files name: the crate, the npm package and the prebuilt Worker.
 *
 *     node scripts/release.mjs --dry-run           checks and packs everything, publishes nothing
 *     node scripts/release.mjs crate --tag v1.2.3  publishes one part; without names: all parts
 *
 * With `--tag` the tag must name the version, and CHANGELOG.md must have a section for it. With
 * `--verify` a dry run also builds the packed crate, as its publication does, and checks that the
 * version allows what has changed in its interface since the release before.
 * RELEASING.md says when to run what; `.github/workflows/release.yml` runs this for each tag, and
 * has the tokens.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { namesFile } from "./build.mjs";
import { CRATE } from "./lib/crate.mjs";
import { capture, Failure, main, root, run } from "./lib/process.mjs";
import { scratchFolder } from "./lib/servers.mjs";
import { ensureSemverChecks } from "./lib/toolchain.mjs";

const LICENCES = ["LICENSE-APACHE", "LICENSE-MIT"];

/**
 * @typedef {object} Sources what the files of a tree say about its version
 * @property {string} cargo the text of Cargo.toml
 * @property {string} npm the text of package.json
 * @property {string} pkg the text of pkg/package.json
 * @property {string} changelog the text of CHANGELOG.md
 */

/**
 * @typedef {object} Release
 * @property {string} version
 * @property {string} notes the section of the changelog
 * @property {boolean} isDry
 * @property {boolean} verifies
 */

/**
 * Checks that all files name the same version, and finds the notes of the release.
 * @param {Sources} sources
 * @param {string} [tag] such as `v1.2.3`; without a tag, the section "Unreleased" may serve as
 *   notes
 * @returns {{ version: string, notes: string, problems: string[] }}
 */
export function plan({ cargo, npm, pkg, changelog }, tag) {
  const version = cargo.match(/^\[package\]\n(?:(?!\[).*\n)*?version = "(.+)"$/m)?.[1];
  if (!version) return { version: "", notes: "", problems: ["Cargo.toml names no version"] };
  const problems = [];
  for (const [file, text] of /** @type {const} */ ([
    ["package.json", npm],
    ["pkg/package.json", pkg],
  ])) {
    const other = JSON.parse(text).version;
    if (other !== version) problems.push(`${file} has version ${other}, Cargo.toml ${version}`);
  }
  if (tag !== undefined && tag !== `v${version}`) problems.push(`the tag is ${tag}, Cargo.toml has version ${version}`);
  const notes = section(changelog, version) ?? (tag === undefined ? section(changelog, "Unreleased") : undefined);
  if (!notes) problems.push(`CHANGELOG.md has no section "## ${version}", or an empty one`);
  return { version, notes: notes ?? "", problems };
}

/**
 * The text under `## TITLE`, with or without a date: `## [1.2.3] - 2027-01-31`.
 * @param {string} changelog
 * @param {string} title
 */
function section(changelog, title) {
  const [, ...sections] = changelog.split(/^## /m);
  for (const each of sections) {
    const [heading, ...lines] = each.split("\n");
    if (heading.match(/^\[?([^\]\s]+)/)?.[1] === title) return lines.join("\n").trim() || undefined;
  }
  return undefined;
}

/**
 * The configuration of a Worker that is built already: without `[build]`, and without what only a
 * clone has.
 * @param {string} wrangler the text of wrangler.toml
 */
export function withoutBuild(wrangler) {
  const text = wrangler.replace(/^\[build\]\n(?:(?!\[).*\n)*/m, "").replace(/^#:schema .*\n/m, "");
  if (/^\[build\]|^command =/m.test(text)) throw new Failure("wrangler.toml still has a [build]");
  return text;
}

/**
 * Packs a built Worker so that `npx wrangler deploy` deploys it from the folder where it is
 * unpacked.
 * @param {{ version: string, tree: string, into: string }} options `tree`: contains `build/`
 * @returns {Promise<string[]>} the archive and its checksum
 */
export async function packWorker({ version, tree, into }) {
  const name = `${CRATE}-worker-${version}`;
  const scratch = scratchFolder();
  const folder = join(scratch, name);
  await mkdir(folder);
  await cp(join(tree, "build"), join(folder, "build"), { recursive: true });
  await writeFile(join(folder, "wrangler.toml"), withoutBuild(await readFile(join(tree, "wrangler.toml"), "utf8")));
  for (const licence of LICENCES) await cp(join(tree, licence), join(folder, licence));
  await mkdir(into, { recursive: true });
  const archive = join(into, `${name}.tar.gz`);
  await run("tar", ["-czf", archive, "-C", scratch, name]);
  await rm(folder, { recursive: true });
  const digest = createHash("sha256")
    .update(await readFile(archive))
    .digest("hex");
  await writeFile(`${archive}.sha256`, `${digest}  ${basename(archive)}\n`);
  return [archive, `${archive}.sha256`];
}

/**
 * The latest release before a version, among the tags of its history.
 * @param {string[]} tags the latest first
 * @param {string} version
 */
export function releaseBefore(tags, version) {
  return tags.find((tag) => /^v\d+\.\d+\.\d+$/.test(tag) && tag !== `v${version}`);
}

/**
 * Fails if the interface of the crate has changed more than the version allows.
 * @param {string} version
 */
async function checkInterface(version) {
  const tags = await capture("git", ["tag", "--merged", "HEAD", "--sort=-version:refname"]);
  const before = releaseBefore((tags ?? "").split("\n"), version);
  if (before === undefined) {
    console.log("\ncrate: there is no release before, with which its interface could be compared");
    return;
  }
  console.log(`\ncrate: its interface, compared with ${before}`);
  const program = await ensureSemverChecks();
  await run(program, ["semver-checks", "--package", CRATE, "--baseline-rev", before]);
}

/** @param {Release} release */
async function releaseCrate({ version, isDry, verifies }) {
  if (isDry && verifies) await checkInterface(version);
  console.log(`\ncrate: ${CRATE} ${version} to crates.io`);
  const dry = ["--dry-run", "--allow-dirty", ...(verifies ? [] : ["--no-verify"])];
  await run("cargo", ["publish", "--package", CRATE, ...(isDry ? dry : [])]);
}

/** @param {Release} release */
async function releasePackage({ isDry }) {
  const { name, version } = JSON.parse(readFileSync(join(root, "pkg/package.json"), "utf8"));
  if (!existsSync(join(root, "pkg/dist/index.js"))) {
    if (!isDry) throw new Failure("there is no pkg/dist: run `npm run build` first");
    console.log("\npackage: there is no pkg/dist, so nothing was packed; `npm run build` makes it");
    return;
  }
  console.log(`\npackage: ${name} ${version} to npm`);
  // npm would give the tag `latest` to a prerelease, too.
  const tag = version.includes("-") ? ["--tag", "next"] : [];
  const how = isDry ? ["--dry-run"] : ["--provenance"];
  await run("npm", ["publish", "--access", "public", ...tag, ...how], { cwd: join(root, "pkg") });
}

/** @param {Release} release */
async function releaseWorker({ version, notes, isDry }) {
  if (!existsSync(join(root, "build/index.js"))) {
    if (!isDry) throw new Failure("there is no build/index.js: run `npm run build` first");
    console.log("\nworker: there is no build/index.js, so no archive was packed; `npm run build` makes it");
    return;
  }
  const into = resolve(root, process.env.CARGO_TARGET_DIR ?? "target", "dist");
  const files = await packWorker({ version, tree: root, into });
  // For stack traces of this Worker: `scripts/trace.mjs`.
  const names = join(into, `${CRATE}-worker-${version}.names.wasm`);
  await cp(namesFile, names);
  files.push(names);
  const notesFile = join(into, "notes.md");
  await writeFile(notesFile, `${notes}\n`);
  const kind = version.includes("-") ? ["--prerelease"] : [];
  const args = ["release", "create", `v${version}`, ...files, "--verify-tag", "--title", `v${version}`, ...kind];
  console.log(`\nworker: ${files.map((file) => basename(file)).join(", ")} to the GitHub release v${version}`);
  console.log((await readFile(files[1], "utf8")).trim());
  if (isDry) return console.log(`would run: gh ${args.slice(0, 3).join(" ")} … --notes-file notes.md`);
  await run("gh", [...args, "--notes-file", notesFile]);
}

/** @type {Record<string, (release: Release) => Promise<void>>} */
const parts = { crate: releaseCrate, package: releasePackage, worker: releaseWorker };

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { "dry-run": { type: "boolean" }, tag: { type: "string" }, verify: { type: "boolean" } },
    });
    const isDry = values["dry-run"] ?? false;
    const unknown = positionals.find((name) => !(name in parts));
    if (unknown) throw new Failure(`no part is called ${unknown}; there are ${Object.keys(parts).join(", ")}`);
    if (!isDry && values.tag === undefined) throw new Failure("name the tag: --tag v1.2.3 (or try it: --dry-run)");

    const text = (/** @type {string} */ name) => readFileSync(join(root, name), "utf8");
    const sources = {
      cargo: text("Cargo.toml"),
      npm: text("package.json"),
      pkg: text("pkg/package.json"),
      changelog: text("CHANGELOG.md"),
    };
    const { version, notes, problems } = plan(sources, values.tag);
    if (problems.length) throw new Failure(problems.join("\n       "));

    console.log(`${isDry ? "dry run of " : ""}version ${version}; its notes have ${notes.split("\n").length} lines`);
    for (const name of positionals.length ? positionals : Object.keys(parts)) {
      await parts[name]({ version, notes, isDry, verifies: values.verify ?? false });
    }
    if (isDry) console.log("\nnothing was published");
  });
}
