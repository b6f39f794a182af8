// Whatever is given as a picture to upright RGBA pixels, {width, height, data, notes}.
//
// PNG files are decoded by png.js. JPEG files are decoded by the browser (its decoder and Pillow's are the same library in
// Chromium) without its colour conversion, and read back through a canvas, which neither scales nor blends them.

import { orientationOf, upright } from "./orientation.js";
import { decodePng, isPng, pngSize } from "./png.js";
import { Refusal } from "./refusal.js";

const MOST_PIXELS = 89_478_485; // where Pillow refuses too
const BAND_PIXELS = 1 << 22; // a canvas of a phone has a largest size; a band of a picture stays far below it
const DICOM_AT = 128;
const ASIS = { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" };

/** @param {Blob|ImageData|ImageBitmap|HTMLImageElement|HTMLCanvasElement|HTMLVideoElement} source */
export async function pixelsOf(source) {
  if (source instanceof Blob) return fromFile(source);
  if (source instanceof ImageData) return { width: source.width, height: source.height, data: source.data, notes: [] };
  const width = source.videoWidth ?? source.naturalWidth ?? source.width;
  const height = source.videoHeight ?? source.naturalHeight ?? source.height;
  if (!width || !height) throw new Refusal("There is no picture in what was given.");
  return { ...readBack(source, width, height), notes: canvasNotes() };
}

async function fromFile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer()), name = file.name || "The picture";
  if (isPng(bytes)) return fromPng(bytes, name);
  if (isJpeg(bytes)) return fromJpeg(file, bytes, name);
  if (String.fromCharCode(...bytes.subarray(DICOM_AT, DICOM_AT + 4)) === "DICM") {
    throw new Refusal(`${name} is a DICOM file, and this page does not read DICOM: its window and its patient tags need a program that knows them. Save the frame as PNG and give that.`);
  }
  throw new Refusal(`${name} is no picture that this page reads. It reads PNG and JPEG files.`);
}

async function fromPng(bytes, name) {
  refuseLarge(pngSize(bytes), name);
  if (typeof DecompressionStream === "undefined") {
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), ASIS);
    const notes = ["This browser has no DecompressionStream, so it decoded the PNG file itself: with transparency, 16 bits or a colour profile, pixels may differ from those in Python.", ...canvasNotes()];
    return { ...readBack(bitmap, bitmap.width, bitmap.height), notes };
  }
  try {
    const { exif, ...picture } = await decodePng(bytes);
    return { ...upright(picture, orientationOf(exif)), notes: [] };
  } catch (error) {
    throw damaged(name, error);
  }
}

async function fromJpeg(file, bytes, name) {
  const frame = jpegFrame(bytes);
  if (frame) refuseLarge(frame, name);
  if (frame?.components === 4) {
    throw new Refusal(`${name} has four colour channels (CMYK), which every program converts in its own way. Save it as RGB.`);
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }), ASIS);
  } catch (error) {
    throw damaged(name, error);
  }
  const picture = readBack(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  return { ...picture, notes: canvasNotes() };
}

function damaged(name, error) {
  return new Refusal(`${name} is damaged or not whole (${error.message}).`);
}

function refuseLarge({ width, height }, name) {
  if (width * height > MOST_PIXELS) {
    throw new Refusal(`${name} has ${width} × ${height} pixels, more than the ${MOST_PIXELS.toLocaleString("en")} that are read.`);
  }
}

function isJpeg(bytes) {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

/** Size and number of components from the frame header of a JPEG file, null where there is none. */
function jpegFrame(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 2; at + 10 < bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1];
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { height: view.getUint16(at + 5), width: view.getUint16(at + 7), components: bytes[at + 9] };
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  return null;
}

/** The pixels of something that can be drawn, in bands. */
function readBack(source, width, height) {
  const data = new Uint8ClampedArray(width * height * 4);
  const rows = Math.max(1, Math.min(height, Math.floor(BAND_PIXELS / width)));
  const context = canvas(width, rows);
  for (let top = 0; top < height; top += rows) {
    const band = Math.min(rows, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(source, 0, top, width, band, 0, 0, width, band);
    data.set(context.getImageData(0, 0, width, band).data, top * width * 4);
  }
  return { width, height, data };
}

function canvas(width, height) {
  const made = Object.assign(document.createElement("canvas"), { width, height });
  const context = made.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  return context;
}

let honest;

/** What to say where the browser changes pixels that a page reads, as a protection against being recognised. */
export function canvasNotes() {
  honest ??= isHonest();
  return honest ? [] : ["This browser changes the pixels that a page reads back (a protection against being recognised), so answers on JPEG files and camera frames may differ from those in Python. PNG files are not affected."];
}

function isHonest() {
  const side = 16, drawn = new ImageData(side, side);
  drawn.data.forEach((_, at) => { drawn.data[at] = at % 4 === 3 ? 255 : (at * 37) % 251; });
  const context = canvas(side, side);
  context.putImageData(drawn, 0, 0);
  const read = context.getImageData(0, 0, side, side).data;
  return drawn.data.every((value, at) => value === read[at]);
}
