/**
 * Drives pages in one headless Chromium, whose path is the argument. Each line of standard input is a
 * plan, which has a context of its own:
 *   {url, viewport: {width, height}, touch, steps: [[action, argument], …]}
 * It is answered by a line, {states, outside, errors}: the page after it started and after each step,
 * the addresses beyond the local server that it asked for, and uncaught errors; or by {failed}.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const ACTIONS = {
  stroke: async (page, points) => {
    const box = await page.locator("#paper").boundingBox();
    const places = points.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
    await page.mouse.move(...places[0]);
    await page.mouse.down();
    for (const place of places.slice(1)) await page.mouse.move(...place, { steps: 5 });
    await page.mouse.up();
  },
  tap: async (page, [x, y]) => {
    const box = await page.locator("#paper").boundingBox();
    await page.touchscreen.tap(box.x + x * box.width, box.y + y * box.height);
  },
  choose: async (page, file) => {
    const chooser = page.waitForEvent("filechooser");
    await page.click("#choose");
    await (await chooser).setFiles(file);
  },
  drop: async (page, file) => {
    const transfer = await page.evaluateHandle(
      ([name, base64]) => {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const result = new DataTransfer();
        result.items.add(new File([bytes], name));
        return result;
      },
      [basename(file), readFileSync(file).toString("base64")],
    );
    await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
  },
  resize: (page, [width, height]) => page.setViewportSize({ width, height }),
  click: (page, selector) => page.click(selector),
  press: (page, keys) => page.keyboard.press(keys),
  engine: (page, format) => page.check(`input[value=${format}]`, { force: true }),
  check: async (page) => {
    await page.click("#check");
    await page.waitForSelector("#check:enabled");
  },
};

function readPage() {
  const text = (selector) => document.querySelector(selector).textContent.trim();
  const seen = document.querySelector("#seen");
  const { data } = seen.getContext("2d").getImageData(0, 0, seen.width, seen.height);
  return {
    best: text("#best"),
    spoken: text("#spoken"),
    reading: text("#reading"),
    time: text("#time"),
    check: text("#check-result"),
    error: document.querySelector("#error").hidden ? "" : text("#error"),
    bars: Array.from(document.querySelectorAll("#bars li"), (row) => [
      row.querySelector(".label").textContent,
      Number(row.style.getPropertyValue("--share")),
    ]),
    seen: Array.from(data),
    engines: Array.from(document.querySelectorAll("[name=engine]"), (radio) => radio.value),
    canUndo: !document.querySelector("#undo").disabled,
    width: document.documentElement.scrollWidth,
    beyond: Array.from(document.querySelectorAll("main *"))
      .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
      .map((element) => element.id || element.className || element.tagName),
    small: Array.from(document.querySelectorAll("button"))
      .filter((button) => button.offsetHeight < 44 || button.offsetWidth < 44)
      .map((button) => button.id),
  };
}

async function settled(page) {
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 50)));
  await page.waitForSelector("main:not([aria-busy])");
  return page.evaluate(readPage);
}

async function carryOut(plan, context) {
  const outside = [];
  await context.route("**", (route) => {
    const url = new URL(route.request().url());
    if (["127.0.0.1", "localhost"].includes(url.hostname)) return route.continue();
    outside.push(url.href);
    return route.abort();
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(plan.url);
  const states = [await settled(page)];
  for (const [action, argument] of plan.steps) {
    await ACTIONS[action](page, argument);
    states.push(await settled(page));
  }
  return { states, outside, errors };
}

const [executablePath] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
for await (const line of createInterface({ input: process.stdin })) {
  const plan = JSON.parse(line);
  const context = await browser.newContext({ viewport: plan.viewport, hasTouch: plan.touch });
  const told = await carryOut(plan, context).catch((error) => ({ failed: error.stack }));
  await context.close();
  console.log(JSON.stringify(told));
}
await browser.close();
