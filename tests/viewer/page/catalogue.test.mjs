import assert from "node:assert/strict";
import { test } from "node:test";
import { STATIC } from "./helpers.mjs";

const { NO_FILTER, describeProgress, filterRecords, orderClasses, sortRecords } = await import(
  new URL("catalogue.js", STATIC)
);
const layout = await import(new URL("layout.js", STATIC));
const colours = await import(new URL("colours.js", STATIC));

const record = (id, name, more) => ({
  id, name, split: "train", tags: [], present: [], state: "open", corrected: false, rank: null, iou: null, reason: "", ...more,
});
const RECORDS = [
  record(0, "cow_10", { present: [1], tags: [1], rank: 0.2, iou: 0.9 }),
  record(1, "cow_9", { present: [0, 1], tags: [1, 2], state: "accepted", iou: 0.1 }),
  record(2, "street", { present: [2], split: "val", rank: 0.7, corrected: true }),
];
const NAMES = ["background", "cow", "dog"];
const names = (filter) => filterRecords(RECORDS, { ...NO_FILTER, ...filter }, NAMES).map(({ name }) => name);

test("filters combine; words are searched in names and classes", () => {
  assert.deepEqual(names({}), ["cow_10", "cow_9", "street"]);
  assert.deepEqual(names({ present: 1, state: "open" }), ["cow_10"]);
  assert.deepEqual(names({ tag: 2 }), ["cow_9"]);
  assert.deepEqual(names({ split: "val" }), ["street"]);
  assert.deepEqual(names({ state: "corrected" }), ["street"]);
  assert.deepEqual(names({ text: "DOG" }), ["street"]);
  assert.deepEqual(names({ text: "cow back" }), ["cow_9"]);
  assert.deepEqual(names({ ids: [2, 0] }), ["cow_10", "street"]);
});

test("the worst come first, missing values last, names by number", () => {
  const order = (by) => sortRecords(RECORDS, by).map(({ id }) => id);
  assert.deepEqual(order("worst"), [2, 0, 1]);
  assert.deepEqual(order("iou"), [1, 0, 2]);
  assert.deepEqual(order("name"), [1, 0, 2]);
});

test("progress is written with the time left", () => {
  assert.equal(describeProgress({ total: 5000, done: 312, seconds_left: 2460 }), "312 of 5,000, about 41 min left");
  assert.equal(describeProgress({ total: 5, done: 5, seconds_left: 0 }), "5 of 5");
  assert.equal(describeProgress({ total: 5, done: 0, seconds_left: null }), "0 of 5");
});

test("number keys begin with the image's tags", () => {
  const classes = [{ index: 0 }, { index: 1 }, { index: 2 }];
  assert.deepEqual(orderClasses(classes, [2]).map(({ index }) => index), [2, 0, 1]);
});

test("of 5,000 tiles only those in view exist", () => {
  const grid = layout.measureGrid(5000, 1400);
  const { start, end } = layout.visibleTiles(grid, 100 * grid.pitch, 800);
  assert.equal(start % grid.columns, 0);
  assert.ok(end - start <= grid.columns * 9);
  const { x, y } = layout.placeOf(grid, start);
  assert.deepEqual([x, y], [0, 98 * grid.pitch]);
  assert.deepEqual(layout.visibleTiles(layout.measureGrid(0, 1400), 0, 800), { start: 0, end: 0 });
  assert.equal(layout.scrollTo(grid, 0, 500, 800), 0);
  assert.equal(layout.scrollTo(grid, grid.columns * 10, 0, 800), 11 * grid.pitch - 800);
});

test("labels become colours; outlines only where labels meet", () => {
  const classes = [{ index: 0, color: "#000000" }, { index: 1, color: "#ff8000" }];
  const table = colours.colourTable(classes, true, 255);
  assert.equal(table[1], 0xff0080ff);
  assert.equal(table[0], 0);
  const image = { width: 4, height: 1, data: Uint8Array.from([1, 1, 1, 0]) };
  const pixels = new Uint32Array(4);
  colours.colourRows(pixels, image, table, { outline: true });
  assert.deepEqual([...pixels], [0, 0, 0xff0080ff, 0]);
});
