/** `createGate` in Node: its configuration, its handler, its instance. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { root } from "../../scripts/lib/process.mjs";
import { ConfigError, createGate } from "../support/package.mjs";
import { cacheStatus, gateBeforeCounter, request } from "./kit.mjs";

/** @type {Partial<import("./kit.mjs").GateConfig>} */
const LIMITED = {
  limits: { ip: { by: "ip", window: "1m", quota: 3 } },
  default_limits: ["ip"],
  routes: [{ path: "/cached", cache: { ttl: "1m" } }],
};

/** @param {() => unknown} make @returns {{ path: string, message: string }[]} */
function problems(make) {
  try {
    make();
  } catch (error) {
    assert.ok(error instanceof ConfigError && error.name === "ConfigError", `${error}`);
    for (const { path, message } of error.problems) {
      assert.ok(error.message.includes(path) && error.message.includes(message));
    }
    return [...error.problems];
  }
  return assert.fail("it was accepted");
}

test("all that is wrong with a configuration is told, with its path", () => {
  const config = { origin: "nowhere", limits: { a: 1, b: { by: "ip", window: "1x", quota: 0 } }, unknown: 1 };
  const paths = problems(() => createGate(/** @type {any} */ (config))).map(({ path }) => path);
  for (const path of ["origin", "limits.a", "limits.b.window", "limits.b.quota", "unknown"]) {
    assert.ok(paths.includes(path), `${path} is not in ${paths}`);
  }
  const dangling = { origin: "https://a.example", default_limits: ["none"] };
  assert.equal(problems(() => createGate(/** @type {any} */ (dangling)))[0].path, "default_limits[0]");
});

test("what is no configuration at all is refused", () => {
  for (const wrong of [undefined, null, 7, true, [], "", "{", "7"]) {
    assert.equal(problems(() => createGate(/** @type {any} */ (wrong))).length, 1, `${wrong}`);
  }
  const circle = /** @type {any} */ ({ origin: "https://a.example" });
  circle.circle = circle;
  problems(() => createGate(circle));
});

test("a secret that is too short is told by its option's name, and not shown", () => {
  const config = { origin: "https://a.example" };
  for (const name of ["keySecret", "previousKeySecret"]) {
    const found = problems(() => createGate(config, { [name]: "s3cret-01234567" }));
    assert.deepEqual(
      found.map(({ path }) => path),
      [`options.${name}`],
    );
    assert.match(found[0].message, /^expected a random text of at least 16 characters/);
    assert.ok(!found[0].message.includes("s3cret"));
  }
});

test("options that are wrong are told by their names", () => {
  const config = { origin: "https://a.example" };
  const wrong = { redis: {}, fetch: 7, onError: "x", adminToken: 1, keySecret: 2, previousKeySecret: {} };
  for (const [name, value] of Object.entries(wrong)) {
    const found = problems(() => createGate(config, /** @type {any} */ ({ [name]: value })));
    assert.deepEqual(
      found.map(({ path }) => path),
      [`options.${name}`],
    );
  }
});

