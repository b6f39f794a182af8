// Visits pages that `galenic export --web` wrote, in Debian's Chromium, and prints as one line of JSON what happened.
//
//   node web.mjs '{"visits": [{"folder", "steps": [[name, ...], ...], "isolated"?, "screen"?, "scheme"?, "host"?, "without"?}]}'
//
// Each visit has a server of its own (only for this machine) and a browser context of its own. Its steps are run in order, each
// adds one result. Whatever is asked of another origin is recorded, and nothing answers it.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { chromium } from "playwright-core";

const TYPES = {
  ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};
const TFJS = ["tfjs-core/dist/tf-core.min.js", "tfjs-backend-cpu/dist/tf-backend-cpu.min.js"];
// What LiteRT.js writes to the console of every page.
const RUNTIME_SAYS = /^(INFO|WARNING): |No available adapters|Failed to create default WebGPU device/;

async function served(folder, isolated) {
  const state = { folder, changed: {} };
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname)).replace(/\/$/, "/index.html");
    const headers = { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream", "Cache-Control": "no-cache" };
    if (isolated) Object.assign(headers, { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" });
    try {
      const body = path.startsWith("/tfjs/") ? await readFile(join("node_modules/@tensorflow", path.slice(6))) : await readFile(join(state.folder, path));
      response.writeHead(200, headers).end(state.changed[path] ?? body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); });
  return { state, port: server.address().port, stop };
}

const answered = (page, count) => page.waitForFunction(
  (before) => Number(document.getElementById("answer").dataset.count ?? 0) > before || document.querySelector("#status.error"), count, { timeout: 20000 },
);
const count = (page) => page.evaluate(() => Number(document.getElementById("answer").dataset.count ?? 0));

/** What the page shows: probabilities in the order of classes, times, words. */
const shown = (page) => page.evaluate(() => {
  const rows = [...document.querySelectorAll("#bars .class")], text = (id) => document.getElementById(id).textContent.trim();
  const byClass = [...rows].sort((a, b) => a.dataset.index - b.dataset.index);
  return {
    probabilities: byClass.map((row) => Number(row.dataset.probability)),
    order: rows.map((row) => row.querySelector(".name").textContent),
    widths: rows.map((row) => row.querySelector("i").style.width),
    ms: { ...document.getElementById("times").dataset },
    status: text("status"), error: document.getElementById("status").classList.contains("error"), offline: text("offline"),
    threads: text("threads"), hash: text("hash-checked"), notes: [...document.querySelectorAll("#note-list li")].map((one) => one.textContent),
    cameraOff: document.getElementById("camera").disabled,
  };
});

const STEPS = {
  async open({ page, base }) {
    await page.goto(base);
    await page.waitForFunction(() => document.body.classList.contains("ready") || document.querySelector("#status.error"), null, { timeout: 40000 });
    return shown(page);
  },
  /** The page as it stands, without waiting for its script. */
  async read({ page, base }) {
    await page.goto(base);
    return shown(page);
  },
  async give({ page }, path) {
    const before = await count(page);
    await page.setInputFiles("#file", path);
    await answered(page, before);
    return shown(page);
  },
  async kept({ page }) {
    await page.waitForFunction(() => /from now on|at every visit/.test(document.getElementById("offline").textContent), null, { timeout: 30000 });
    return shown(page);
  },
  stop: async ({ server }) => server.stop(),
  /** The server goes on with another folder, as if the page had been published anew. */
  publish: async ({ server }, folder) => { server.state.folder = folder; },
  change: async ({ server }, path, text) => { server.state.changed[path] = text; },
  async update({ page }) {
    await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
    await page.waitForSelector("#newer:not([hidden])", { timeout: 30000 });
    await Promise.all([page.waitForEvent("load"), page.click("#use-newer")]);
    await page.waitForSelector("body.ready", { timeout: 40000 });
    return page.evaluate(async () => ({ sha256: window.galenic.model.sha256, caches: await caches.keys() }));
  },
  async camera({ page }) {
    await page.click("#camera");
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0 || document.querySelector("#status.error"), null, { timeout: 15000 });
    const refused = await shown(page);
    if (refused.error) return refused;
    await page.check("#live");
    await page.waitForFunction(() => Number(document.getElementById("answer").dataset.count ?? 0) >= 3, null, { timeout: 20000 });
    await page.uncheck("#live");
    const before = await count(page);
    await page.click("#take");
    await answered(page, before);
    const running = await page.evaluate(() => Boolean(document.getElementById("video").srcObject));
    return { ...(await shown(page)), frames: before, running };
  },
  /** The raw rows that the page's script makes of picture files: base64 of each. */
  async rows({ page }, jobs) {
    const files = await Promise.all(jobs.map(async ({ path, how }) => ({ data: (await readFile(path)).toString("base64"), how })));
    return page.evaluate(async (all) => {
      const { pixelsOf } = await import("./js/pixels.js"), { rawRow } = await import("./js/inputs.js"), rows = [];
      for (const { data, how } of all) {
        const row = rawRow(await pixelsOf(new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))])), how);
        rows.push(btoa(Array.from(row, (value) => String.fromCharCode(value)).join("")));
      }
      return rows;
    }, files);
  },
  /** window.galenic with pixels, with TensorFlow.js's tensors of them, and with what it refuses. */
  async api({ page, base }, path, input) {
    for (const one of TFJS) await page.addScriptTag({ url: `${base}tfjs/${one}` });
    return page.evaluate(async ({ data, input }) => {
      const { pixelsOf } = await import("./js/pixels.js"), { tf, galenic } = window;
      const picture = await pixelsOf(new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))]));
      const image = new ImageData(picture.data, picture.width, picture.height);
      const [height, width, channels] = galenic.model.preprocessing.raw_shape, shape = [1, channels, height, width];
      const given = {
        pixels: image,
        picture: tf.browser?.fromPixels ? tf.tensor3d(Array.from(picture.data), [picture.height, picture.width, 4], "int32") : image,
        input: tf.tensor(input, shape, "float32"),
        flat: tf.tensor(input, shape.slice(1), "float32"),
      };
      const found = {};
      for (const [name, one] of Object.entries(given)) found[name] = (await galenic.classify(one)).probabilities;
      const refused = {};
      for (const [name, one] of Object.entries({ shape: tf.zeros([1, 2, 3]), type: tf.zeros([4, 4, 3], "bool"), nothing: new Image() })) {
        refused[name] = await galenic.classify(one).then(() => "", (error) => error.message);
      }
      const loaded = performance.getEntriesByType("resource").map((one) => new URL(one.name).pathname);
      return { found, refused, tensors: tf.memory().numTensors, interop: loaded.includes("/runtime/tfjs-interop.js") };
    }, { data: (await readFile(path)).toString("base64"), input });
  },
  async look({ page }, screenshot) {
    if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });
    return page.evaluate(() => {
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
      const texts = [...document.querySelectorAll("h1, h2, p, dt, dd, li span, label, button, .badge")].filter((node) => node.textContent.trim() && node.checkVisibility());
      const worst = texts.map((node) => [contrast(node), `${node.tagName}.${node.className}`]).sort((a, b) => a[0] - b[0])[0];
      const root = document.documentElement;
      return { overflow: root.scrollWidth - root.clientWidth, contrast: worst, ground: getComputedStyle(document.body).backgroundColor };
    });
  },
};

