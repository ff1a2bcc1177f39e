/**
 * What terminals of the frontend cost, and whether any of them is refused: the shipped
 * `wrangler.toml`, the same with exact limits, and the peer, each in front of the same users.
 */
import { shippedEdge } from "../scripts/lib/shipped.mjs";
import { settled } from "./cost.mjs";
import { ours, peer } from "./lib/contestants.mjs";
import { startCountingProxy } from "./lib/counting-proxy.mjs";
import { PROFILES, perMinute } from "./terminals/profiles.mjs";
import { createTally, openPage, play, terminals, until } from "./terminals/terminal.mjs";

const USERS = 50;
const SECONDS = 60;
/** From then on the pages are open, and their rhythms are known. */
const OPENED = 20;
/** Over how many isolates the terminals are spread, in a crowd of its own: each keeps to one. */
const SPREAD = 3;
/** How many of the users sit behind one address. */
const OFFICE = 10;
/** Another seed makes other users, who come at other times. */
const SEED = Number(process.env.SEED ?? 20_261_126);

/** What the store's provider charges, in dollars. */
const PER_COMMAND = 0.2 / 100_000;
const MINUTES_A_MONTH = 30 * 24 * 60;

const HONEST = 10;
const ABUSE_PER_SECOND = 10;
const QUOTES_PER_SECOND = 10;
const QUOTING_SECONDS = 10;
const POLLING_SECONDS = 30;

/** @param {import("./lib/ground.mjs").Ground} ground */
export async function measure(ground) {
  const contestants = [
    { title: "shipped", contestant: ours, edgeOf: shippedEdge },
    {
      title: `shipped, ${SPREAD} isolates`,
      contestant: { ...ours, name: "spread" },
      edgeOf: shippedEdge,
      isolates: SPREAD,
    },
    {
      title: "shipped, all limits exact",
      contestant: { ...ours, name: "exact" },
      edgeOf: (/** @type {string} */ api) => withExactLimits(shippedEdge(api)),
    },
    { title: "@upstash", contestant: peer, edgeOf: (/** @type {string} */ api) => peerEdge(shippedEdge(api)) },
  ];
  console.error(`bench: terminals: seed ${SEED}`);
  const grounds = await Promise.all(contestants.map(() => ground.another()));
  try {
    const stages = contestants.map(({ contestant, edgeOf, isolates }, n) =>
      stageOf(grounds[n], contestant, edgeOf(grounds[n].origin.url), isolates),
    );
    // One after the other, because latencies are measured.
    /** @type {{ A: Crowd, B: Crowd }[]} */
    const crowds = [];
    for (const stage of stages) {
      crowds.push({
        A: await stage("a", (scene) => measureCrowd(scene, PROFILES.A)),
        B: await stage("b", (scene) => measureCrowd(scene, PROFILES.B)),
      });
    }
    const measured = await Promise.all(
      stages.map(async (stage, n) => ({
        ...crowds[n],
        abuse: await stage("abuse", measureAbuse),
        ...(await stage("singles", measureSingles)),
      })),
    );
    return report(contestants, measured);
  } finally {
    await Promise.all(grounds.map((ground) => ground.stop()));
  }
}

/**
 * @param {{ title: string, contestant: import("./lib/contestants.mjs").Contestant }[]} contestants
 * @param {Measured[]} measured
 */
function report(contestants, measured) {
  return {
    title: `${USERS} terminals for ${SECONDS} s, with the shipped wrangler.toml`,
    columns: contestants.map(({ title }) => title),
    rows: LINES.map(({ name, of }) => ({ name, cells: measured.map(of) })),
    notes: [
      `A: ${PROFILES.A.about}, ${perMinute(PROFILES.A)} requests a minute. B: ${PROFILES.B.about}, ${perMinute(PROFILES.B)}.`,
      `Each user has a signed token, a connection and a socket.io WebSocket; ${OFFICE} of them share one address. Pages are opened within 5 s.`,
      "Of the configuration only the addresses of the origin, the store and the token's keys are others, and the store's timeout.",
      "Each contestant has a Redis and an origin of its own. The crowds play one after the other, what follows them at once.",
      "Commands as Redis counts them, those inside scripts included.",
      `A month: ${USERS} pages open all the time, at the commands per request of the whole ${SECONDS} s, their opening included, and at $0.20 per`,
      "100,000 commands.",
      "@upstash has the same windows and quotas and caches the same routes, by Redis alone; it counts a token as it is, and has no leases, no",
      "origin quotas and no reserves.",
      `Seed ${SEED}; SEED=… makes other users.`,
    ],
    data: {
      seed: SEED,
      users: USERS,
      seconds: SECONDS,
      contestants: Object.fromEntries(contestants.map(({ contestant }, n) => [contestant.name, measured[n]])),
    },
  };
}

