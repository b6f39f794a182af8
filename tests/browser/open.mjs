// Opens pages in Debian's Chromium and prints, as one line of JSON, what a reader would meet on each.
//
//   node open.mjs '{"pages": [{"url", "width", "height", "scheme", "screenshot"?}]}'
import { chromium } from "playwright-core";

const { pages } = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

async function look({ url, width, height, scheme, screenshot }) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  const page = await context.newPage();
  const errors = [], requests = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  page.on("dialog", async (dialog) => { errors.push(`dialog: ${dialog.message()}`); await dialog.dismiss(); });
  await page.goto(url, { waitUntil: "load" });
  await page.waitForSelector("#frontier-plot .main-svg .scatterlayer .points path", { timeout: 15000, state: "attached" });

  const seen = await page.evaluate(() => {
    const root = document.documentElement, verdict = document.querySelector("h1").getBoundingClientRect();
    const luminance = (text) => {
      const [r, g, b] = text.match(/[\d.]+/g).map(Number).map((v) => (v / 255 <= 0.03928 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const opaque = (node) => {
      for (let at = node; at; at = at.parentElement) {
        const found = getComputedStyle(at).backgroundColor;
        if (found.startsWith("rgb(")) return found;
      }
      return "rgb(255, 255, 255)";
    };
    const contrast = (node) => {
      const pair = [luminance(getComputedStyle(node).color), luminance(opaque(node))].sort((a, b) => b - a);
      return (pair[0] + 0.05) / (pair[1] + 0.05);
    };
    const texts = [...document.querySelectorAll("h1, h2, h3, p, dt, dd, th, td, small, figcaption, summary, .badge, .tag, .pick, .range")];
    const worst = texts.filter((node) => node.textContent.trim() && node.checkVisibility()).map((node) => [contrast(node), `${node.tagName}.${node.className}`]).sort((a, b) => a[0] - b[0])[0];
    return {
      overflow: root.scrollWidth - root.clientWidth,
      verdict: { text: document.querySelector("h1").textContent, top: verdict.top, bottom: verdict.bottom, height: verdict.height },
      marks: document.querySelectorAll("#frontier-plot .points path").length,
      headings: [...document.querySelectorAll("h1, h2, h3")].map((node) => Number(node.tagName[1])),
      ground: getComputedStyle(document.body).backgroundColor,
      plotInk: getComputedStyle(document.querySelector("#frontier-plot .ytitle")).fill,
      contrast: worst,
    };
  });

  const mark = page.locator("#frontier-plot .points path").last();
  await mark.scrollIntoViewIfNeeded();
  const box = await mark.boundingBox();
  await page.mouse.move(box.x + box.width / 2 - 1, box.y + box.height / 2 - 1);
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 3 });
  await page.waitForSelector("#frontier-plot .hoverlayer .hovertext", { timeout: 5000 });
  seen.hover = await page.locator("#frontier-plot .hoverlayer .hovertext").first().textContent();
  if (screenshot) {
    await page.mouse.move(0, 0);
    await page.evaluate(() => scrollTo(0, 0));
    await page.waitForTimeout(300);
    await page.screenshot({ path: screenshot, fullPage: true });
  }
  const other = scheme === "dark" ? "light" : "dark";
  await page.emulateMedia({ colorScheme: other });
  await page.waitForTimeout(200);
  seen.plotInkAfterSwitch = await page.evaluate(() => getComputedStyle(document.querySelector("#frontier-plot .ytitle")).fill);
  seen.overflowAfterSwitch = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await context.close();
  return { ...seen, errors, requests };
}

const results = [];
try {
  for (const page of pages) results.push(await look(page));
} finally {
  await browser.close();
}
console.log(JSON.stringify(results));
