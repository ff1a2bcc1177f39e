/** The manifest of a packed crate, changed so that it allows only the oldest versions. */

/**
 * Takes each dependency in exactly the lowest version that its requirement names. Those of tests
 * and examples are left out, and so are the examples.
 *
 * Cargo's own `-Z direct-minimal-versions` would choose all other versions anew on each run, so the
 * outcome could change from one day to the next.
 * @param {string} manifest as Cargo writes it, with a table for each dependency
 */
export function withOldestVersions(manifest) {
  const tables = manifest.split(/^(?=\[)/m).map((table) => {
    const [header] = table.split("\n");
    if (/^\[\[(example|test|bench)\]\]$|\bdev-dependencies\./.test(header)) return "";
    if (!/\bdependencies\./.test(header)) return table;
    const exact = table.replace(/^version = "(\d[^"]*)"$/m, (_, version) => `version = "=${completed(version)}"`);
    if (exact === table) throw new Error(`${header} has no version`);
    return exact;
  });
  return tables.join("");
}

/** @param {string} version such as `1.2` */
function completed(version) {
  const parts = version.split(".");
  while (parts.length < 3) parts.push("0");
  return parts.join(".");
}