/** @type {{ name: string, of: (measured: Measured) => string | null }[]} */
const LINES = [
  .../** @type {const} */ (["A", "B"]).flatMap((profile) => {
    /** @param {string} name @param {(crowd: Crowd) => string} of */
    const line = (name, of) => ({
      name: `${profile}: ${name}`,
      of: (/** @type {Measured} */ measured) => of(measured[profile]),
    });
    return [
      line("requests", ({ requests }) => `${requests}`),
      line("refused (429)", ({ refused }) => `${refused}`),
      line("failed otherwise", ({ failed }) => `${failed}`),
      line("commands per request", ({ commands }) => commands.toFixed(2)),
      line(`the same from the ${OPENED}th second on`, ({ later }) => later.toFixed(2)),
      line("HTTP calls to the store per request", ({ calls }) => calls.toFixed(2)),
      line("origin calls, in % of the requests", ({ originCalls }) => (100 * originCalls).toFixed(1)),
      line("latency, p50, ms", ({ p50 }) => p50.toFixed(1)),
      line("latency, p99, ms", ({ p99 }) => p99.toFixed(1)),
      line("a month", ({ month }) => `$${month.toFixed(0)}`),
    ];
  }),
  { name: `abuser, ${ABUSE_PER_SECOND} made-up tokens a second: refused`, of: ({ abuse }) => share(abuse.abuser) },
  { name: `${HONEST} honest users beside it: refused`, of: ({ abuse }) => share(abuse.honest) },
  { name: "commands per request, of them all", of: ({ abuse }) => abuse.commands.toFixed(2) },
  {
    name: `${QUOTES_PER_SECOND} order books a second for ${QUOTING_SECONDS} s: refused`,
    of: ({ cancel }) => share(cancel.quotes),
  },
  { name: "a cancel after them: its status", of: ({ cancel }) => `${cancel.status}` },
  { name: `a socket.io client that polls for ${POLLING_SECONDS} s: refused`, of: ({ polling }) => share(polling) },
];

/** @param {{ requests: number, refused: number }} summary */
const share = ({ requests, refused }) => `${refused} of ${requests}`;

/** @typedef {Awaited<ReturnType<typeof measureCrowd>>} Crowd */

/**
 * @typedef {{
 *   A: Crowd, B: Crowd, abuse: Awaited<ReturnType<typeof measureAbuse>>
 * } & Awaited<ReturnType<typeof measureSingles>>} Measured
 */

/**
 * Returns a function that plays a scene in front of a fresh gate with keys of its own.
 * @param {import("./lib/ground.mjs").Ground} ground
 * @param {import("./lib/contestants.mjs").Contestant} contestant
 * @param {Record<string, any>} edge
 * @param {number} [isolates] over which the terminals are spread
 */
function stageOf(ground, contestant, { origin: _, redis, ...job }, isolates) {
  /** @template T @param {string} name @param {(scene: Scene) => Promise<T>} scene */
  return async (name, scene) => {
    const proxy = await startCountingProxy(ground.rest.url);
    const named = { ...contestant, name: `${contestant.name}-${name}` };
    const gate = await ground.start(named, /** @type {any} */ (job), { isolates, restUrl: proxy.url });
    try {
      return await scene({
        gate,
        tokenOf: (user) => tokenOf(ground.origin.url, user),
        counts: async () => {
          const { commands, calls } = await settled(ground.redis, proxy);
          return { commands: sumOf(commands), calls, originCalls: await originCalls(ground.origin.url) };
        },
        commandsNow: async () => sumOf(await ground.redis.calls()),
      });
    } finally {
      await gate.stop();
      proxy.stop();
    }
  };
}

/**
 * @typedef {object} Scene
 * @property {import("./lib/ground.mjs").Gate} gate
 * @property {(user: string) => Promise<string>} tokenOf
 * @property {() => Promise<{ commands: number, calls: number, originCalls: number }>} counts
 *   when all background work has ended
 * @property {() => Promise<number>} commandsNow
 */

/** @param {Scene} scene @param {import("./terminals/profiles.mjs").Profile} profile */
async function measureCrowd({ gate, tokenOf, counts, commandsNow }, profile) {
  const crowd = terminals({ profile, users: USERS, seconds: SECONDS, seed: SEED, office: OFFICE });
  const tally = createTally();
  const before = await counts();
  const start = performance.now();
  const playing = play(crowd, { isolates: gate.isolates, tokenOf, seconds: SECONDS, tally });
  await until(start, OPENED);
  const opened = { commands: await commandsNow(), requests: tally.summary().requests };
  await playing;
  const summary = tally.summary();
  const after = await counts();
  const commands = (after.commands - before.commands) / summary.requests;
  return {
    ...summary,
    commands,
    later: (after.commands - opened.commands) / (summary.requests - opened.requests),
    calls: (after.calls - before.calls) / summary.requests,
    originCalls: (after.originCalls - before.originCalls) / summary.requests,
    month: commands * USERS * perMinute(profile) * MINUTES_A_MONTH * PER_COMMAND,
  };
}

