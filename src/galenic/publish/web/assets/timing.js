// Runs each runtime's page beside the others, in turn, and sends what was found (publish/web/timing.py asks and compares).
// What one runtime cannot do is its error alone; the others go on.

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const textOf = (bytes) => btoa(Array.from(bytes, (value) => String.fromCharCode(value)).join(""));
const json = async (path) => (await fetch(path)).json();
const buffer = async (path) => (await fetch(path)).arrayBuffer();

/** Does `work` for one runtime; what it throws, now or in a promise that nobody awaits, is that runtime's error. */
async function attempt(one, work) {
  if (one.error) return;
  let listener;
  const besides = new Promise((_, reject) => {
    listener = (event) => {
      event.preventDefault();
      reject(event.reason);
    };
    addEventListener("unhandledrejection", listener);
  });
  try {
    await Promise.race([work(), besides]);
  } catch (error) {
    one.error = `${error?.message ?? error}`;
  } finally {
    removeEventListener("unhandledrejection", listener);
  }
}

/** Loads the model, and answers as many inputs as there is time for. */
async function answer(one, inputs, enoughMs) {
  const { runtime } = one, model = await json(`./${runtime}/model.json`);
  const [height, width, channels] = model.preprocessing.raw_shape;
  const bytes = new Uint8Array(await buffer(`./${runtime}/${model.file}`));
  const { open } = await import(`./${runtime}/js/${runtime}.js`);
  const started = performance.now();
  one.session = await open(bytes, { inputShape: [channels, height, width], threads: 1 });
  await one.session.run(new Float32Array(channels * height * width));
  one.load_ms = performance.now() - started;
  const until = performance.now() + enoughMs;
  for (const input of inputs) {
    one.logits.push(Array.from(await one.session.run(input)));
    if (performance.now() > until) break;
  }
}

/** The raw rows that the pages' script, the same in each, makes of picture files. */
async function rowsOf(runtime, pictures) {
  const model = await json(`./${runtime}/model.json`), rows = [];
  const { pixelsOf } = await import(`./${runtime}/js/pixels.js`);
  const { rawRow } = await import(`./${runtime}/js/inputs.js`);
  for (const picture of pictures) {
    const pixels = await pixelsOf(new Blob([bytesOf(picture)]));
    rows.push(textOf(rawRow(pixels, { ...model.preprocessing, ...model.picture })));
  }
  return rows;
}

async function runs({ session, times_ms }, inputs, from, count) {
  for (let i = from; i < from + count; i++) {
    const started = performance.now();
    await session.run(inputs[i % inputs.length]);
    times_ms.push(performance.now() - started);
  }
}

async function timed(all, inputs, rounds, inTurn) {
  for (const one of all) {
    await attempt(one, () => runs({ ...one, times_ms: [] }, inputs, 0, inTurn));
  }
  for (let round = 0; round < rounds; round++) {
    for (const one of round % 2 ? [...all].reverse() : all) await attempt(one, () => runs(one, inputs, round * inTurn, inTurn));
  }
}

async function found() {
  const order = await json("./order.json"), values = new Float32Array(await buffer("./inputs.bin"));
  const size = values.length / order.inputs;
  const inputs = Array.from({ length: order.inputs }, (_, row) => values.slice(row * size, (row + 1) * size));
  const all = order.runtimes.map((runtime) => ({ runtime, logits: [], times_ms: [] }));
  for (const one of all) await attempt(one, () => answer(one, inputs, order.enough_ms));
  const rows = await rowsOf(order.runtimes[0], order.pictures);
  await timed(all, inputs, order.rounds, order.in_turn);
  const runtimes = Object.fromEntries(all.map(({ runtime, session, error, ...rest }) => [
    runtime, error ? { error } : { ...rest, threads: session.threads },
  ]));
  const browser = navigator.userAgent.match(/(?:Headless)?Chrom[a-z]*\/[\d.]+/)?.[0] ?? navigator.userAgent;
  return { browser, runtimes, rows };
}

const send = (result) => fetch("./result", { method: "POST", body: JSON.stringify(result) });
found().then(send, (error) => send({ error: `${error?.stack ?? error}` }));
