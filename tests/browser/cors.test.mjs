/** What a page on another port may read of the gate's answers, as a browser sees it. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { startBrowser } from "../support/browser.mjs";
import { listen, startGateBefore, startStore, until } from "../worker/kit.mjs";

const browser = await startBrowser();
after(() => browser.stop());
const [page, stranger] = [await browser.open(), await browser.open()];

/** An API that has never heard of CORS, and has no answer for a preflight. */
const api = createServer((request, response) => {
  if (request.url === "/broken") return request.socket.destroy();
  const known = request.method !== "OPTIONS";
  const fields = request.url?.startsWith("/cached") ? { "cache-control": "max-age=600" } : {};
  response.writeHead(known ? 200 : 404, { "content-type": "text/plain", ...fields });
  response.end(
    known ? `${request.method} ${request.headers["x-api-key"] ?? "-"} ${request.headers.cookie ?? "-"}` : "",
  );
});
const origin = { url: await listen(api) };
const { store } = await startStore();

const edge = {
  limits: {
    one: { by: "api-key", window: "10m", quota: 1 },
    many: { by: "global", window: "10m", quota: 1_000 },
  },
  routes: [
    { path: "/one", limits: ["one", "many"] },
    { path: "/cached/{n}", limits: ["many"], cache: {} },
  ],
};
const cors = { origins: [page.origin] };
const [gate, silent, answering, baking] = await Promise.all(
  [{ cors }, {}, { cors: { ...cors, preflight: true } }, { cors: { ...cors, preflight: true, credentials: true } }].map(
    (more) => startGateBefore({ origin, store }, { edge: { ...edge, ...more } }),
  ),
);

/**
 * @typedef {object} Seen
 * @property {string} [error]
 * @property {number} [status]
 * @property {string} [text]
 * @property {Record<string, string>} fields
 */

/**
 * What a script in a page sees of an answer: the name of an error only, if the browser hides it.
 * @param {import("../support/browser.mjs").Page} from
 * @param {string} url
 * @param {RequestInit} [init]
 * @returns {Promise<Seen>}
 */
function see(from, url, init = {}) {
  return from.run(
    async (url, init) => {
      try {
        const response = await fetch(url, init);
        const fields = Object.fromEntries(response.headers);
        return { status: response.status, text: await response.text(), fields };
      } catch (error) {
        return { error: /** @type {Error} */ (error).name, fields: {} };
      }
    },
    url,
    init,
  );
}

const HIDDEN = { error: "TypeError", fields: {} };

let keys = 0;
/**
 * Uses up the quota of a new key, without the browser.
 * @param {import("../support/gate.mjs").Gate} at
 * @returns the headers with that key
 */
async function spent(at) {
  keys++;
  const headers = { "x-api-key": `key-${keys}` };
  assert.equal((await at.fetch("/one", { headers })).status, 200);
  return headers;
}

test("a page reads the RateLimit fields of a 200", async () => {
  const { status, text, fields } = await see(page, `${gate.url}/cached/first`);
  assert.equal(status, 200);
  assert.equal(text, "GET - -");
  assert.equal(fields["ratelimit-policy"], '"many";q=1000;w=600');
  assert.match(fields.ratelimit, /^"many";r=\d+;t=\d+$/);
  assert.equal(fields["x-edge-limiter"], "redis");
});

test("a page reads a 429 and shows for how many seconds it has to wait", async () => {
  const headers = await spent(answering);
  const shown = await page.run(
    async (url, headers) => {
      const response = await fetch(url, { headers });
      const { code } = /** @type {any} */ (await response.json());
      const { body } = /** @type {any} */ (globalThis).document;
      body.textContent = `${response.status} ${code}: wait ${response.headers.get("retry-after")} s`;
      return response.headers.get("ratelimit");
    },
    `${answering.url}/one`,
    headers,
  );
  assert.match(await page.text(), /^429 quota_exceeded: wait [1-9]\d* s$/);
  assert.match(String(shown), /"one";r=0;t=\d+/);
});

test("a page reads that the origin failed", async () => {
  const { status, text } = await see(page, `${gate.url}/broken`);
  assert.equal(status, 502);
  assert.equal(JSON.parse(String(text)).code, "origin_failed");
});

test("a page reads a hit that another client's request has stored", async () => {
  const url = `${gate.url}/cached/hit`;
  await until(async () => {
    const reply = await gate.fetch("/cached/hit", { headers: { origin: stranger.origin } });
    return /; hit/.test(String(reply.headers.get("cache-status")));
  });
  const { status, fields } = await see(page, url);
  assert.equal(status, 200);
  assert.match(fields["cache-status"], /^omnitrade-edge; hit/);
  assert.match(fields.age, /^\d+$/);
  assert.deepEqual(await see(stranger, url), HIDDEN);
});

test("a page that is not listed sees a network error and nothing else", async () => {
  for (const path of ["/cached/first", "/broken", "/%zz"]) {
    assert.deepEqual(await see(stranger, `${gate.url}${path}`), HIDDEN, path);
    assert.notDeepEqual(await see(page, `${gate.url}${path}`), HIDDEN, path);
  }
});

test("without cors every answer is a network error to a page", async () => {
  for (const path of ["/cached/first", "/broken", "/free"]) {
    assert.deepEqual(await see(page, `${silent.url}${path}`), HIDDEN, path);
  }
});

test("a request with a preflight passes only where somebody answers that", async () => {
  const init = { method: "PUT", headers: { "x-api-key": "of-the-page" } };
  const { status, text } = await see(page, `${answering.url}/thing`, init);
  assert.equal(status, 200);
  assert.equal(text, "PUT of-the-page -");
  assert.deepEqual(await see(page, `${gate.url}/thing`, init), HIDDEN, "the API answers preflights with 404");
  assert.deepEqual(await see(stranger, `${answering.url}/thing`, init), HIDDEN);
});

test("a request with credentials is readable only where they are allowed", async () => {
  /** @type {RequestInit} */
  const init = { credentials: "include", headers: { "x-api-key": "k" } };
  assert.equal((await see(page, `${baking.url}/free`, init)).status, 200);
  assert.deepEqual(await see(page, `${answering.url}/free`, init), HIDDEN);
});
