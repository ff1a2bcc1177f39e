/**
 * Finds the Rust tools that the builds and tests need, and installs those that are missing.
 *
 * Tools that cargo builds are kept outside the clone, by version, so that all clones share one
 * build.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { capture, Failure, root, run } from "./process.mjs";
import { installByManager } from "./system-packages.mjs";

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "omnitrade-edge");

/** What Workers are compiled for. */
export const WASM_TARGET = "wasm32-unknown-unknown";

/** The Rust toolchain that `rust-toolchain.toml` names. */
export async function ensureRust() {
  if (await capture("cargo", ["--version"])) return;
  if (!(await capture("rustup", ["--version"]))) {
    throw new Failure("Rust is missing: install it with rustup (rustup.rs), then run this again");
  }
  console.error("setup: installing the Rust toolchain of rust-toolchain.toml (a few minutes, once)");
  await run("rustup", ["toolchain", "install"], { output: "quiet" });
}

/** The standard library for WebAssembly. */
export async function ensureWasmTarget() {
  await ensureRust();
  const sysroot = (await capture("rustc", ["--print", "sysroot"])) ?? "";
  if (existsSync(join(sysroot, "lib/rustlib", WASM_TARGET, "lib"))) return;
  console.error(`setup: adding the Rust target ${WASM_TARGET} (a minute, once)`);
  await rustup(["target", "add", WASM_TARGET]);
}

/** `cargo fmt` and `cargo clippy`. */
export async function ensureLinters() {
  await ensureRust();
  for (const [component, command] of [
    ["rustfmt", "fmt"],
    ["clippy", "clippy"],
  ]) {
    if (await capture("cargo", [command, "--version"])) continue;
    console.error(`setup: adding the Rust component ${component} (a minute, once)`);
    await rustup(["component", "add", component]);
  }
}

/** @type {Promise<string> | undefined} */
let bindgen;

/**
 * The program of `tools/bindgen`, which is built from this repository. It is called `wasm-bindgen`,
 * and stands alone in its folder, so that the folder can be put on the PATH.
 * @returns {Promise<string>} its path
 */
export function ensureBindgen() {
  bindgen ??= buildBindgen();
  return bindgen;
}

async function buildBindgen() {
  await ensureRust();
  const name = "omnitrade-edge-bindgen";
  // All that decides what it does.
  const hash = createHash("sha256").update(lockedVersion("wasm-bindgen-cli-support"));
  for (const source of ["Cargo.toml", "src/main.rs"]) hash.update(readFileSync(join(root, "tools/bindgen", source)));
  const path = join(toolFolder(`bindgen-${hash.digest("hex").slice(0, 16)}`), "wasm-bindgen");
  if (existsSync(path)) return path;

  console.error("setup: building tools/bindgen (half a minute, once)");
  await run("cargo", ["build", "--quiet", "--package", name]);
  await mkdir(dirname(path), { recursive: true });
  // Under its name it is complete, whoever else builds it at the same time.
  const copy = `${path}.${process.pid}`;
  await copyFile(join(resolve(root, process.env.CARGO_TARGET_DIR ?? "target"), "debug", name), copy);
  await rename(copy, path);
  return path;
}

/**
 * `wasm-pack`, which makes the modules of the npm package.
 * @returns {Promise<string>} its path or its name
 */
export async function ensureWasmPack() {
  await ensureRust();
  return ensureCargoTool("wasm-pack", { version: "0.15.1", minutes: 2 });
}

/** `cargo nextest`, in any version; it is put on the PATH of child processes. */
export async function ensureNextest() {
  await ensureRust();
  if (await capture("cargo", ["nextest", "--version"])) return;
  const path = await ensureCargoTool("cargo-nextest", { version: "0.9.143", minutes: 8, locked: true });
  process.env.PATH = `${join(path, "..")}${delimiter}${process.env.PATH}`;
}

/**
 * `cargo semver-checks`, which finds breaking changes in the interface of a crate.
 * @returns {Promise<string>} its path or its name
 */