async function visit(browser, { folder, steps, isolated = false, screen = [1280, 900], scheme = "light", host = "127.0.0.1", without = "" }) {
  const server = await served(folder, isolated), base = `http://${host}:${server.port}/`;
  const context = await browser.newContext({ viewport: { width: screen[0], height: screen[1] }, colorScheme: scheme, permissions: ["camera"], javaScriptEnabled: without !== "scripts" });
  const page = await context.newPage(), errors = [], foreign = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && !RUNTIME_SAYS.test(message.text()) && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  context.on("request", (request) => { if (!request.url().startsWith(base) && !/^(blob|data):/.test(request.url())) foreign.push(request.url()); });
  if (without === "simd") await page.addInitScript(() => { WebAssembly.validate = () => false; });
  if (without === "wasm") await page.addInitScript(() => { delete globalThis.WebAssembly; });
  if (without === "camera") await page.addInitScript(() => Object.defineProperty(navigator, "mediaDevices", { value: undefined }));
  if (without === "permission") await page.addInitScript(() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("no", "NotAllowedError"); }; });
  if (without === "workers") await page.addInitScript(() => { delete Navigator.prototype.serviceWorker; });
  if (without === "inflate") await page.addInitScript(() => { delete window.DecompressionStream; });
  const results = [];
  try {
    for (const [name, ...given] of steps) results.push((await STEPS[name]({ page, base, server }, ...given)) ?? null);
  } finally {
    await context.close();
    await server.stop().catch(() => {});
  }
  return { results, errors, foreign };
}

const { visits } = JSON.parse(await readFile(process.argv[2], "utf-8"));
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--host-resolver-rules=MAP plain.test 127.0.0.1",
  ],
});
const found = [];
try {
  for (const one of visits) found.push(await visit(browser, one));
} finally {
  await browser.close();
}
console.log(JSON.stringify(found));
