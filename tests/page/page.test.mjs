/** The page for operators, in a browser, in front of the Worker with a Redis of its own. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startBrowser } from "../support/browser.mjs";
import { ask, cacheStatus, costOf, listen, newClient, startGateBefore, surroundings, until } from "../worker/kit.mjs";
import { enter, openPage, picture, shows, TOKEN, textOf } from "./kit.mjs";

/** How soon the page must show that the store has failed, in milliseconds. */
const BADGE_WITHIN = 3_000;

const browser = await startBrowser();
after(() => browser.stop());
const around = await surroundings();
const { redis, origin } = around;

const edge = {
  limits: {
    "per-ip": { by: "ip", window: "10m", quota: 33 },
    all: { by: "global", window: "10m", quota: 100_000, mode: "shadow" },
  },
  routes: [
    { path: "/limited", limits: ["per-ip", "all"] },
    { path: "/free", limits: ["all"] },
    { path: "/__origin/headers", cache: { ttl: "10m", query: ["__body"], tags: ["body"] } },
  ],
};
const newGate = (/** @type {Record<string, any>} */ more = {}, vars = { EDGE_ADMIN_TOKEN: TOKEN }) =>
  startGateBefore(around, { edge: { ...edge, ...more }, vars });
const gate = await newGate();

const FORTY = newClient();
/** @type {number[]} */
const statuses = [];
for (let n = 0; n < 40; n++) statuses.push((await ask(gate, "/limited", { headers: FORTY })).status);

test("40 requests of which 7 are refused are shown as 7", async () => {
  assert.equal(statuses.filter((status) => status === 429).length, 7);
  const page = await openPage(browser, gate);
  await enter(page);
  const limit = await shows(page, '[data-limit="per-ip"]', /admitted/);
  assert.match(limit, /admitted 33 refused 7 /);
  assert.match(limit, /fullest 100 %/);
  assert.match(await textOf(page, '[data-limit="all"]'), /admitted \d+ refused 0 /);
  assert.match(await textOf(page, "#now"), /Requests of a day 40 7 refused, 0 held off/);
  assert.match(await textOf(page, "#badge"), /^The store answers$/);
  assert.match(await textOf(page, "#p50"), /^\d+ ms$/);
  assert.match(await textOf(page, "#p99"), /^\d+ ms$/);

  const digests = await textOf(page, "#refused");
  assert.match(digests, /^per-ip [\w-]{16} 7$/);
  assert.ok(!(await page.text()).includes(FORTY["cf-connecting-ip"]));
  // All of them are in the tables beside the charts, whatever time these show.
  for (const range of ["seconds", "minutes", "hours"]) {
    await page.run((range) => {
      const select = /** @type {any} */ (globalThis).document.getElementById("range");
      select.value = range;
      select.dispatchEvent(new /** @type {any} */ (globalThis).Event("change"));
    }, range);
    const numbers = (await textOf(page, "#sources table")).match(/\d+/g)?.map(Number) ?? [];
    assert.equal(
      numbers.reduce((all, number) => all + number, 0),
      40,
      range,
    );
  }
  await picture(page, "refused");
});

test("the metrics of the same isolate sum to 7, and promtool takes them", async () => {
  const { metricsOf } = await import("./metrics.mjs");
  const series = await metricsOf(gate);
  const refused = series.filter(
    ({ name, labels }) => name === "edge_limit_decisions_total" && labels.decision === "refused",
  );
  assert.equal(
    refused.reduce((all, { value }) => all + value, 0),
    7,
  );
  // The first call finds no script in Redis, and it is no failure: an alert would fire.
  const calls = series.filter(({ name }) => name === "edge_store_calls_total");
  assert.deepEqual([...new Set(calls.map(({ labels }) => labels.outcome))], ["ok"]);

  const outcomes = series.filter(({ name, labels }) => name === "edge_requests_total" && labels.outcome === "refused");
  assert.deepEqual(
    outcomes.map(({ labels, value }) => [labels.route, value]),
    [["/limited", 7]],
  );
});

test("the page looks on without a single Redis command", async () => {
  const page = await openPage(browser, gate);
  await enter(page);
  await shows(page, "#badge", /answers/);
  const cost = await costOf(around, async () => {
    const before = await polls(page);
    await until(async () => (await polls(page)) >= before + 2);
  });
  assert.deepEqual(cost, { calls: 0 });
});

/**
 * How often a page has asked for what is new.
 * @param {import("../support/browser.mjs").Page} page
 */
function polls(page) {
  return page.run(
    () =>
      /** @type {any} */ (globalThis).performance
        .getEntriesByType("resource")
        .filter((/** @type {any} */ { name }) => name.includes("/__edge/stats")).length,
  );
}

