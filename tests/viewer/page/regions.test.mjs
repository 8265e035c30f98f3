import assert from "node:assert/strict";
import { test } from "node:test";
import { STATIC, draw } from "./helpers.mjs";

const regions = await import(new URL("regions.js", STATIC));
const sorted = (list) => [...list].sort((a, b) => a - b);

test("a component is connected by sides, not by corners", () => {
  const image = draw("1100", "0010", "0011");
  assert.deepEqual(sorted(regions.component(image, 0)), [0, 1]);
  assert.deepEqual(sorted(regions.component(image, 6)), [6, 10, 11]);
});

test("holes do not touch the border; islands inside them are part of them", () => {
  const image = draw("11111", "10021", "11111", "01010");
  assert.deepEqual(sorted(regions.holes(image, 1)), [6, 7, 8]);
  assert.deepEqual(regions.holes(image, 2), []);
});

test("a speck takes the label most of its neighbours have; an image of one label has none", () => {
  const image = draw("00022", "03022", "00022");
  assert.deepEqual(regions.specks(image, 2), [{ positions: [6], label: 0 }]);
  assert.deepEqual(regions.specks(draw("11", "11"), 99), []);
});

test("growing and shrinking by a pixel", () => {
  const image = draw("00000", "00100", "00000");
  assert.deepEqual(sorted(regions.rim(image, 1)), [2, 6, 8, 12]);
  assert.deepEqual(regions.edge(draw("1110", "1110"), 1), [
    { positions: [2], label: 0 },
    { positions: [6], label: 0 },
  ]);
});

test("a stroke stays inside the image and covers the line", () => {
  const image = draw("00000", "00000", "00000");
  const line = regions.stroke(image, { x: 0.5, y: 1.5 }, { x: 9, y: 1.5 }, 0.6);
  assert.deepEqual(sorted(line), [5, 6, 7, 8, 9]);
  assert.deepEqual(regions.stroke(image, { x: 2.5, y: 1.5 }, { x: 2.5, y: 1.5 }, 1).length, 5);
});

test("superpixels know their pixels", () => {
  const index = regions.indexSegments(draw("0012", "0312"));
  assert.equal(index.segmentAt(5), 3);
  assert.deepEqual([...index.positionsOf(0)], [0, 1, 4]);
  assert.deepEqual([...index.positionsOf(2)], [3, 7]);
});
