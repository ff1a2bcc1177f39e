/** The page for operators is accessible: axe-core finds nothing, light or dark, wide or narrow. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, test } from "node:test";
import { startBrowser } from "../support/browser.mjs";
import { ask, newClient, setUp } from "../worker/kit.mjs";
import { enter, openPage, picture, shows, TOKEN, textOf } from "./kit.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await startBrowser();
after(() => browser.stop());
const { gate, redis } = await setUp({
  edge: {
    redis: { timeout: "1s" },
    limits: {
      "per-ip": { by: "ip", window: "10m", quota: 3 },
      "a-limit-with-a-name-that-does-not-fit-into-one-line": {
        by: "global",
        window: "10m",
        quota: 50,
      },
    },
    routes: [
      {
        path: "/__origin/headers",
        limits: ["per-ip", "a-limit-with-a-name-that-does-not-fit-into-one-line"],
        cache: { ttl: "10m" },
      },
    ],
  },
  vars: { EDGE_ADMIN_TOKEN: TOKEN },
});
for (let client = 0; client < 5; client++) {
  const headers = newClient();
  for (let n = 0; n < 5; n++) await ask(gate, `/__origin/headers?__body=${client}`, { headers });
}

/**
 * Checks the page as it is now.
 * @param {import("../support/browser.mjs").Page} page
 * @param {string} name of its picture
 */
async function check(page, name) {
  await picture(page, name);
  await page.call("Runtime.evaluate", { expression: axe });
  const { violations, passes } = await page.run(async () => {
    const { violations, passes } = await /** @type {any} */ (globalThis).axe.run();
    const told = (/** @type {any[]} */ rules) =>
      rules.map(({ id, nodes }) => ({ id, nodes: nodes.map((/** @type {any} */ node) => node.html) }));
    return { violations: told(violations), passes: told(passes) };
  });
  assert.deepEqual(violations, [], name);
  const contrast = passes.find((/** @type {any} */ { id }) => id === "color-contrast");
  assert.ok(contrast?.nodes.length > 3, `${name}: the contrast of no text was measured`);
  const [wide, room] = await page.run(() => {
    const { document, innerWidth } = /** @type {any} */ (globalThis);
    return [document.documentElement.scrollWidth, innerWidth];
  });
  assert.ok(wide <= room, `${name}: ${wide} px do not fit into ${room}`);
}

const looks = /** @type {const} */ ([
  { name: "light", scheme: "light" },
  { name: "dark", scheme: "dark" },
  { name: "360 px wide", scheme: "light", width: 360, height: 740 },
  { name: "360 px wide and dark", scheme: "dark", width: 360, height: 740 },
]);

for (const { name, ...look } of looks) {
  test(`axe-core finds nothing: ${name}`, async () => {
    const file = name.replaceAll(" ", "-");
    const page = await openPage(browser, gate, look);
    await shows(page, "#login", /Admin token/);
    await check(page, `${file}-token`);
    await enter(page, "wrong");
    await shows(page, "#error", /./);
    await check(page, `${file}-wrong`);
    await enter(page);
    await shows(page, "#limits", /refused 10 /);
    await check(page, file);
  });
}

test("every chart has its numbers as text", async () => {
  const page = await openPage(browser, gate);
  await enter(page);
  await shows(page, "#limits", /refused 10 /);
  const charts = await page.run(() =>
    [.../** @type {any} */ (globalThis).document.querySelectorAll("svg")].map((svg) => ({
      label: svg.getAttribute("aria-label"),
      numbers: svg.parentElement.querySelectorAll("td, dd").length,
    })),
  );
  assert.equal(charts.length, 4);
  for (const { label, numbers } of charts) {
    assert.ok(label.length > 10 && numbers >= 4, label);
  }
});

test("axe-core finds nothing while the store fails", async () => {
  const page = await openPage(browser, gate, { scheme: "dark" });
  await enter(page);
  await shows(page, "#badge", /./);
  await redis.kill();
  for (let n = 0; n < 6; n++) await ask(gate, "/__origin/headers?__body=down", { headers: newClient() });
  await shows(page, "#badge", /^The store fails$/);
  await check(page, "dark-store-fails");
  assert.match(await textOf(page, "#events"), /store open/);
});