test("isolates that answer in turn are shown one at a time", async () => {
  const { isolates } = await startGateBefore(around, { edge, vars: { EDGE_ADMIN_TOKEN: TOKEN }, isolates: 2 });
  for (const [n, isolate] of isolates.entries()) {
    for (let sent = 0; sent < 3 + 2 * n; sent++) await ask(isolate, "/free", { headers: newClient() });
  }
  let turn = 0;
  const between = createServer(async (from, to) => {
    turn++;
    // Two of one isolate, then two of the other.
    const { url } = isolates[(turn >> 1) % 2];
    const authorization = from.headers.authorization;
    const reply = await fetch(url + from.url, { headers: authorization ? { authorization } : {} });
    for (const name of ["content-type", "content-security-policy"]) to.setHeader(name, reply.headers.get(name) ?? "");
    to.writeHead(reply.status).end(await reply.text());
  });
  const page = await openPage(browser, { url: await listen(between) });
  await enter(page);
  await shows(page, "#isolate", /2 isolates have answered in turn$/);
  const seen = new Set();
  await until(async () => {
    seen.add(await textOf(page, "#requests"));
    return seen.size === 2;
  });
  assert.deepEqual([...seen].toSorted(), ["3", "5"]);
});

test("a hidden page asks for nothing, and goes on when it is shown", async () => {
  const page = await openPage(browser, gate);
  await enter(page);
  await shows(page, "#badge", /answers/);
  const hide = (/** @type {boolean} */ hidden) =>
    page.run((hidden) => {
      const { document, Event } = /** @type {any} */ (globalThis);
      Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  await sleep(500); // What was under way has come.
  const before = await polls(page);
  await sleep(4_500);
  assert.equal(await polls(page), before);
  await hide(false);
  await until(async () => (await polls(page)) > before, { within: 1_000 });
});

test("only what is new is asked for, and nothing is lost by that", async () => {
  const page = await openPage(browser, gate);
  await enter(page);
  await shows(page, "#badge", /answers/);
  const before = Number((await textOf(page, "#requests")).replace(",", ""));
  for (let n = 0; n < 25; n++) {
    await ask(gate, "/free", { headers: newClient() });
    await sleep(100);
  }
  await shows(page, "#requests", new RegExp(`^${before + 25}$`));
  const asked = await page.run(() =>
    /** @type {any} */ (globalThis).performance.getEntriesByType("resource").map((/** @type {any} */ { name }) => name),
  );
  const sinces = asked.flatMap((/** @type {string} */ url) => url.match(/since=(\d+)/)?.[1] ?? []).map(Number);
  assert.equal(sinces[0], 0);
  assert.ok(sinces.length >= 3 && sinces.slice(1).every((/** @type {number} */ since) => since > 1e12), `${sinces}`);
});

test("Redis that stops turns the badge within three seconds, and back", async () => {
  const own = await newGate({ redis: { timeout: "1s" } });
  const page = await openPage(browser, own);
  await enter(page);
  const traffic = new AbortController();
  const sent = (async () => {
    while (!traffic.signal.aborted) {
      await ask(own, "/free", { headers: newClient() });
      await sleep(50);
    }
  })();
  try {
    await shows(page, "#badge", /^The store answers$/);
    const began = performance.now();
    await redis.kill();
    await shows(page, "#badge", /^The store fails$/, BADGE_WITHIN);
    const took = performance.now() - began;
    assert.ok(took <= BADGE_WITHIN, `it took ${took} ms`);
    assert.match(await textOf(page, "#why"), /^(network|timeout) since \S+.*: local limits decide\.$/);
    assert.match(await textOf(page, "#events"), /store open/);
    assert.match(await page.run(() => /** @type {any} */ (globalThis).document.title), /^The store fails/);
    await picture(page, "store-fails");
    await redis.restart();
    await shows(page, "#badge", /^The store answers$/);
    assert.match(await textOf(page, "#events"), /store closed after \d+ s.*store open/);
    assert.doesNotMatch(await textOf(page, "#degraded"), /^0 s$/);
  } finally {
    traffic.abort();
    await sent;
    await redis.restart();
  }
});

test("a wrong token is one clear line, and the right one is taken then", async () => {
  const page = await openPage(browser, gate);
  assert.equal(await textOf(page, "#shown"), "");
  for (const wrong of ["not-the-token", "nöt-the-token", `${TOKEN} `.repeat(2)]) {
    await enter(page, wrong);
    const said = await shows(page, "#error", /./);
    assert.equal(said, "The token is wrong: it is not the EDGE_ADMIN_TOKEN of this gate.", wrong);
    assert.equal(await textOf(page, "#shown"), "");
  }
  await picture(page, "wrong-token");
  await enter(page);
  await shows(page, "#badge", /answers/);
  assert.equal(await textOf(page, "#error"), "");
  assert.equal(await textOf(page, "#login"), "");

  await page.run(() => /** @type {any} */ (globalThis).document.getElementById("leave").click());
  assert.equal(await textOf(page, "#shown"), "");
  assert.equal(await page.run(() => /** @type {any} */ (globalThis).sessionStorage.length), 0);
});

test("the token is kept for the tab, and for no other", async () => {
  const page = await openPage(browser, gate);
  await enter(page);
  await shows(page, "#badge", /answers/);
  await page.call("Page.reload");
  await shows(page, "#badge", /answers/);
  const other = await openPage(browser, gate);
  await shows(other, "#login", /Admin token/);
  assert.ok(!(await page.text()).includes(TOKEN));
});

test("a gate that is gone is one clear line, and no badge claims to know", async () => {
  const own = await newGate();
  const page = await openPage(browser, own);
  await enter(page);
  await shows(page, "#badge", /./);
  await own.stop();
  await shows(page, "#error", /^The gate does not answer: /);
  assert.equal(await textOf(page, "#badge"), "Unknown");
  assert.match(await textOf(page, "#why"), /^What is shown is of /);
});

test("a purge by the page voids what is stored", async () => {
  const path = "/__origin/headers?__body={n}";
  const isHit = async () => cacheStatus(await ask(gate, path)).hit === true;
  await until(isHit);
  const page = await openPage(browser, gate);
  await enter(page);
  await shows(page, "#badge", /answers/);
  const press = (/** @type {string} */ tags) =>
    page.run((tags) => {
      const { document } = /** @type {any} */ (globalThis);
      document.getElementById("tags").value = tags;
      document.querySelector("#purge button").click();
    }, tags);
  await press("");
  await shows(page, "#purged", /^Name a tag or a URL\.$/);
  await press("x".repeat(1_025));
  await shows(page, "#purged", /^The gate answers 422: ./);
  await press("body\n\n");
  await shows(page, "#purged", /^Purged: 1 tags, 0 URLs\.$/);
  assert.ok(!(await isHit()));
});

test("the policy lets no outside request through, and the page works", async () => {
  let arrived = 0;
  const outside = createServer((_, response) => {
    arrived++;
    response.setHeader("access-control-allow-origin", "*").end("x");
  });
  const address = await listen(outside);
  const page = await openPage(browser, gate);
  const source = `globalThis.violations = [];
    addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));`;
  await page.call("Page.addScriptToEvaluateOnNewDocument", { source });
  await page.call("Page.reload");
  await shows(page, "#login", /Admin token/);
  await enter(page);
  await shows(page, "#badge", /answers/);
  const violations = () => page.run(() => /** @type {any} */ (globalThis).violations);
  assert.deepEqual(await violations(), []);

  await page.run(async (address) => {
    const { document, fetch } = /** @type {any} */ (globalThis);
    await fetch(address).catch(() => {});
    const add = (/** @type {string} */ tag, /** @type {Record<string, string>} */ attributes, text = "") => {
      const made = document.createElement(tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      made.textContent = text;
      document.body.append(made);
    };
    add("img", { src: `${address}/img` });
    add("script", { src: `${address}/script` });
    add("script", {}, "globalThis.ran = true");
    add("link", { rel: "stylesheet", href: `${address}/style` });
    add("style", {}, "body { display: none }");
    add("p", { style: "color: red" });
    add("p", { onclick: "globalThis.ran = true" });
    add("iframe", { src: `${address}/frame` });
  }, address);
  const expected = [
    "connect-src",
    "img-src",
    "script-src-elem",
    "style-src-elem",
    "style-src-attr",
    "script-src-attr",
    "frame-src",
  ];
  await until(async () => {
    const seen = new Set(await violations());
    return expected.every((directive) => seen.has(directive));
  });
  assert.equal(arrived, 0);
  assert.equal(await page.run(() => /** @type {any} */ (globalThis).ran), undefined);

  const { headers } = await ask(gate, "/__edge/");
  const policy = String(headers["content-security-policy"]);
  assert.match(policy, /^default-src 'none'; /);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  assert.equal(headers["content-type"], "text/html; charset=utf-8");
});

test("without an admin token there is no page", async () => {
  const closed = await startGateBefore({ origin, store: around.store }, { edge });
  for (const path of ["/__edge/", "/__edge/stats", "/__edge/metrics"]) {
    assert.equal((await ask(closed, path)).status, 404, path);
  }
  for (const path of ["/__edge/stats", "/__edge/metrics"]) {
    assert.equal((await ask(gate, path)).status, 401, path);
  }
});