test("a configuration may be the JSON that a variable holds", () => {
  const gate = createGate(/** @type {any} */ (JSON.stringify({ origin: "https://a.example" })));
  assert.match(gate.metrics(), /^# HELP /);
});

test("where memory suffices, the answer comes without a promise", async () => {
  const { gate, requests } = gateBeforeCounter(LIMITED);
  const first = gate.fetch(request("/cached"));
  assert.ok(first instanceof Promise);
  assert.equal(await (await first).text(), "answer 1");
  const second = gate.fetch(request("/cached"));
  assert.ok(second instanceof Response);
  assert.deepEqual([await second.text(), requests.length], ["answer 1", 1]);
  assert.match(String(cacheStatus(second)), /^hit;/);
  for (let n = 0; n < 3; n++) await gate.fetch(request("/other"));
  const refused = gate.fetch(request("/other"));
  assert.ok(refused instanceof Response);
  assert.equal(refused.status, 429);
  const health = gate.fetch(request("/__edge/health"));
  assert.ok(health instanceof Response);
  assert.deepEqual(await health.json(), { status: "ok", store: "none" });
});

test("the function that calls the origin gets what the origin would get", async () => {
  const { gate, requests } = gateBeforeCounter({});
  const headers = { "content-type": "application/json", host: "gate.example", "x-own": "1", connection: "x-own" };
  await gate.fetch(request("/orders?b=2&a=1", { method: "POST", body: '{"n":1}', headers }));
  const [sent] = requests;
  assert.ok(sent instanceof Request);
  assert.deepEqual([sent.method, sent.url], ["POST", "https://origin.example/v1/orders?b=2&a=1"]);
  assert.equal(await sent.text(), '{"n":1}');
  const fields = ["content-type", "x-forwarded-host", "x-forwarded-for", "x-own", "host", "connection"];
  assert.deepEqual(
    fields.map((name) => sent.headers.get(name)),
    ["application/json", "gate.example", "192.0.2.1", null, null, null],
  );
  assert.equal(sent.redirect, "manual");
});

test("a function that fails or answers too late is an origin that does", async () => {
  const config = { origin: "https://origin.example", origin_timeout: /** @type {const} */ ("50ms") };
  const fails = createGate(config, { fetch: async () => Promise.reject(new Error("s3cret")) });
  const failed = await fails.fetch(request("/"));
  assert.equal(failed.status, 502);
  assert.doesNotMatch(await failed.text(), /s3cret/);
  const hangs = createGate(config, { fetch: () => new Promise(() => {}) });
  const timer = setTimeout(() => {}, 20_000);
  assert.equal((await hangs.fetch(request("/"))).status, 504);
  clearTimeout(timer);
});

test("a context keeps the request going, whatever place it comes in", async () => {
  const config = { routes: [{ path: "/{n}", cache: { ttl: "1m" } }] };
  for (const place of [0, 1]) {
    /** @type {Promise<unknown>[]} */
    const works = [];
    const context = { waitUntil: (/** @type {Promise<unknown>} */ work) => void works.push(work) };
    const { gate } = gateBeforeCounter(config);
    // Cloudflare hands a handler the bindings before the context.
    const rest = place === 0 ? [context] : [{ BINDING: 1 }, context];
    const answer = await /** @type {any} */ (gate.fetch)(request("/a"), ...rest);
    assert.ok(works.length > 0, `place ${place}`);
    // It goes on until the client has the body, or wants no more of it.
    await (place === 0 ? answer.text() : answer.body.cancel());
    await Promise.all(works);
  }
  // Others hand over something else: Bun its server, Deno the client's address.
  const { gate } = gateBeforeCounter(config);
  const answer = await /** @type {any} */ (gate.fetch)(request("/a"), { remoteAddr: {} });
  assert.equal(answer.status, 200);
});

test("two gates share nothing", async () => {
  const [one, two] = [gateBeforeCounter(LIMITED), gateBeforeCounter(LIMITED)];
  for (const { gate } of [one, two]) {
    for (let n = 0; n < 2; n++) assert.equal((await gate.fetch(request("/other"))).status, 200);
    const response = await gate.fetch(request("/cached"));
    assert.match(String(cacheStatus(response)), /^fwd=uri-miss/);
  }
});

test("functions of a gate can be handed on", async () => {
  const { fetch, admit, metrics, purge } = gateBeforeCounter(LIMITED).gate;
  assert.equal((await fetch(request("/"))).status, 200);
  assert.equal((await admit(request("/"))).results.length, 1);
  await purge({ tags: ["a"] });
  assert.match(metrics(), /_requests_total/);
});

test("a trap ends its requests at once, and the next one is served", async (t) => {
  /** @type {unknown[][]} */
  const errors = [];
  t.mock.method(console, "error", (/** @type {unknown[]} */ ...args) => void errors.push(args));
  /** @type {((response: Response) => void)[]} */
  const held = [];
  const { gate } = gateBeforeCounter({}, { fetch: () => new Promise((resolve) => void held.push(resolve)) });
  const trap = () =>
    gate.fetch(
      /** @type {any} */ ({
        method: "GET",
        headers: new Headers(),
        get url() {
          throw new Error("as asked for");
        },
      }),
    );
  for (let n = 1; n <= 3; n++) {
    const waiting = [gate.fetch(request("/a")), gate.fetch(request("/b"))];
    const trapped = await trap();
    assert.deepEqual([trapped.status, /** @type {any} */ (await trapped.json()).code], [500, "gate_failed"]);
    for (const answer of await Promise.all(waiting))
      assert.equal(/** @type {any} */ (await answer.json()).code, "gate_failed");
    // What they waited for comes, and does nothing.
    for (const resolve of held.splice(0)) resolve(new Response("late"));
    assert.equal(errors.length, n);
    assert.match(gate.metrics(), new RegExp(`^edge_restarts_total ${n}$`, "m"));
    const next = gate.fetch(request("/c"));
    held[0](new Response("served"));
    held.length = 0;
    assert.equal(await (await next).text(), "served");
  }
  const admitted = await gate.admit(request("/"));
  assert.equal(admitted.response, undefined);
});

test("timers for later do not keep a program from ending", async () => {
  const gate = pathToFileURL(`${root}/pkg/dist/gate.js`).href;
  const program = `
    const { createGate } = await import(${JSON.stringify(gate)});
    const limits = { ip: { by: "ip", window: "1m", quota: 1000, strategy: "lease" } };
    const store = {
      command: async () => null,
      evaluate: async () => { throw new Error("down"); },
    };
    const gate = createGate(
      { origin: "https://a.example", limits, default_limits: ["ip"] },
      { redis: store, fetch: async () => new Response("ok"), onError: () => {} },
    );
    for (let n = 0; n < 20; n++) await gate.fetch(new Request("https://gate.example/", { headers: { "cf-connecting-ip": "192.0.2.1" } }));
    console.log("done");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (text) => {
    said += text;
  });
  const late = setTimeout(() => child.kill("SIGKILL"), 15_000);
  const [code] = await once(child, "exit");
  clearTimeout(late);
  assert.deepEqual([code, said], [0, "done\n"]);
});
