/** How long a webhook may take, in milliseconds. */
const PATIENCE = 2_000;

/** How long an alert that one isolate has told keeps others of its location quiet, in seconds. */
const QUIET = 300;

/**
 * Calls a webhook, unless another isolate of this location has lately sent the alert of this mark.
 * @param {string} url
 * @param {string} body JSON
 * @param {string} mark
 * @param {string} ends the mark of the alert that this one puts an end to, which may come again
 * @returns {Promise<string>} what went wrong; nothing if nothing did
 */
export async function post(url, body, mark, ends) {
  const cache = /** @type {any} */ (globalThis).caches?.default;
  const [place, ended] = [mark, ends].map((name) => `https://omnitrade-edge.invalid/alerts/${name}`);
  try {
    if (await cache?.match(place)) return "";
    // Before the call, which may take long.
    await cache?.put(place, new Response("", { headers: { "cache-control": `max-age=${QUIET}` } }));
    await cache?.delete(ended);
  } catch {
    // Somebody is told twice then.
  }
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), PATIENCE);
  let problem = "it did not answer within 2 s";
  try {
    const headers = { "content-type": "application/json" };
    const init = /** @type {const} */ ({
      method: "POST",
      headers,
      body,
      redirect: "manual",
      signal: controller.signal,
    });
    const response = await fetch(url, init);
    await response.body?.cancel();
    problem = response.ok ? "" : `it answered ${response.status}`;
  } catch {
    if (!controller.signal.aborted) problem = "it cannot be reached";
  }
  clearTimeout(timer);
  // Another isolate may have more luck.
  if (problem) await cache?.delete(place).catch(() => {});
  return problem;
}

/**
 * Writes a row to a dataset of Workers Analytics Engine.
 * @param {{ writeDataPoint(point: object): void }} dataset
 * @param {string[]} blobs the first one is the index, too
 * @param {number[] | Float64Array} doubles
 */
export function write(dataset, blobs, doubles) {
  dataset.writeDataPoint({ indexes: [blobs[0]], blobs, doubles: [...doubles] });
}

/**
 * Whether a binding is a dataset of Workers Analytics Engine.
 * @param {unknown} binding
 */
export function isDataset(binding) {
  return typeof (/** @type {any} */ (binding)?.writeDataPoint) === "function";
}
