/** The servers that the tests need around the gate: the same ones that `npm start` starts. */
export { freePort, spawnServer } from "../../scripts/lib/process.mjs";
export { startRedis, startRestRedis, startSampleApi } from "../../scripts/lib/servers.mjs";