/** An abuser beside honest users. @param {Scene} scene */
async function measureAbuse({ gate, tokenOf, counts }) {
  const crowd = terminals({ profile: PROFILES.A, users: HONEST, seconds: SECONDS, seed: SEED });
  const alone = await counts();
  const tally = createTally();
  const page = openPage(gate.url, { token: "", address: "203.0.113.66", tally });
  const abuse = async () => {
    const start = performance.now();
    const pending = [];
    for (let n = 0; n < SECONDS * ABUSE_PER_SECOND; n++) {
      await until(start, n / ABUSE_PER_SECOND);
      const path = n % 2 ? "/api/orders" : "/api/v1/market-data/orderbook?symbol=bitcoin&limit=20";
      pending.push(page.ask(path, { token: `made-up-${SEED}-${n}` }));
    }
    await Promise.all(pending);
    page.close();
  };
  const [honest] = await Promise.all([play(crowd, { isolates: gate.isolates, tokenOf, seconds: SECONDS }), abuse()]);
  const both = await counts();
  const [abuser, others] = [tally.summary(), honest.summary()];
  return { abuser, honest: others, commands: (both.commands - alone.commands) / (abuser.requests + others.requests) };
}

/** What single clients meet. @param {Scene} scene */
async function measureSingles(scene) {
  const [cancel, polling] = await Promise.all([measureCancel(scene), measurePolling(scene)]);
  return { cancel, polling };
}

/** Whether quotes use up what a cancel needs. @param {Scene} scene */
async function measureCancel({ gate, tokenOf }) {
  const tally = createTally();
  const page = openPage(gate.url, { token: await tokenOf("trader"), address: "203.0.113.7", tally: createTally() });
  const quotes = openPage(gate.url, { token: await tokenOf("trader"), address: "203.0.113.7", tally });
  const order = { exchangeId: "binance_testnet", symbol: "BTCUSDT", side: "buy", type: "limit", price: 1, quantity: 1 };
  const made = await page.ask("/api/orders", { method: "POST", body: order });
  const start = performance.now();
  const pending = [];
  for (let n = 0; n < QUOTES_PER_SECOND * QUOTING_SECONDS; n++) {
    await until(start, n / QUOTES_PER_SECOND);
    pending.push(quotes.ask("/api/v1/market-data/orderbook?symbol=bitcoin&limit=20"));
  }
  await Promise.all(pending);
  const { id } = JSON.parse(made.text);
  const cancelled = await page.ask(`/api/orders/${id}`, { method: "DELETE" });
  page.close();
  quotes.close();
  return { quotes: tally.summary(), status: cancelled.status };
}

/**
 * A client of socket.io that polls, as behind a proxy that lets no WebSocket through.
 * @param {Scene} scene
 */
async function measurePolling({ gate, tokenOf }) {
  const tally = createTally();
  const page = openPage(gate.url, { token: await tokenOf("poller"), address: "203.0.113.8", tally });
  await page.poll(POLLING_SECONDS);
  page.close();
  return tally.summary();
}

/** @param {Map<string, number>} counts */
const sumOf = (counts) => [...counts.values()].reduce((sum, count) => sum + count, 0);

/** @param {string} api @param {string} user */
async function tokenOf(api, user) {
  const response = await fetch(`${api}/__origin/token?user=${user}`);
  return /** @type {{ token: string }} */ (await response.json()).token;
}

/**
 * How many requests have reached the sample API, but for those of this measurement.
 * @param {string} api
 */
async function originCalls(api) {
  const response = await fetch(`${api}/__origin/counters`);
  const { total, paths } = /** @type {{ total: number, paths: Record<string, number> }} */ (await response.json());
  return total - (paths["/__origin/token"] ?? 0);
}

/**
 * Every limit and origin quota asks the store about every request.
 * @param {Record<string, any>} edge
 */
function withExactLimits(edge) {
  const exact = (/** @type {any} */ limit) => limit && { ...limit, strategy: "exact" };
  const limits = Object.entries(edge.limits).map(([name, limit]) => [name, exact(limit)]);
  const routes = edge.routes.map((/** @type {any} */ route) => ({ ...route, origin_quota: exact(route.origin_quota) }));
  return { ...edge, limits: Object.fromEntries(limits), routes };
}

/**
 * What the peer can do of a configuration: windows, quotas, and whole lifetimes.
 * @param {Record<string, any>} edge
 */
function peerEdge(edge) {
  const limits = Object.entries(edge.limits).map(([name, { by, window, quota, keyed_quota }]) => [
    name,
    { by: by === "ip" ? "ip" : "client", window, quota: keyed_quota ?? quota },
  ]);
  /** @param {any} cache */
  const cacheOf = ({ ttl, open_ttl, query }) => query && { ttl: ttl === "candle" ? open_ttl : ttl, query };
  /** @param {any} route */
  const routeOf = ({ path, methods, limits = edge.default_limits, cache }) => ({
    path,
    methods,
    limits,
    cache: cache && cacheOf(cache),
  });
  return { default_limits: edge.default_limits, limits: Object.fromEntries(limits), routes: edge.routes.map(routeOf) };
}
