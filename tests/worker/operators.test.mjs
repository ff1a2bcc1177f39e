/** Who is told: the log when a state changes, a dataset of all isolates, a webhook. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { before, test } from "node:test";
import { post } from "../../src/shell/web/ops.js";
import { bundleWithDataset } from "../support/counting.mjs";
import { ask, listenOn, newClient, startGateBefore, startSampleOrigin, startStore, until } from "./kit.mjs";

const origin = await startSampleOrigin();
const limited = "/__origin/status/201";
const edge = {
  limits: { few: { by: "ip", window: "60s", quota: 33 } },
  routes: [{ path: limited, limits: ["few"] }],
};

/** @type {string} */
let recording;
before(async () => {
  recording = await bundleWithDataset();
});

/** The events in a log. @param {{ logs: () => string[] }} gate */
const events = (gate) =>
  gate
    .logs()
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));

test("an outage is three lines in the log, and no line is a request's", async (t) => {
  const { redis, store } = await startStore({ scope: t });
  const gate = await startGateBefore({ origin, store }, { edge: { ...edge, redis: { timeout: "200ms" } } }, t);
  await ask(gate, limited, { headers: newClient() });
  assert.deepEqual(gate.logs(), []);
  redis.pause();
  const down = Date.now();
  while (Date.now() - down < 4_000) await ask(gate, limited, { headers: newClient() });
  redis.resume();
  await until(async () => {
    await ask(gate, limited, { headers: newClient() });
    return events(gate).some(({ event }) => event === "store_closed");
  });
  const told = events(gate);
  assert.equal(gate.logs().length, 3, gate.logs().join("\n"));
  assert.deepEqual(
    told.map(({ event, reason }) => [event, reason]),
    [
      ["store_error", undefined],
      ["store_open", "timeout"],
      ["store_closed", undefined],
    ],
  );
  assert.match(told[0].detail, /^store: /);
  assert.ok(told[2].after_ms >= 3_000, String(told[2].after_ms));
  assert.ok(Math.abs(told[0].at - down) < 3_000);
});

/**
 * A server that takes what is posted to it.
 * @param {import("node:test").TestContext} t
 * @param {number | "hang"} [answer]
 */
async function receiver(t, answer = 204) {
  /** @type {any[]} */
  const bodies = [];
  /** What it answers to the next ones; the last of them, and to all that follow. */
  const answers = /** @type {(number | "hang")[]} */ ([answer]);
  const server = createServer(async (from, to) => {
    const chunks = [];
    for await (const chunk of from) chunks.push(chunk);
    bodies.push(JSON.parse(Buffer.concat(chunks).toString()));
    const now = answers.length > 1 ? answers.shift() : answers[0];
    if (typeof now === "number") to.writeHead(now).end();
  });
  const url = await listenOn(server);
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return { url, bodies, answers };
}

/** @param {import("node:test").TestContext} t @param {string} url */
async function alerting(t, url, timeout = "200ms") {
  const { tap, store } = await startStore({ scope: t });
  const gate = await startGateBefore(
    { origin, store },
    {
      edge: { ...edge, redis: { timeout }, alerts: { store_open_for: "1s" } },
      vars: { EDGE_ALERT_WEBHOOK: url },
    },
    t,
  );
  await ask(gate, limited, { headers: newClient() });
  return { tap, store, gate };
}

test("the webhook is told of a long outage once, and of its end once", async (t) => {
  const { url, bodies } = await receiver(t);
  const { tap, store, gate } = await alerting(t, `${url}/hook?key=secret`);
  tap.fault = 500;
  const asked = async () => {
    const reply = await ask(gate, limited, { headers: newClient() });
    assert.equal(reply.status, 201);
    return bodies.length > 0;
  };
  await until(asked);
  for (let n = 0; n < 20; n++) await asked();
  tap.fault = null;
  await until(async () => (await asked()) && bodies.length > 1);
  for (let n = 0; n < 10; n++) await asked();
  assert.deepEqual(
    bodies.map(({ alert, status, reason }) => [alert, status, reason]),
    [
      ["store_open", "firing", "network"],
      ["store_open", "resolved", "ok"],
    ],
  );
  assert.match(bodies[0].fingerprint, /^[0-9a-f]{16}$/);
  assert.equal(bodies[0].fingerprint, bodies[1].fingerprint);
  assert.ok(bodies[0].for_ms >= 1_000);
  for (const secret of [store.token, store.url, new URL(store.url).host]) {
    assert.ok(!JSON.stringify(bodies).includes(secret));
  }
});

test("an alert that the webhook did not take is told again", { timeout: 60_000 }, async (t) => {
  const { url, bodies, answers } = await receiver(t, 500);
  const { tap, gate } = await alerting(t, url);
  tap.fault = 500;
  const told = (/** @type {number} */ times) =>
    until(async () => (await ask(gate, limited, { headers: newClient() })) && bodies.length >= times);
  await told(1);
  answers.splice(0, 1, 204);
  await told(2);
  tap.fault = null;
  await told(3);
  assert.deepEqual(
    bodies.map(({ status }) => status),
    ["firing", "firing", "resolved"],
  );
});

