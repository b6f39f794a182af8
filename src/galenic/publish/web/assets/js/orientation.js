// A picture upright by its EXIF orientation (tag 0x0112), as Pillow's ImageOps.exif_transpose turns it.

const TAG = 0x0112, SHORT = 3;
const PREFIX = [69, 120, 105, 102, 0, 0]; // "Exif", as JPEG files have it and some PNG files too

/** The orientation, 1 to 8, that a TIFF block says; 1 where it says none. */
export function orientationOf(exif) {
  if (exif && PREFIX.every((value, at) => exif[at] === value)) exif = exif.subarray(PREFIX.length);
  if (!exif || exif.length < 14) return 1;
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  const little = exif[0] === 0x49;
  const start = view.getUint32(4, little);
  if (start + 2 > exif.length) return 1;
  const entries = view.getUint16(start, little);
  for (let entry = 0; entry < entries; entry++) {
    const at = start + 2 + entry * 12;
    if (at + 12 > exif.length) return 1;
    if (view.getUint16(at, little) === TAG && view.getUint16(at + 2, little) === SHORT) {
      const found = view.getUint16(at + 8, little);
      return found >= 1 && found <= 8 ? found : 1;
    }
  }
  return 1;
}

// For each orientation, where the pixel at (x, y) of the upright picture lies in the stored one of w * h pixels.
const SOURCES = {
  2: (x, y, w) => [w - 1 - x, y],
  3: (x, y, w, h) => [w - 1 - x, h - 1 - y],
  4: (x, y, w, h) => [x, h - 1 - y],
  5: (x, y) => [y, x],
  6: (x, y, w, h) => [y, h - 1 - x],
  7: (x, y, w, h) => [w - 1 - y, h - 1 - x],
  8: (x, y, w) => [w - 1 - y, x],
};

/** RGBA pixels {width, height, data} turned upright. */
export function upright(picture, orientation) {
  const source = SOURCES[orientation];
  if (!source) return picture;
  const { width: w, height: h } = picture;
  const [width, height] = orientation > 4 ? [h, w] : [w, h];
  const from = new Uint32Array(picture.data.buffer, picture.data.byteOffset, w * h), to = new Uint32Array(w * h);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [column, row] = source(x, y, w, h);
      to[y * width + x] = from[row * w + column];
    }
  }
  return { width, height, data: new Uint8ClampedArray(to.buffer) };
}
