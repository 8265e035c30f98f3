import assert from "node:assert/strict";
import { test } from "node:test";
import { STATIC } from "./helpers.mjs";

const maps = await import(new URL("maps.js", STATIC));

function packed(header, values) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(4 + text.length + values.length);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  bytes.set(values, 4 + text.length);
  return bytes.buffer;
}

const two = { classes: [1, 2], height: 1, width: 2, max: [2, 1], background: { value: 0.5, kind: "threshold" } };

test("the server's answer is read", () => {
  const read = maps.readMaps(packed(two, [0, 255, 51, 0]));
  assert.deepEqual([...maps.mapOf(read, 2)], [51, 0]);
  assert.equal(maps.mapOf(read, 3), null);
});

test("upsampling is bilinear without aligned corners", () => {
  const out = maps.upsample(Uint8Array.from([0, 100]), { width: 2, height: 1 }, 4, 2);
  assert.deepEqual([...out], [0, 25, 75, 100, 0, 25, 75, 100]);
});

test("a class is painted above its threshold; ties go to the background", () => {
  const read = maps.readMaps(packed({ ...two, relative: true }, [0, 255, 255, 0]));
  const best = maps.bestOf(read, [1, 2], 4, 1);
  const paint = (first, second) => [...maps.paintInto(new Uint8Array(4), best, { 1: first, 2: second }, true)];
  assert.deepEqual(paint(0.5, 0.5), [2, 2, 1, 1]);
  assert.deepEqual(paint(0.8, 0.5), [2, 2, 0, 1]);
  assert.deepEqual(paint(1, 1), [0, 0, 0, 0]);
});

test("probabilities are not scaled to their range; without a background every pixel has a class", () => {
  const read = maps.readMaps(packed({ ...two, max: [0.4, 0.2], relative: false }, [0, 255, 255, 0]));
  const best = maps.bestOf(read, [1, 2], 2, 1);
  const paint = (cut, background) => [...maps.paintInto(new Uint8Array(2), best, { 1: cut, 2: cut }, background)];
  assert.deepEqual(paint(0.3, true), [0, 1]);
  assert.deepEqual(paint(0.3, false), [2, 1]);
});

test("pixels that a person touched are kept", () => {
  const read = maps.readMaps(packed({ ...two, relative: true }, [0, 255, 255, 0]));
  const best = maps.bestOf(read, [1, 2], 2, 1);
  const labels = Uint8Array.from([9, 9]);
  maps.paintInto(labels, best, { 1: 0.1, 2: 0.1 }, true, Uint8Array.from([255, 0]));
  assert.deepEqual([...labels], [9, 1]);
});
