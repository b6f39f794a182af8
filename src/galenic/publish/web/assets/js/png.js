// PNG files to pixels without the browser's own decoder, which multiplies colours by transparency and may apply the file's colour
// profile. Pillow, with which the model's data were read, does neither: 16-bit samples keep their high byte, transparency and gamma
// are not looked at. (ISO/IEC 15948; the browser only inflates.)

const SPARE_BYTES = 1 << 16;
const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
// of Adam7: the first column and row of each pass, and the steps
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

export function isPng(bytes) {
  return SIGNATURE.every((value, at) => bytes[at] === value);
}

/** The width and height that a PNG file says it has. */
export function pngSize(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bytes.length < 24 ? { width: 0, height: 0 } : { width: view.getUint32(16), height: view.getUint32(20) };
}

/**
 * @param {Uint8Array} bytes a whole PNG file
 * @returns {Promise<{width, height, data: Uint8ClampedArray, exif: Uint8Array|null}>} RGBA, alpha 255 everywhere
 */
export async function decodePng(bytes) {
  const file = chunks(bytes);
  const samples = await inflated(file.data, expectedLength(file.header));
  const { width, height, interlaced } = file.header;
  const out = new Uint8ClampedArray(width * height * 4).fill(255);
  let at = 0;
  for (const [left, top, across, down] of interlaced ? PASSES : [[0, 0, 1, 1]]) {
    const columns = Math.ceil((width - left) / across), rows = Math.ceil((height - top) / down);
    if (columns < 1 || rows < 1) continue;
    const length = rowLength(file.header, columns);
    let above = new Uint8Array(length);
    for (let row = 0; row < rows; row++) {
      const line = unfiltered(samples, at, length, above, file.header);
      spread(line, file, columns, (x) => ((top + row * down) * width + left + x * across) * 4, out);
      above = line;
      at += length + 1;
    }
  }
  return { width, height, data: out, exif: file.exif };
}

function chunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header = null, palette = null, exif = null, ended = false;
  const data = [];
  for (let at = 8; at + 12 <= bytes.length && !ended; ) {
    const length = view.getUint32(at), name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (body.length < length) throw new Error("the file is cut off");
    if (name === "IHDR") header = readHeader(body);
    else if (name === "PLTE") palette = body;
    else if (name === "eXIf") exif = body;
    else if (name === "IDAT") data.push(body);
    else if (name === "IEND") ended = true;
    at += 12 + length;
  }
  if (!header || !data.length || (header.colour === 3 && !palette)) throw new Error("parts of the file are missing");
  return { header, palette, exif, data };
}

function readHeader(body) {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const header = {
    width: view.getUint32(0), height: view.getUint32(4), depth: body[8], colour: body[9], interlaced: body[12] === 1,
  };
  const known = DEPTHS[header.colour]?.includes(header.depth) && body[10] === 0 && body[11] === 0 && body[12] < 2;
  if (!known || !header.width || !header.height) throw new Error("its header is not that of a PNG file");
  header.bits = CHANNELS[header.colour] * header.depth;
  return header;
}

function rowLength(header, columns) {
  return Math.ceil((columns * header.bits) / 8);
}

function expectedLength(header) {
  const passes = header.interlaced ? PASSES : [[0, 0, 1, 1]];
  return passes.reduce((sum, [left, top, across, down]) => {
    const columns = Math.ceil((header.width - left) / across), rows = Math.ceil((header.height - top) / down);
    return columns < 1 || rows < 1 ? sum : sum + rows * (rowLength(header, columns) + 1);
  }, 0);
}

async function inflated(parts, length) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const out = new Uint8Array(length), reader = stream.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read(); // to the very end, where the checksum is
    if (done) break;
    if (at + value.length > length + SPARE_BYTES) throw new Error("it has more pixels than it says");
    out.set(value.subarray(0, length - at), at);
    at = Math.min(length, at + value.length);
  }
  if (at < length) throw new Error("the file is cut off");
  return out;
}

/** One row without its filter (none, sub, up, average, Paeth). */
function unfiltered(samples, start, length, above, header) {
  const kind = samples[start], back = Math.max(1, header.bits >> 3);
  const line = samples.slice(start + 1, start + 1 + length);
  if (kind > 4) throw new Error("a row has a filter that PNG does not know");
  for (let i = 0; i < length && kind > 0; i++) {
    const left = i >= back ? line[i - back] : 0, up = above[i], corner = i >= back ? above[i - back] : 0;
    if (kind === 1) line[i] += left;
    else if (kind === 2) line[i] += up;
    else if (kind === 3) line[i] += (left + up) >> 1;
    else line[i] += paeth(left, up, corner);
  }
  return line;
}

function paeth(left, up, corner) {
  const estimate = left + up - corner;
  const a = Math.abs(estimate - left), b = Math.abs(estimate - up), c = Math.abs(estimate - corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** The samples of one row as red, green and blue where `place` says. */
function spread(line, { header, palette }, columns, place, out) {
  const { depth, colour } = header, bytes = depth === 16 ? 2 : 1, step = CHANNELS[colour] * bytes;
  const few = depth < 8, mask = (1 << depth) - 1, grey = colour === 0 ? 255 / mask : 1;
  for (let x = 0; x < columns; x++) {
    const at = place(x);
    if (few || colour === 3) {
      const bit = x * depth, value = few ? (line[bit >> 3] >> (8 - depth - (bit & 7))) & mask : line[x];
      for (let c = 0; c < 3; c++) out[at + c] = colour === 3 ? (palette[value * 3 + c] ?? 0) : value * grey;
    } else {
      const coloured = colour === 2 || colour === 6;
      for (let c = 0; c < 3; c++) out[at + c] = line[x * step + (coloured ? c * bytes : 0)];
    }
  }
}
