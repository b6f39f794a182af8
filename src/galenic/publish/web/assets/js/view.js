// What is shown of an answer: the picture with what the model saw of it, bars, and times.

import { cropBox } from "./inputs.js";

const PREVIEW_PIXELS = 640; // of the longer side
const PARTS = [["preprocessing", "preprocessing"], ["inference", "inference"], ["postprocessing", "postprocessing"]];

const element = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

export function percent(probability) {
  if (probability < 0.0005) return "< 0.1 %";
  if (probability > 0.9995) return "> 99.9 %";
  return `${(probability * 100).toFixed(1)} %`;
}

/** Times as far as the browser's clock tells them: most give a page steps of 0.1 ms. */
export function milliseconds(value) {
  if (value < 0.1) return "< 0.1 ms";
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

/** Bars of all classes, the most probable first. */
export function showBars(list, { classes, probabilities }) {
  const order = classes.map((_, index) => index).sort((a, b) => probabilities[b] - probabilities[a]);
  list.replaceChildren(...order.map((index, place) => {
    const row = element("li", place === 0 ? "class first" : "class");
    const track = element("span", "track"), bar = element("i", "");
    track.setAttribute("aria-hidden", "true");
    bar.style.width = `${probabilities[index] * 100}%`;
    track.append(bar);
    row.append(element("span", "name", classes[index]), element("span", "share", percent(probabilities[index])), track);
    row.dataset.probability = probabilities[index];
    row.dataset.index = index;
    return row;
  }));
}

export function showTimes(place, ms) {
  const total = PARTS.reduce((sum, [key]) => sum + ms[key], 0);
  const strip = element("span", "strip");
  strip.setAttribute("aria-hidden", "true");
  const words = PARTS.map(([key, name], part) => {
    const piece = element("i", `part-${part + 1}`);
    piece.style.flexGrow = ms[key] / (total || 1);
    strip.append(piece);
    const word = element("span", "");
    word.append(element("i", `key part-${part + 1}`), `${name} ${milliseconds(ms[key])}`);
    return word;
  });
  const legend = element("p", "legend");
  legend.append(...words);
  place.replaceChildren(element("p", "total", `Answered in ${milliseconds(total)}`), strip, legend);
  Object.assign(place.dataset, ms);
}

/** The picture, with what lies outside of the model's square dimmed. */
export async function showPicture(canvas, picture, cropped) {
  const scale = Math.min(1, PREVIEW_PIXELS / Math.max(picture.width, picture.height));
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const context = canvas.getContext("2d");
  const bitmap = await createImageBitmap(new ImageData(new Uint8ClampedArray(picture.data), picture.width, picture.height));
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const box = cropBox(picture.width, picture.height, cropped);
  const [left, top, width, height] = [box.left, box.top, box.width, box.height].map((value) => value * scale);
  context.fillStyle = "rgb(0 0 0 / 55%)";
  const outside = new Path2D();
  outside.rect(0, 0, canvas.width, canvas.height);
  outside.rect(left, top, width, height);
  context.fill(outside, "evenodd");
}

/** The raw row itself, one pixel for one pixel; the style sheet enlarges it. */
export function showSeen(canvas, seen, [height, width, channels]) {
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[i * 4 + c] = seen[i * channels + (channels === 1 ? 0 : c)];
    image.data[i * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
