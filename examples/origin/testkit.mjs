/**
 * What the tests of the sample API share: one server with a controlled clock, and functions that
 * send it requests.
 */

import { once } from "node:events";
import { request } from "node:http";
import { after, afterEach, before } from "node:test";
import { startOrigin } from "./index.js";

/** In the middle of a minute, so that a candle of one minute is open. */
export const START = Date.UTC(2026, 0, 15, 12, 0, 30);

export const clock = { time: START };

/**
 * Starts a server for the tests of one file. Before every test the clock shows START and the
 * switches have their defaults.
 *
 * @param {import("./index.js").Options} [options]
 */
export function serveTests(options = {}) {
  /** @type {import("./index.js").Origin} */
  let origin;
  before(async () => {
    origin = await startOrigin({ seed: 7, now: () => clock.time, ...options });
  });
  after(() => origin.close());
  afterEach(() => {
    clock.time = START;
    origin.control.set({});
  });

  /** @param {string} path @param {RequestInit} [init] */
  const get = (path, init) => fetch(origin.url + path, { redirect: "manual", ...init });

  return {
    origin: () => origin,
    get,
    /** @param {string} path @param {RequestInit} [init] @returns {Promise<any>} */
    json: async (path, init) => (await get(path, init)).json(),
    /** @param {string} path @param {unknown} body @param {Record<string, string>} [headers] */
    post: (path, body, headers) =>
      get(path, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json", ...headers },
      }),
    /**
     * Sends a request without the headers that fetch adds, and without its changes to the response.
     * @param {string} path @param {Record<string, string>} [headers]
     */
    raw: async (path, headers = {}) => {
      const [response] = await once(request(origin.url + path, { headers }).end(), "response");
      return /** @type {import("node:http").IncomingMessage} */ (response);
    },
    socketUrl: () => `${origin.url.replace("http", "ws")}/ws/v1/market-data`,
  };
}

/** @param {import("node:http").IncomingMessage} response */
export async function bytesOf(response) {
  const pieces = [];
  for await (const piece of response) pieces.push(piece);
  return Buffer.concat(pieces);
}
