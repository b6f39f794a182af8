// Runs each runtime's page beside the others, in turn, and sends what was found (publish/web/timing.py asks and compares).

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const textOf = (bytes) => btoa(Array.from(bytes, (value) => String.fromCharCode(value)).join(""));
const json = async (path) => (await fetch(path)).json();

async function opened(runtime) {
  const model = await json(`./${runtime}/model.json`);
  const [height, width, channels] = model.preprocessing.raw_shape;
  const bytes = new Uint8Array(await (await fetch(`./${runtime}/${model.file}`)).arrayBuffer());
  const { open } = await import(`./${runtime}/js/${runtime}.js`);
  const started = performance.now();
  const session = await open(bytes, { inputShape: [channels, height, width], threads: 1 });
  await session.run(new Float32Array(channels * height * width));
  return { runtime, model, session, load_ms: performance.now() - started, times_ms: [] };
}

/** The raw rows that the page's script makes of picture files. */
async function rowsOf({ runtime, model }, pictures) {
  const { pixelsOf } = await import(`./${runtime}/js/pixels.js`);
  const { rawRow } = await import(`./${runtime}/js/inputs.js`);
  const rows = [];
  for (const picture of pictures) {
    const pixels = await pixelsOf(new Blob([bytesOf(picture)]));
    rows.push(textOf(rawRow(pixels, { ...model.preprocessing, ...model.picture })));
  }
  return rows;
}

async function timed(all, inputs, rounds, inTurn) {
  for (const { session } of all) for (let i = 0; i < inTurn; i++) await session.run(inputs[i % inputs.length]);
  for (let round = 0; round < rounds; round++) {
    for (const { session, times_ms } of round % 2 ? [...all].reverse() : all) {
      for (let i = 0; i < inTurn; i++) {
        const started = performance.now();
        await session.run(inputs[(round * inTurn + i) % inputs.length]);
        times_ms.push(performance.now() - started);
      }
    }
  }
}

async function found() {
  const order = await json("./order.json");
  const inputs = order.inputs.map((text) => new Float32Array(bytesOf(text).buffer));
  const all = [];
  for (const runtime of order.runtimes) all.push(await opened(runtime));
  const runtimes = {};
  for (const { runtime, session, load_ms, times_ms } of all) {
    const logits = [];
    for (const input of inputs) logits.push(Array.from(await session.run(input)));
    runtimes[runtime] = { logits, load_ms, times_ms, threads: session.threads };
  }
  const rows = await rowsOf(all[0], order.pictures);
  await timed(all, inputs, order.rounds, order.in_turn);
  const browser = navigator.userAgent.match(/(?:Headless)?Chrom[a-z]*\/[\d.]+/)?.[0] ?? navigator.userAgent;
  return { browser, runtimes, rows };
}

const send = (result) => fetch("./result", { method: "POST", body: JSON.stringify(result) });
addEventListener("unhandledrejection", ({ reason }) => send({ error: String(reason) }));
found().then(send, (error) => send({ error: `${error?.stack ?? error}` }));