export async function ensureSemverChecks() {
  await ensureRust();
  return ensureCargoTool("cargo-semver-checks", { version: "0.49.0", minutes: 8, locked: true });
}

/**
 * `worker-build`, which builds Workers that are written with the crate `worker`.
 * @returns {Promise<string>} its path or its name
 */
export async function ensureWorkerBuild() {
  await ensureWasmTarget();
  await ensureOpenSsl();
  // It hardly computes: optimized, it would take three times as long to build.
  return ensureCargoTool("worker-build", { version: "0.8.7", minutes: 2, locked: true, debug: true });
}

/** The headers of OpenSSL, where crates link it. */
async function ensureOpenSsl() {
  if (process.platform !== "linux" || (await capture("pkg-config", ["--exists", "openssl"])) !== undefined) return;
  const problem = installByManager("OpenSSL's headers", [
    { name: "apt-get", steps: [["update"], ["install", "-y", "--no-install-recommends", "libssl-dev", "pkg-config"]] },
    { name: "apk", steps: [["add", "openssl-dev", "pkgconf"]] },
    { name: "dnf", steps: [["install", "-y", "openssl-devel", "pkgconf-pkg-config"]] },
    { name: "pacman", steps: [["-S", "--noconfirm", "--needed", "openssl", "pkgconf"]] },
    { name: "zypper", steps: [["--non-interactive", "install", "libopenssl-devel", "pkgconf"]] },
  ]);
  if (problem) throw new Failure(problem);
}

/**
 * A folder inside the folder of tools, for tools that cargo does not build.
 * @param {string} name
 */
export function toolFolder(name) {
  return join(cache, "tools", name, "bin");
}

/**
 * A program of a crate in exactly this version: the one on the PATH, or one that is built from
 * source.
 * @param {string} name the program's name
 * @param {object} options
 * @param {string} [options.crate] where it has another name
 * @param {string} options.version
 * @param {number} options.minutes how long the build takes
 * @param {boolean} [options.locked] with the versions in the crate's own lock file. nextest does
 *   not build without it; for wasm-pack some of these versions are no longer available
 * @param {boolean} [options.debug] not optimized
 * @returns {Promise<string>} its path or its name
 */
async function ensureCargoTool(name, { crate = name, version, minutes, locked = false, debug = false }) {
  const folder = `${crate}-${version}`;
  const path = join(toolFolder(folder), name);
  const works = async (/** @type {string} */ program) =>
    (await capture(program, ["--version"]))?.split(/\s+/).includes(version);
  if (await works(path)) return path;
  if (await works(name)) return name;

  console.error(`setup: building ${name} ${version} from crates.io (about ${minutes} minutes, once)`);
  // A separate target folder, so that no lock is shared with a build of the project. It stays if
  // the build is interrupted, and the next one continues from it.
  const target = join(cache, "build", folder);
  await run(
    "cargo",
    [
      ...["install", "--quiet", crate, "--bin", name, "--version", version],
      ...["--root", join(cache, "tools", folder)],
      ...(locked ? ["--locked"] : []),
      ...(debug ? ["--debug"] : []),
    ],
    { output: "quiet", env: { CARGO_TARGET_DIR: target } },
  );
  await rm(target, { recursive: true, force: true });
  if (!(await works(path))) throw new Failure(`${path} was built but does not run`);
  return path;
}

/**
 * The version of a crate in the project's lock file.
 * @param {string} crate
 */
function lockedVersion(crate) {
  const lock = readFileSync(join(root, "Cargo.lock"), "utf8");
  const version = lock.match(new RegExp(`^name = "${crate}"\nversion = "(.+)"$`, "m"))?.[1];
  if (!version) throw new Failure(`Cargo.lock names no version of ${crate}`);
  return version;
}

/** @param {string[]} args */
async function rustup(args) {
  if (!(await capture("rustup", ["--version"]))) {
    throw new Failure(
      `this Rust did not come from rustup: install by its own means what "rustup ${args.join(" ")}" would`,
    );
  }
  await run("rustup", args, { output: "quiet" });
}