test("isolates of a location tell each outage once, however soon it follows", async (t) => {
  const { url, bodies, answers } = await receiver(t, 204);
  /** @type {Set<string>} */
  const kept = new Set();
  const cache = {
    match: async (/** @type {string} */ at) => kept.has(at),
    put: async (/** @type {string} */ at) => kept.add(at),
    delete: async (/** @type {string} */ at) => kept.delete(at),
  };
  Object.assign(globalThis, { caches: { default: cache } });
  t.after(() => Reflect.deleteProperty(globalThis, "caches"));
  const tell = (/** @type {string} */ status, /** @type {string} */ ends) =>
    post(url, JSON.stringify({ status }), `0123-${status}`, `0123-${ends}`);
  for (let outage = 0; outage < 2; outage++) {
    for (let isolate = 0; isolate < 3; isolate++) assert.equal(await tell("firing", "resolved"), "");
    for (let isolate = 0; isolate < 3; isolate++) assert.equal(await tell("resolved", "firing"), "");
  }
  const both = ["firing", "resolved"];
  assert.deepEqual(
    bodies.map(({ status }) => status),
    [...both, ...both],
  );
  answers.splice(0, 1, 500, 204);
  assert.equal(await tell("firing", "resolved"), "it answered 500");
  assert.equal(await tell("firing", "resolved"), "", "another isolate has more luck");
  assert.equal(bodies.length, 6);
});

for (const answer of /** @type {const} */ ([500, "hang"])) {
  test(`a webhook that answers with ${answer} slows nobody down, and is one line`, async (t) => {
    const { url, bodies } = await receiver(t, answer);
    const { tap, gate } = await alerting(t, `${url}/hook?key=secret`);
    tap.fault = 500;
    await until(async () => {
      const reply = await ask(gate, limited, { headers: newClient() });
      assert.equal(reply.status, 201);
      assert.ok(reply.receivedAt - reply.sentAt < 1_500, `${reply.receivedAt - reply.sentAt} ms`);
      return bodies.length > 0;
    });
    const line = await until(() => gate.logs().find((line) => line.startsWith("EDGE_ALERT_WEBHOOK: ")));
    assert.match(line, answer === 500 ? /it answered 500/ : /did not answer within 2 s/);
    assert.ok(!gate.logs().join("\n").includes("secret"));
  });
}

test("an address that is no webhook's turns alerts off, and is one line", async (t) => {
  for (const url of ["http://example.com/x", "ftp://x", "hooks.example.com", "http://127.0.0.1.example.com/"]) {
    const { tap, gate } = await alerting(t, url);
    tap.fault = 500;
    for (let n = 0; n < 5; n++) {
      assert.equal((await ask(gate, limited, { headers: newClient() })).status, 201);
    }
    const lines = await until(() => {
      const lines = gate.logs().filter((line) => line.includes("EDGE_ALERT_WEBHOOK: expected"));
      return lines.length > 0 && lines;
    });
    assert.equal(lines.length, 1);
    assert.ok(!lines[0].includes(url), lines[0]);
  }
});

test("rows for the dataset add up to what was counted", { timeout: 60_000 }, async (t) => {
  const { store } = await startStore({ scope: t });
  const settings = { ...edge, metrics: { analytics: "EDGE_METRICS", every: "10s" } };
  const gate = await startGateBefore({ origin, store }, { edge: settings, script: recording }, t);
  const rows = async () => JSON.parse((await ask(gate, "/__dataset")).text);
  const headers = newClient();
  for (let n = 0; n < 40; n++) await ask(gate, limited, { headers });
  assert.deepEqual(await rows(), []);
  const points = await until(async () => {
    await ask(gate, "/__edge/health");
    const all = await rows();
    return all.length > 0 && all;
  });
  assert.ok(points.length <= 20, `${points.length}`);
  for (const { indexes, blobs, doubles } of points) {
    assert.deepEqual(indexes, [blobs[0]]);
    assert.ok(doubles.length <= 20 && doubles.every(Number.isFinite), JSON.stringify(doubles));
  }
  const row = (/** @type {string} */ kind, /** @type {string} */ name) =>
    points.find((/** @type {any} */ { blobs }) => blobs[0] === kind && blobs[1] === name).doubles;
  assert.deepEqual(row("route", limited).slice(0, 5), [33, 7, 0, 0, 0]);
  assert.deepEqual(row("limit", "few").slice(0, 8), [33, 0, 0, 0, 1, 0, 0, 6]);
  assert.equal(row("store", "admit")[0], 34);
  assert.ok(row("isolate", "")[0] > 34);
});

test("a binding that is none turns metrics off, and is one line", async (t) => {
  const settings = { ...edge, metrics: { analytics: "NOT_THERE" } };
  const gate = await startGateBefore({ origin }, { edge: settings }, t);
  for (let n = 0; n < 3; n++) assert.equal((await ask(gate, limited, { headers: newClient() })).status, 201);
  const lines = await until(() => gate.logs().length > 0 && gate.logs());
  assert.equal(lines.length, 1);
  assert.match(lines[0], /^configuration: metrics\.analytics: expected the name of a binding/);
});
