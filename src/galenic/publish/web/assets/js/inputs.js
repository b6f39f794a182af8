// Pixels to a model's input, bit by bit as galenic's Python does it (preprocess/image.py, preprocess/transform.py):
//     crop -> grey or RGB -> resize -> input = (raw * scale - mean) / std in float32, channels first

import { cropBox, resize } from "./resample.js";

export { cropBox };

/**
 * The raw row that a task would have made of this picture.
 * @param {{width, height, data}} picture RGBA, upright
 * @param {{raw_shape, cropped, resample}} how
 * @returns {Uint8Array} side * side * channels
 */
export function rawRow(picture, { raw_shape: [side, , channels], cropped, resample }) {
  const box = cropBox(picture.width, picture.height, cropped);
  const pixels = cut(picture, box, channels);
  return resize(pixels, box.width, box.height, channels, side, resample);
}

/** Normalised, (channel, height, width): each step rounded to float32 as numpy rounds it. */
export function normalised(raw, { raw_shape: [height, width, channels], scale, mean, std }) {
  const input = new Float32Array(raw.length), plane = height * width;
  for (let c = 0; c < channels; c++) {
    const table = new Float32Array(256), by = Math.fround(scale);
    const less = Math.fround(mean[c]), over = Math.fround(std[c]);
    for (let value = 0; value < 256; value++) table[value] = Math.fround(Math.fround(value * by) - less) / over;
    for (let i = 0; i < plane; i++) input[c * plane + i] = table[raw[i * channels + c]];
  }
  return input;
}

/** (channel, height, width) as (height, width, channel). */
export function channelsLast(input, channels) {
  const out = new Float32Array(input.length), plane = input.length / channels;
  for (let c = 0; c < channels; c++) for (let i = 0; i < plane; i++) out[i * channels + c] = input[c * plane + i];
  return out;
}

/** The pixels of a box as RGB, or as grey by ITU-R 601 in Pillow's fixed point; transparency is left out. */
function cut({ width, data }, box, channels) {
  const out = new Uint8Array(box.width * box.height * channels);
  let to = 0;
  for (let y = box.top; y < box.top + box.height; y++) {
    for (let at = (y * width + box.left) * 4, end = at + box.width * 4; at < end; at += 4) {
      const red = data[at], green = data[at + 1], blue = data[at + 2];
      if (channels === 1) {
        out[to++] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
      } else {
        out[to++] = red;
        out[to++] = green;
        out[to++] = blue;
      }
    }
  }
  return out;
}
