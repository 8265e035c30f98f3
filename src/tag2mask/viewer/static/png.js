// Masks as PNG files: pixel = class index. Canvas would turn them into colours, and has no 16 bits.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const SAMPLES = { 0: 1, 3: 1 }; // grey and palette have one sample per pixel
const PAETH = 4;

/** Decode a grey or palette PNG of 8 or 16 bits into {width, height, data}. */
export async function decodePng(bytes) {
  if (SIGNATURE.some((value, i) => bytes[i] !== value)) throw new Error("A mask is not a PNG file.");
  const chunks = readChunks(bytes);
  const header = readHeader(chunks.find((chunk) => chunk.type === "IHDR").data);
  const packed = join(chunks.filter((chunk) => chunk.type === "IDAT").map((chunk) => chunk.data));
  const rows = unfilter(await through(packed, new DecompressionStream("deflate")), header);
  return { width: header.width, height: header.height, data: header.depth === 16 ? toShorts(rows) : rows };
}

/** Encode class indices, a Uint8Array or a Uint16Array, as a grey PNG of 8 or 16 bits. */
export async function encodePng({ width, height, data }) {
  const depth = data.BYTES_PER_ELEMENT * 8;
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = depth;
  const rows = withFilterBytes(depth === 16 ? toBytes(data) : data, (width * depth) / 8, height);
  const packed = await through(rows, new CompressionStream("deflate"));
  const parts = [chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", new Uint8Array(0))];
  return join([Uint8Array.from(SIGNATURE), ...parts]);
}

function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks = [];
  for (let at = SIGNATURE.length; at + 8 <= bytes.length;) {
    const length = view.getUint32(at);
    if (at + 12 + length > bytes.length) throw new Error("A mask's PNG file is cut short.");
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    chunks.push({ type, data: bytes.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  return chunks;
}

function readHeader(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [depth, colour, , , interlaced] = data.subarray(8);
  if (!SAMPLES[colour] || ![8, 16].includes(depth) || interlaced) {
    throw new Error(`A mask's PNG file has colour type ${colour}, ${depth} bits: expected grey or palette, 8 or 16.`);
  }
  return { width: view.getUint32(0), height: view.getUint32(4), depth };
}

/** Undo the filter of each row (PNG specification, section 9). */
function unfilter(raw, { width, height, depth }) {
  const step = depth / 8;
  const stride = width * step;
  if (raw.length < (stride + 1) * height) throw new Error("A mask's PNG file is cut short.");
  const out = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const source = raw.subarray(y * (stride + 1) + 1, (y + 1) * (stride + 1));
    unfilterRow(raw[y * (stride + 1)], source, out, y * stride, y > 0 ? (y - 1) * stride : -1, step);
  }
  return out;
}

function unfilterRow(filter, source, out, start, above, step) {
  if (filter === 0) return out.set(source, start);
  for (let i = 0; i < source.length; i++) {
    const left = i >= step ? out[start + i - step] : 0;
    const up = above >= 0 ? out[above + i] : 0;
    const corner = above >= 0 && i >= step ? out[above + i - step] : 0;
    out[start + i] = source[i] + predicted(filter, left, up, corner);
  }
}

function predicted(filter, left, up, corner) {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === PAETH) return paeth(left, up, corner);
  return (left + up) >> 1;
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function withFilterBytes(bytes, stride, height) {
  const rows = new Uint8Array((stride + 1) * height);
  for (let y = 0; y < height; y++) rows.set(bytes.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1);
  return rows;
}

function toShorts(bytes) {
  return Uint16Array.from({ length: bytes.length / 2 }, (_, i) => (bytes[2 * i] << 8) | bytes[2 * i + 1]);
}

function toBytes(shorts) {
  const bytes = new Uint8Array(shorts.length * 2);
  shorts.forEach((value, i) => {
    bytes[2 * i] = value >> 8;
    bytes[2 * i + 1] = value & 255;
  });
  return bytes;
}

function chunk(type, data) {
  const body = join([Uint8Array.from(type, (letter) => letter.charCodeAt(0)), data]);
  return join([bigEndian(data.length), body, bigEndian(crc32(body))]);
}

function bigEndian(value) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

function join(parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
}

async function through(bytes, transform) {
  const stream = new Blob([bytes]).stream().pipeThrough(transform);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
