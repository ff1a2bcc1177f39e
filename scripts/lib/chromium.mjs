/** Finds a Chromium, or installs one with the system's package manager if that is allowed. */
import { capture } from "./process.mjs";
import { installByManager } from "./system-packages.mjs";

/** The names of the program, in the order in which they are tried. */
const PROGRAMS = [
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** How each package manager installs it without asking. */
const MANAGERS = [
  { name: "apt-get", steps: [["update"], ["install", "-y", "--no-install-recommends", "chromium"]] },
  { name: "apk", steps: [["add", "chromium"]] },
  { name: "dnf", steps: [["install", "-y", "chromium"]] },
  { name: "pacman", steps: [["-S", "--noconfirm", "--needed", "chromium"]] },
  { name: "zypper", steps: [["--non-interactive", "install", "chromium"]] },
  { name: "brew", steps: [["install", "--cask", "chromium"]], asUser: true },
];

/**
 * Sets the variable `CHROMIUM` to the program, for child processes. A program that the variable
 * names already is the only one that is tried.
 * @returns {Promise<string | undefined>} why there is none, or `undefined` if there is one
 */
export async function ensureChromium() {
  if (await find()) return;
  const problem = installByManager("chromium", MANAGERS);
  if (problem) return problem;
  return (await find()) ? undefined : "install chromium by your system's package manager";
}

async function find() {
  const { CHROMIUM } = process.env;
  for (const program of CHROMIUM ? [CHROMIUM] : PROGRAMS) {
    if ((await capture(program, ["--version"])) === undefined) continue;
    process.env.CHROMIUM = program;
    return true;
  }
  return false;
}
