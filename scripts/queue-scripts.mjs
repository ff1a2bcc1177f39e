/**
 * Makes the scripts under `src/queue/lua/` from those of BullMQ, which the development dependencies
 * `bullmq-5` and `bullmq-6` pin, and puts BullMQ's licence beside them.
 *
 *     node scripts/queue-scripts.mjs
 *
 * What is sent is BullMQ's own text without comments, empty lines and indentation. Each script has
 * a line before it that stands in for msgpack, and answers a repeat of a call that may have run.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { main, root } from "./lib/process.mjs";

/** Where they lie in this repository. */
export const FOLDER = "src/queue/lua";

/** BullMQ's scripts that add a job, and which of their keys is the stream of events. */
const SCRIPTS = [
  { file: "addStandardJob-9", name: "standard", events: 8 },
  { file: "addDelayedJob-6", name: "delayed", events: 6 },
  { file: "addPrioritizedJob-9", name: "prioritized", events: 8 },
];

const MAJORS = [5, 6];

/**
 * The files to be, by their paths from the root of the repository.
 * @returns {Promise<Map<string, string>>}
 */
export async function queueScripts() {
  const files = new Map();
  for (const major of MAJORS) {
    const from = join(root, `node_modules/bullmq-${major}`);
    const { version } = JSON.parse(await readFile(join(from, "package.json"), "utf8"));
    for (const { file, name, events } of SCRIPTS) {
      const source = await readFile(join(from, "dist/esm/scripts", `${file}.js`), "utf8");
      const lua = source.match(/^const content = `([^`]*)`;$/m)?.[1];
      // Without these, the text between the quotes is the script to the octet.
      if (lua === undefined || /[\\$]/.test(lua)) throw new Error(`${file} of BullMQ ${version} is not as expected`);
      files.set(`${FOLDER}/bullmq-${major}/${name}.lua`, `${before(events)}${bare(lua)}`);
    }
    const licence = await readFile(join(from, "LICENSE"), "utf8");
    files.set(
      `${FOLDER}/bullmq-${major}/LICENSE`,
      `The scripts beside this file are made from those of BullMQ ${version}, under its licence:\n\n${licence}`,
    );
  }
  return files;
}

/**
 * What stands before a script of BullMQ.
 *
 * Its arguments are packed with msgpack, which REST's JSON cannot carry; `cjson` reads them here as
 * `cmsgpack` does there. Absent values are `nil` in both.
 *
 * A repeat of a call (`ARGV[5]`) first looks for what the call has done, because the job may have
 * been run and removed since: the stream of events tells that it was added, or given up for
 * another. It looks back as far as a call lasts (`ARGV[4]`, in ms), so that it takes no earlier job
 * of the same id for its own. Only a repeat pays for that.
 * @param {number} events which key is the stream of events
 */
function before(events) {
  return [
    "local cmsgpack={unpack=function(s) local t=cjson.decode(s)",
    "for k,v in pairs(t) do if v==cjson.null then t[k]=nil end end return t end}",
    'if ARGV[5]=="1" then',
    "local id=cmsgpack.unpack(ARGV[1])[2]",
    'local now=redis.call("TIME")',
    'local since=string.format("%.0f",math.max(now[1]*1000+math.floor(now[2]/1000)-ARGV[4],0))',
    `for _,entry in ipairs(redis.call("XREVRANGE",KEYS[${events}],"+",since,"COUNT",5000)) do`,
    "local e={}",
    "for i=1,#entry[2],2 do e[entry[2][i]]=entry[2][i+1] end",
    'if e.event=="added" and e.jobId==id then return id end',
    'if e.event=="deduplicated" and e.deduplicatedJobId==id then return e.jobId end',
    "end",
    "end",
    "",
  ].join("\n");
}

/**
 * A script without comments, empty lines and indentation.
 * @param {string} lua
 */
function bare(lua) {
  const code = lua.replaceAll(/--\[\[[\s\S]*?\]\]/g, "");
  const lines = code.split("\n").map((line) => line.replace(/^\s*--.*|\s+--\s.*$/, "").trim());
  return lines
    .filter((line) => line !== "")
    .map((line) => `${line}\n`)
    .join("");
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    await rm(join(root, FOLDER), { recursive: true, force: true });
    for (const [path, text] of await queueScripts()) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    }
  });
}
