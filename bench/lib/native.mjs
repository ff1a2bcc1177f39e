/** Builds the measurements that are native programs. */
import { Failure, run } from "../../scripts/lib/process.mjs";

/**
 * @param {string} name as Cargo.toml names it under `[[bench]]`
 * @param {string[]} [features] what it needs
 * @returns {Promise<string>} the path of the program
 */
export async function buildBench(name, features = []) {
  const { text } = await run(
    "cargo",
    [
      ...["build", "--profile", "bench", "--message-format", "json"],
      ...["--no-default-features", "--features", features.join(), "--bench", name],
    ],
    { output: "quiet" },
  );
  const executable = text.match(new RegExp(`"executable":"([^"]*${name}[^"]*)"`))?.[1];
  if (!executable) throw new Failure(`cargo names no program that measures ${name}`);
  return executable;
}
