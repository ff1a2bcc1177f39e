/**
 * Counts the requests that arrive, so that tests can tell which requests a cache answered itself.
 */

/** Paths beyond this number are counted together, so that hostile URLs cannot fill the memory. */
const MAX_PATHS = 10_000;

/** @typedef {ReturnType<typeof createCounters>} Counters */

export function createCounters() {
  let state = empty();

  return {
    /** The counts since the start or the last reset. */
    get: () => structuredClone(state),
    reset: () => {
      state = empty();
    },
    /** Requests for exactly this path, without its query. @param {string} path */
    of: (path) => state.paths[path] ?? 0,
    /** @param {string} method @param {string} path */
    arrived: (method, path) => {
      state.total++;
      add(state.paths, path);
      add(state.methods, `${method} ${path}`);
    },
    /** @param {number} status */
    answered: (status) => add(state.statuses, String(status)),
    /** The connection ended before the response did. */
    cutShort: () => {
      state.unfinished++;
    },
  };
}

/** @param {Counters} counters @returns {import("express").Handler} */
export const countRequests = (counters) => (req, res, next) => {
  if (!isSwitchboard(req.path)) {
    counters.arrived(req.method, req.path);
    res.once("close", () => {
      if (res.writableFinished) counters.answered(res.statusCode);
      else counters.cutShort();
    });
  }
  next();
};

/**
 * Whether the path is one of those that control and observe the server, which are neither counted
 * nor made to fail.
 * @param {string} path
 */
export const isSwitchboard = (path) =>
  path === "/__origin/control" || path === "/__origin/counters" || path === "/__origin/counters/reset";

function empty() {
  // Without a prototype, because a path may be called "__proto__".
  return {
    total: 0,
    unfinished: 0,
    paths: /** @type {Record<string, number>} */ (Object.create(null)),
    methods: /** @type {Record<string, number>} */ (Object.create(null)),
    statuses: /** @type {Record<string, number>} */ (Object.create(null)),
  };
}

/** @param {Record<string, number>} counts @param {string} name */
function add(counts, name) {
  const key = name in counts || Object.keys(counts).length < MAX_PATHS ? name : "(other)";
  counts[key] = (counts[key] ?? 0) + 1;
}
