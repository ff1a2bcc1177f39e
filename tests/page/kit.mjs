/** Opens the page for operators in the browser, and reads what it shows. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { root } from "../../scripts/lib/process.mjs";
import { until } from "../worker/kit.mjs";

/** The admin token of the tests' gates. */
export const TOKEN = "t0ken-of-the-admin";

/** @typedef {import("../support/browser.mjs").Page} Page */

/**
 * Opens the page of a gate.
 * @param {Awaited<ReturnType<typeof import("../support/browser.mjs").startBrowser>>} browser
 * @param {{ url: string }} gate
 * @param {object} [options] without them the colours are light, and the window is of a common size
 * @param {"light" | "dark"} [options.scheme]
 * @param {number} [options.width]
 * @param {number} [options.height]
 */
export async function openPage(browser, gate, { scheme = "light", width = 1_100, height = 900 } = {}) {
  const page = await browser.open(`${gate.url}/__edge/`);
  await page.call("Page.bringToFront");
  const mobile = width < 500;
  await page.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile });
  const features = [{ name: "prefers-color-scheme", value: scheme }];
  await page.call("Emulation.setEmulatedMedia", { features });
  return page;
}

/**
 * Types a token and sends it, as a person does.
 * @param {Page} page
 */
export async function enter(page, token = TOKEN) {
  await page.run(() => /** @type {any} */ (globalThis).document.getElementById("token").focus());
  await page.call("Input.insertText", { text: token });
  for (const type of ["keyDown", "keyUp"]) {
    await page.call("Input.dispatchKeyEvent", {
      type,
      key: "Enter",
      code: "Enter",
      windowsVirtualKeyCode: 13,
      text: "\r",
    });
  }
}

/**
 * The text of an element that is shown, without needless white space; empty if it is hidden.
 * @param {Page} page
 * @param {string} selector
 * @returns {Promise<string>}
 */
export function textOf(page, selector) {
  return page.run((selector) => {
    const found = /** @type {any} */ (globalThis).document.querySelector(selector);
    return found?.offsetParent ? found.innerText.replaceAll(/\s+/g, " ").trim() : "";
  }, selector);
}

/**
 * Waits until an element shows such a text, and returns it.
 * @param {Page} page
 * @param {string} selector
 * @param {RegExp} form
 * @param {number} [within] milliseconds
 */
export async function shows(page, selector, form, within) {
  let text = "";
  try {
    return await until(
      async () => {
        text = await textOf(page, selector);
        return form.test(text) && text;
      },
      { within, every: 50 },
    );
  } catch (error) {
    throw new Error(`${selector} shows "${text}" and not ${form}`, { cause: error });
  }
}

/**
 * Writes a picture of the whole page to `target/page`.
 * @param {Page} page
 * @param {string} name
 */
export async function picture(page, name) {
  const { data } = await page.call("Page.captureScreenshot", { captureBeyondViewport: true });
  await mkdir(join(root, "target/page"), { recursive: true });
  await writeFile(join(root, "target/page", `${name}.png`), Buffer.from(data, "base64"));
}
