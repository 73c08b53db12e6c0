// Drives chromium through the dashboard: node browser.mjs SCENE ADMIN MIRROR

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.UMBRA_NODE_MODULES}/`)("playwright-core");
const [scene, admin, mirror] = process.argv.slice(2);
const patience = 1000 * Number(process.env.UMBRA_PATIENCE ?? 15);
const shots = process.env.UMBRA_SHOTS;
if (shots) mkdirSync(shots, { recursive: true });

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const faults = [];

async function open(size, colorScheme = "light") {
  const context = await browser.newContext({ viewport: size, colorScheme });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  page.on("console", message => { if (message.type() === "error") faults.push(message.text()); });
  page.on("pageerror", error => faults.push(String(error)));
  page.on("request", request => { if (!request.url().startsWith(`${admin}/`)) faults.push(`asks for ${request.url()}`); });
  await page.goto(`${admin}/`);
  return page;
}

async function shot(page, name) {
  if (shots) await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
}

/** Waits until a reading of the page holds. */
async function until(what, holds) {
  const end = Date.now() + patience;
  while (!await holds()) {
    assert(Date.now() < end, `not in time: ${what}`);
    await new Promise(again => setTimeout(again, 100));
  }
}

const view = async (page, name) => {
  await page.getByRole("link", { name, exact: true }).click();
  await page.waitForFunction(title => document.title.startsWith(title), name);
};

/** What a term of the mirror's card says. */
const fact = (page, name) => page.locator(".mirror dl div", { has: page.getByText(name, { exact: true }) }).locator("dd").innerText();

async function everything() {
  const page = await open({ width: 1440, height: 900 });
  await page.getByRole("list", { name: "Figures of the last ten seconds" }).waitFor();
  await until("requests are counted", async () => /[1-9]/.test(await page.locator(".tiles .value").first().innerText()));
  await until("copies are counted", async () => /[1-9]/.test(await page.locator(".tiles .value").nth(1).innerText()));
  await until("the picture is drawn", async () => await page.locator(".graph path.mirror.moving").count() > 0);
  await until("nothing is wrong", async () => (await page.locator(".attention").innerText()).startsWith("Nothing"));
  assert.match(await page.locator(".graph svg").textContent(), /50 %/, "the share stands beside the mirror");
  const tree = await page.locator(".tree").textContent();
  assert(tree.includes(`copies to ${mirror}`), `the same is told to those who do not see it: ${tree}`);
  await shot(page, "overview-1440");

  await view(page, "Routes");
  await page.getByRole("link", { name: /^default\/app/ }).click();
  await page.getByRole("img", { name: /^Latency, now: primary .* (µs|ms|s), / }).waitFor();
  await page.getByText("p99", { exact: true }).first().click();
  await page.getByRole("button", { name: "Requests" }).click();
  assert.equal(await page.locator("th[aria-sort=ascending]").innerText(), "Requests");
  await page.getByRole("searchbox", { name: "Find" }).fill("no such route");
  await page.getByText(/^0 of 0 routes/).waitFor();
  await page.getByRole("searchbox", { name: "Find" }).fill("");
  await page.getByText(/^1 of 1 routes/).waitFor();
  await shot(page, "routes-1440");

  await view(page, "Node");
  await page.getByText(/^enrolled, /).waitFor();
  await page.getByText(/^Verdicts on new connections: .*assigned/).waitFor();
  await shot(page, "node-1440");

  await view(page, "Live");
  await page.locator(".live tbody tr").first().waitFor();
  await until("a copy's end is shown", async () => /completed/.test(await page.locator(".live tbody").innerText()));
  await shot(page, "live-1440");
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByRole("textbox", { name: "status" }).fill("404");
  const shown = await page.locator(".live tbody tr").count();
  await page.getByRole("button", { name: "Follow" }).click();
  await page.getByText("Waiting for the next exchange").waitFor();
  await new Promise(later => setTimeout(later, 500));
  assert.equal(await page.locator(".live tbody tr").count(), shown, "nothing of another status comes");

  await pauses(page);
  await narrow();
  await keyboard();
}

async function pauses(page) {
  await view(page, "Mirrors");
  await until("copies are answered", async () => /[1-9]/.test(await fact(page, "Answered")));
  await shot(page, "mirrors-1440");
  const button = page.getByRole("button", { name: new RegExp(`^Pause copies to ${mirror}`) });
  const dialog = page.getByRole("dialog");
  await button.click();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  assert.equal(await page.locator(".mirror .mark").getByText("paused", { exact: true }).count(), 0, "cancelled is not paused");
  await button.click();
  await shot(page, "confirm-1440");
  await dialog.getByRole("button", { name: "Pause" }).click();
  await page.locator(".mirror .mark").getByText("paused", { exact: true }).waitFor();
  await until("no copy is answered", async () => await fact(page, "Answered") === "0/s");
  await shot(page, "paused-1440");
  await page.getByRole("button", { name: new RegExp(`^Resume copies to ${mirror}`) }).click();
  await dialog.getByRole("button", { name: "Resume" }).click();
  await until("copies are answered again", async () => /[1-9]/.test(await fact(page, "Answered")));

  await page.getByRole("button", { name: "Pause all copies" }).click();
  await dialog.getByRole("button", { name: "Pause" }).click();
  await view(page, "Overview");
  await page.getByText("All copies are paused.").waitFor();
  await page.getByRole("button", { name: "Resume all copies" }).click();
  await dialog.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Pause all copies" }).waitFor();
}

/** On a telephone, and in the dark: nothing is wider than the window. */
async function narrow() {
  for (const [size, scheme] of [[{ width: 390, height: 844 }, "light"], [{ width: 390, height: 844 }, "dark"], [{ width: 1440, height: 900 }, "dark"]]) {
    const page = await open(size, scheme);
    for (const name of ["Overview", "Routes", "Mirrors", "Live", "Node"]) {
      await view(page, name);
      await page.locator("main > *").first().waitFor();
      await until(`${name} has figures`, async () => /[1-9]/.test(await page.locator("main").innerText()));
      if (name !== "Live") await new Promise(later => setTimeout(later, shots ? 4500 : 0));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert(wide <= 0, `${name} is ${wide} pixels wider than the window of ${size.width}`);
      await shot(page, `${name.toLowerCase()}-${size.width}-${scheme}`);
    }
    await page.context().close();
  }
}

/** Everything can be reached and seen with the keyboard alone. */
async function keyboard() {
  const page = await open({ width: 1000, height: 800 });
  await page.getByRole("button", { name: "Pause all copies" }).waitFor();
  const reached = [];
  for (let turn = 0; turn < 8; turn++) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement.textContent.trim()));
  }
  const wanted = ["Skip to the figures", "Overview", "Routes", "Mirrors", "Live", "Node", "Pause all copies"];
  assert.deepEqual(reached.slice(0, wanted.length), wanted);
  await page.keyboard.press("Shift+Tab");
  await page.getByRole("button", { name: "Pause all copies" }).focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancel", "the harmless choice has the focus");
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("dialog").count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.id), "pause-all", "the focus is where it was");
}

async function idle() {
  const page = await open({ width: 1440, height: 900 });
  await page.getByText("No rule is in force").first().waitFor();
  await view(page, "Mirrors");
  await page.getByText("Nothing is mirrored.").waitFor();
  await page.route("**/api/v1/**", route => route.abort());
  await page.getByText(/^The agent does not answer/).waitFor();
  faults.length = 0;
}

try {
  await { all: everything, idle }[scene]();
  assert.deepEqual(faults, [], "the browser complains of nothing, and asks nobody else");
} finally {
  await browser.close();
}
