/**
 * Mixed traffic through several isolates over a real Redis, while the store and the origin fail in
 * all ways; afterwards everything that must hold is checked from the logs.
 *
 *     npm run soak                          60 seconds
 *     npm run soak -- --minutes 30
 *     npm run soak -- --seed 7              the same faults and clients again
 *     npm run soak -- --faults store        only the store fails; "origin", "none"
 *     npm run soak -- --log FILE            writes the logs as JSON
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { buildWorker } from "../../scripts/build.mjs";
import { bootstrap } from "../../scripts/lib/bootstrap.mjs";
import { buildCommandLine } from "../../scripts/lib/command-line.mjs";
import { Failure, main } from "../../scripts/lib/process.mjs";
import { ensureRedisServer } from "../../scripts/lib/redis-server.mjs";

await main(async () => {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "60" },
      minutes: { type: "string" },
      faults: { type: "string", default: "store,origin" },
      log: { type: "string" },
      seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 32)}` },
    },
  });
  const seconds = values.minutes === undefined ? Number(values.seconds) : 60 * Number(values.minutes);
  const seed = Number(values.seed);
  if (!(seconds >= 20)) throw new Failure("--seconds: expected at least 20");
  if (!Number.isSafeInteger(seed)) throw new Failure("--seed: expected a whole number");

  const what = values.faults.split(",");
  const known = ["store", "origin", "none"];
  if (!what.every((name) => known.includes(name))) throw new Failure(`--faults: expected some of ${known.join(", ")}`);

  await bootstrap();
  const problem = await ensureRedisServer();
  if (problem) throw new Failure(`a soak needs a redis-server: ${problem}`);
  await buildWorker();
  await buildCommandLine();
  // Not imported at the top, because the modules need packages that `bootstrap` installs.
  const { soak } = await import("./soak.mjs");
  console.error(`soak: ${seconds} s with --seed ${seed}`);
  const { found, summary, logs } = await soak({ seconds, seed, what });
  if (values.log !== undefined) await writeFile(values.log, JSON.stringify(logs));
  for (const line of summary) console.log(line);
  for (const violation of found.slice(0, 20)) console.log(`VIOLATION: ${violation}`);
  if (found.length > 0) throw new Failure(`${found.length} violations; again with --seed ${seed}`);
  console.log("everything held");
});
