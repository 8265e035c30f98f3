import assert from "node:assert/strict";
import { test } from "node:test";
import { STATIC } from "./helpers.mjs";

const { KEYS, findKey, keyOf, listKeys } = await import(new URL("keys.js", STATIC));
const action = (event, view) => findKey(event, view)?.action ?? null;

test("no view has two meanings for one key", () => {
  for (const view of ["Images", "One image"]) {
    const used = KEYS.filter(({ scope }) => scope === view || scope === "Everywhere").flatMap(({ keys }) => keys);
    assert.deepEqual(used.filter((name, i) => used.indexOf(name) !== i), []);
  }
});

test("events find their entry", () => {
  assert.equal(action({ key: "a", code: "KeyA" }, "grid"), "accept");
  assert.equal(action({ key: "?", code: "Slash", shiftKey: true }, "editor"), "help");
  assert.equal(action({ key: " ", code: "Space" }, "editor"), "hideMask");
  assert.equal(action({ key: "3", code: "Digit3" }, "editor"), "class3");
  assert.equal(action({ key: "#", code: "Digit3", shiftKey: true }, "editor"), "tag3");
  assert.equal(action({ key: "Z", code: "KeyZ", shiftKey: true, ctrlKey: true }, "editor"), "redo");
  assert.equal(action({ key: "z", code: "KeyZ", metaKey: true }, "editor"), "undo");
  assert.equal(action({ key: "Z", code: "KeyZ", shiftKey: true }, "editor"), "zoomOut");
  assert.equal(action({ key: "Tab", code: "Tab", shiftKey: true }, "editor"), null);
  assert.equal(action({ key: "b", code: "KeyB" }, "grid"), null);
});

test("keyboards that compose brackets, or have the slash on a digit", () => {
  assert.equal(action({ key: "[", code: "Digit8", ctrlKey: true, altKey: true }, "editor"), "smaller");
  assert.equal(action({ key: "/", code: "Digit7", shiftKey: true }, "grid"), "search");
  assert.equal(action({ key: "/", code: "Digit7", shiftKey: true }, "editor"), "tag7");
  assert.equal(action({ key: "a", code: "KeyA", altKey: true }, "editor"), null);
});

test("the page of keys lists every key once, groups in one row", () => {
  const lists = listKeys();
  const count = (entries) => entries.flatMap(({ keys }) => keys).length;
  assert.equal(count(lists.flatMap(({ rows }) => rows)), count(KEYS));
  const texts = lists.flatMap(({ scope, rows }) => rows.map(({ text }) => scope + text));
  assert.equal(new Set(texts).size, texts.length);
  assert.deepEqual(lists[1].rows.find(({ text }) => text === "choose an image").keys, ["←", "→", "↑", "↓"]);
  assert.equal(keyOf("undo"), "Ctrl+Z");
});
