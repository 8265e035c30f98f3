// Paint a mask with a segmenter that tag2mask exported: node onnx_mask.mjs MODEL.onnx IMAGE.png MASK.png
// Needs: npm install onnxruntime-web pngjs. For 8-bit colour images whose long side is at most 16 times the short side.
import { readFileSync, writeFileSync } from "node:fs";
import * as ort from "onnxruntime-web";
import { PNG } from "pngjs";

ort.env.wasm.numThreads = 1;

// onnxruntime-web does not show the metadata of a file, so they are read from it: field 14 of its protobuf message.
function readNotes(bytes) {
  const notes = {}, text = new TextDecoder();
  let at = 0;
  const number = () => {
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      value += (bytes[at] & 127) * unit;
      if (bytes[at++] < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = number(), size = number(); // the value itself for a number, else the length of what follows
    if (key % 8 !== 2) continue;
    const end = at + size, pair = [];
    while (key >> 3 === 14 && at < end) {
      number(); // 1 is the name of a note, 2 its text
      const length = number();
      pair.push(text.decode(bytes.subarray(at, (at += length))));
    }
    if (pair.length) notes[pair[0]] = pair[1];
    at = end;
  }
  return notes;
}

// Resize the rows of a plane by `kernel`, which reaches `reach` pixels at scale 1; the kernel widens if rows shrink.
function resizeRows(plane, height, width, size, kernel, reach, widens) {
  const out = new Float32Array(height * size), scale = width / size, wide = widens ? Math.max(scale, 1) : 1;
  for (let x = 0; x < size; x++) {
    const centre = (x + 0.5) * scale, first = Math.max(Math.floor(centre - reach * wide + 0.5), 0);
    const last = Math.min(Math.floor(centre + reach * wide + 0.5), width);
    const weights = Array.from({ length: last - first }, (_, i) => kernel(Math.abs((first + i + 0.5 - centre) / wide)));
    const sum = weights.reduce((a, b) => a + b, 0);
    for (let y = 0; y < height; y++) {
      const start = y * width + first;
      out[y * size + x] = weights.reduce((total, weight, i) => total + weight * plane[start + i], 0) / sum;
    }
  }
  return out;
}
const turn = (plane, height, width) => plane.map((_, i) => plane[(i % height) * width + Math.floor(i / height)]);
function resize(plane, height, width, tall, broad, ...how) {
  const turned = turn(resizeRows(plane, height, width, broad, ...how), height, broad);
  return turn(resizeRows(turned, broad, height, tall, ...how), broad, tall);
}
const cubic = (d) => (d < 1 ? (1.5 * d - 2.5) * d * d + 1 : d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0);
const linear = (d) => Math.max(1 - d, 0);
const round = (value) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value)); // halves to even

const [modelPath, imagePath, maskPath] = process.argv.slice(2);
const file = readFileSync(modelPath), notes = readNotes(file), model = await ort.InferenceSession.create(file);
const side = JSON.parse(notes.preprocessing).short_side, { window, overlap } = JSON.parse(notes.to_masks);
const classes = JSON.parse(notes.outputs).logits.classes.length;

const image = PNG.sync.read(readFileSync(imagePath)), short = Math.min(image.width, image.height);
const [height, width] = [image.height, image.width].map((length) => round(length * (side / short)));
const pixels = height * width;
const bands = [0, 1, 2].map((band) => {
  const plane = Float32Array.from({ length: image.width * image.height }, (_, i) => image.data[4 * i + band] / 255);
  const [low, high] = plane.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [1, 0]);
  const resized = resize(plane, image.height, image.width, height, width, cubic, 2, true);
  return resized.map((value) => Math.min(Math.max(value, low), high));
});

function starts(length) {
  const count = 1 + Math.max(Math.ceil((length - window) / (window - Math.floor(window * overlap))), 0);
  const step = (length - window) / Math.max(count - 1, 1);
  return Array.from({ length: count }, (_, i) => Math.max(round(i * step), 0));
}
const logits = Array.from({ length: classes }, () => new Float32Array(pixels)), counts = new Float32Array(pixels);
const tall = Math.min(window, height), broad = Math.min(window, width);
for (const top of starts(height)) for (const left of starts(width)) {
  const place = (i) => (top + Math.floor(i / broad)) * width + left + (i % broad); // of pixel i of the window
  const all = tall * broad;
  const cut = Float32Array.from({ length: 3 * all }, (_, i) => bands[Math.floor(i / all)][place(i % all)]);
  const found = await model.run({ images: new ort.Tensor("float32", cut, [1, 3, tall, broad]) });
  found.logits.data.forEach((value, i) => (logits[Math.floor(i / all)][place(i % all)] += value));
  for (let i = 0; i < all; i++) counts[place(i)] += 1;
}
const sums = counts.map((count, i) => logits.reduce((sum, plane) => sum + Math.exp(plane[i] / count), 0));
const shares = logits.map((plane) => {
  const share = plane.map((value, i) => Math.exp(value / counts[i]) / sums[i]);
  return resize(share, height, width, image.height, image.width, linear, 1, false);
});

const likeliest = (i) => shares.reduce((best, plane, k) => (plane[i] > shares[best][i] ? k : best), 0);
const mask = new PNG({ width: image.width, height: image.height });
mask.data = Buffer.from(Uint8Array.from({ length: image.width * image.height }, (_, i) => likeliest(i)));
writeFileSync(maskPath, PNG.sync.write(mask, { colorType: 0, inputColorType: 0 }));
