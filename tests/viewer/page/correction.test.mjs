import assert from "node:assert/strict";
import { test } from "node:test";
import { STATIC, draw, show } from "./helpers.mjs";

const { Correction } = await import(new URL("correction.js", STATIC));
const { Saving, Stale } = await import(new URL("saving.js", STATIC));

function begin(...rows) {
  const image = draw(...rows);
  return new Correction({ id: 4, image, touched: new Uint8Array(image.data.length), etag: "a" });
}

function paint(correction, positions, label) {
  correction.paint(positions, label);
  return correction.endStroke();
}

test("a stroke is undone and redone whole, with what was touched", () => {
  const correction = begin("0012");
  correction.paint([0, 1], 3);
  correction.paint([1, 2], 4);
  correction.endStroke();
  assert.deepEqual(show(correction.image), ["3442"]);
  assert.deepEqual([...correction.touched], [255, 255, 255, 0]);
  assert.ok(correction.undo());
  assert.deepEqual(show(correction.image), ["0012"]);
  assert.deepEqual([...correction.touched], [0, 0, 0, 0]);
  assert.ok(correction.redo());
  assert.deepEqual(show(correction.image), ["3442"]);
  assert.equal(correction.redo(), false);
});

test("painting the label that is there confirms it", () => {
  const correction = begin("11");
  assert.ok(paint(correction, [1], 1));
  assert.deepEqual([...correction.touched], [0, 255]);
});

test("a lock keeps other labels, also within one stroke", () => {
  const correction = begin("0120");
  correction.lock = 0;
  correction.paint([0, 1, 2, 3], 5);
  correction.paint([0], 6);
  correction.endStroke();
  assert.deepEqual(show(correction.image), ["6125"]);
  assert.equal(paint(correction, [1], 3), false);
});

test("a repainted mask is one stroke that touches nothing unless a person chose it", () => {
  const correction = begin("0011");
  correction.replace(Uint8Array.from([2, 0, 1, 2]), false);
  assert.deepEqual([...correction.touched], [0, 0, 0, 0]);
  correction.undo();
  assert.deepEqual(show(correction.image), ["0011"]);
  assert.equal(correction.replace(correction.image.data.slice(), false), false);
});

test("a reload keeps strokes, undo and what was not saved", () => {
  const correction = begin("0000");
  paint(correction, [0], 1);
  correction.markSaved(correction.snapshot(), "b");
  paint(correction, [1], 2);
  const record = structuredClone(correction.toRecord());
  const server = { id: 4, image: draw("1000"), touched: Uint8Array.from([255, 0, 0, 0]), etag: "b" };
  const again = Correction.restore(server, record);
  assert.deepEqual(show(again.image), ["1200"]);
  assert.equal(again.isSaved, false);
  again.undo();
  assert.ok(again.isSaved);
  again.undo();
  assert.deepEqual(show(again.image), ["0000"]);
});

test("a record of another version is left aside, unless it holds what was never saved", () => {
  const saved = begin("0000");
  paint(saved, [0], 1);
  saved.markSaved(saved.snapshot(), "b");
  const server = () => ({ id: 4, image: draw("0030"), touched: new Uint8Array(4), etag: "z" });
  assert.deepEqual(show(Correction.restore(server(), saved.toRecord()).image), ["0030"]);
  paint(saved, [1], 2);
  const kept = Correction.restore(server(), saved.toRecord());
  assert.deepEqual(show(kept.image), ["1200"]);
  assert.equal(kept.etag, "b");
});

test("a reload before the server's answer arrived keeps undo", () => {
  const correction = begin("00");
  paint(correction, [0], 1);
  const again = Correction.restore({ id: 4, image: draw("10"), touched: new Uint8Array(2), etag: "b" }, correction.toRecord());
  assert.equal(again.etag, "b");
  assert.ok(again.isSaved);
  again.undo();
  assert.deepEqual(show(again.image), ["00"]);
});

test("merging puts only my changes over theirs, and undo takes them back", () => {
  const correction = begin("0000");
  paint(correction, [0], 1);
  correction.mergeInto({ data: Uint8Array.from([0, 0, 7, 7]), touched: new Uint8Array(4), etag: "c" });
  assert.deepEqual(show(correction.image), ["1077"]);
  assert.deepEqual([...correction.touched], [255, 0, 0, 0]);
  assert.equal(correction.isSaved, false);
  correction.undo();
  assert.deepEqual(show(correction.image), ["0077"]);
  assert.ok(correction.isSaved);
});

test("strokes painted while saving are saved afterwards", async () => {
  const correction = begin("0000");
  const sent = [];
  const send = async (snapshot, etag) => {
    sent.push([show({ width: 4, data: snapshot.data })[0], etag]);
    if (sent.length === 1) {
      correction.undo();
      paint(correction, [3], 9);
    }
    return `after ${etag}`;
  };
  const saving = new Saving(correction, send, () => {});
  paint(correction, [0], 1);
  assert.ok(await saving.flush());
  assert.deepEqual(sent, [["1000", "a"], ["0009", "after a"]]);
  assert.ok(correction.isSaved);
});

test("a stale version stops saving until the question is answered", async () => {
  const correction = begin("00");
  let current = "z";
  const states = [];
  const send = async (_, etag) => {
    if (etag !== current) throw new Stale(current);
    return (current = "new");
  };
  const saving = new Saving(correction, send, (state) => states.push(state));
  paint(correction, [0], 1);
  assert.equal(await saving.flush(), false);
  assert.equal(await saving.flush(), false);
  assert.deepEqual(states, ["saving", "stale"]);
  correction.keepMine("z");
  assert.ok(await saving.release());
  assert.equal(correction.etag, "new");
});

test("a failed request keeps the strokes and can be repeated", async () => {
  const correction = begin("00");
  let fails = true;
  const saving = new Saving(correction, async () => {
    if (fails) throw new Error("no network");
    return "b";
  }, () => {});
  paint(correction, [0], 1);
  assert.equal(await saving.flush(), false);
  fails = false;
  assert.ok(await saving.flush());
});
