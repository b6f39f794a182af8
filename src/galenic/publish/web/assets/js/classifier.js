// The classifier without its page: what another page imports, and what window.galenic is.
//
//     import { openClassifier } from "./js/classifier.js";
//     const classifier = await openClassifier();
//     const { probabilities } = await classifier.classify(file);

import { probabilities } from "./answer.js";
import { threadsToUse, whyNotAtAll } from "./features.js";
import { normalised, rawRow } from "./inputs.js";
import { pixelsOf } from "./pixels.js";
import { Refusal } from "./refusal.js";

const WARMUPS = 2;

/**
 * Load the model that lies beside this module.
 * @param {(words: string) => void} told hears what is being done
 * @returns {Promise<{model, threads, variant, hashChecked, classify}>}
 */
export async function openClassifier(told = () => {}) {
  const why = whyNotAtAll();
  if (why) throw new Refusal(why);
  const base = new URL("../", import.meta.url);
  const model = await (await fetched(new URL("model.json", base))).json();
  told(`Loading the model (${(model.size_bytes / 1e6).toFixed(1)} MB) …`);
  const bytes = new Uint8Array(await (await fetched(new URL(model.file, base))).arrayBuffer());
  const hashChecked = await isWhole(bytes, model.sha256);
  told("Starting its runtime …");
  const { open, variant } = await import(`./${model.runtime}.js`);
  const [height, width, channels] = model.preprocessing.raw_shape;
  const inputShape = [channels, height, width];
  const session = await open(bytes, { inputShape, threads: threadsToUse() });
  for (let i = 0; i < WARMUPS; i++) await session.run(new Float32Array(channels * height * width));
  return {
    model, hashChecked, threads: session.threads, variant: variant(session.threads),
    classify: (source) => classify(model, session, inputShape, source),
  };
}

/**
 * @param source a File or Blob (PNG, JPEG), ImageBitmap, ImageData, image, canvas or video; or a TensorFlow.js tensor: int32 of 0 to
 *     255 and shape [height, width, channels] is a picture, float32 of the input's own shape is an input
 * @returns {Promise<{probabilities, logits, classes, ms: {preprocessing, inference, postprocessing}, picture, seen, notes}>}
 *     probabilities and logits in the order of `classes`; `picture` are the upright pixels, `seen` those that the model got, both
 *     null where the input itself was given
 */
async function classify(model, session, inputShape, source) {
  const started = performance.now();
  if (isTensor(source) && source.dtype === "float32") {
    refuseShape(source, inputShape);
    const logits = await session.runTensor(source);
    return answered(model, Float32Array.from(logits), started, started, null, null, []);
  }
  const { notes, ...picture } = isTensor(source) ? await tensorPixels(source) : await pixelsOf(source);
  const seen = rawRow(picture, { ...model.preprocessing, ...model.picture });
  const input = normalised(seen, model.preprocessing);
  const prepared = performance.now();
  const logits = Float32Array.from(await session.run(input));
  return answered(model, logits, started, prepared, picture, seen, notes);
}

function answered(model, logits, started, prepared, picture, seen, notes) {
  const inferred = performance.now();
  if (!logits.every(Number.isFinite)) throw new Refusal("The model answered with numbers that are not finite.");
  const found = probabilities(logits, model.kind);
  const ms = { preprocessing: prepared - started, inference: inferred - prepared, postprocessing: performance.now() - inferred };
  return { probabilities: found, logits, classes: model.classes, ms, picture, seen, notes };
}

function isTensor(source) {
  return Array.isArray(source?.shape) && typeof source.data === "function" && typeof source.dtype === "string";
}

function refuseShape({ shape }, inputShape) {
  const whole = [1, ...inputShape].join(), given = shape.join();
  if (given !== whole && given !== inputShape.join()) {
    throw new Refusal(`A float32 tensor is an input of shape [${whole}], this one has [${given}]. A picture is int32, [height, width, channels].`);
  }
}

async function tensorPixels(tensor) {
  const shape = tensor.shape.length === 4 && tensor.shape[0] === 1 ? tensor.shape.slice(1) : tensor.shape;
  const [height, width, channels] = shape;
  if (tensor.dtype !== "int32" || shape.length !== 3 || ![1, 3, 4].includes(channels)) {
    throw new Refusal(`A tensor of ${tensor.dtype} [${tensor.shape}] is no picture: that is int32, 0 to 255, [height, width, 1, 3 or 4].`);
  }
  const values = await tensor.data(), data = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data[i * 4 + c] = values[i * channels + (channels === 1 ? 0 : c)];
  }
  return { width, height, data, notes: [] };
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Refusal(`${url.pathname} could not be loaded (${response.status}). Reload the page.`);
  return response;
}

/** Whether the hash is right; false where the browser cannot tell (plain http). */
async function isWhole(bytes, sha256) {
  if (!self.crypto?.subtle) return false;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (value) => value.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new Refusal("The model's file is not the one that was published with this page (its hash differs), so it was not loaded.");
  return true;
}
