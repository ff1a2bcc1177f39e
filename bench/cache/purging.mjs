/** How soon after a purge the purged answer is no longer served. */
import { request } from "node:http";
import { poll } from "./ages.mjs";
import { askOnce } from "./asking.mjs";
import { TOKEN } from "./fronts.mjs";
import { TAG } from "./job.mjs";

const PATH = "/tagged";

/**
 * One purge of a tag, and the time until every isolate asked the origin anew; `null`: there is no
 * purge.
 * @param {import("./crowds.mjs").Front} gate
 */
export async function purgeOfGate(gate) {
  const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
  return purged(gate, async (url) => {
    const body = JSON.stringify({ tags: [TAG] });
    const response = await fetch(`${url}/__edge/purge`, { method: "POST", headers, body });
    await response.arrayBuffer();
    return response.status;
  });
}

/**
 * Purges by URL, because Varnish has no tags without another module.
 * @param {import("./crowds.mjs").Front} varnish
 */
export async function purgeOfVarnish(varnish) {
  return purged(varnish, async (url) => {
    const { hostname, port } = new URL(url);
    // The same host as in the clients' requests, because it is part of the key.
    const headers = { host: "api.omnitrade.example" };
    const sent = request({ hostname, port, path: PATH, method: "PURGE", headers }).end();
    return await new Promise((resolve, reject) => {
      sent.on("error", reject).on("response", (response) => response.resume() && resolve(response.statusCode ?? 0));
    });
  });
}

/**
 * @param {import("./crowds.mjs").Front} front
 * @param {(url: string) => Promise<number>} purge
 */
async function purged({ urls }, purge) {
  for (const url of urls) await askOnce(url, PATH);
  const status = await purge(urls[0]);
  if (status !== 200) return null;
  const doneAt = Date.now();
  await Promise.all(
    urls.map((url) => poll({ urls: [url] }, PATH, { every: 5, until: ({ stamp }) => (stamp?.made ?? 0) >= doneAt })),
  );
  return Date.now() - doneAt;
}
