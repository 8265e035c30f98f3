// The one table of keys: it binds them, and the page behind `?` lists it.

const GRID = "Images";
const EDITOR = "One image";
const BOTH = "Everywhere";

const key = (scope, action, keys, text, settings = {}) => ({ scope, action, keys, text, ...settings });

/** Keys of one meaning, listed in one row: pairs of action and key. */
const together = (scope, text, pairs, settings = {}) =>
  pairs.map(([action, name]) => key(scope, action, [name], text, { group: true, ...settings }));

const numbered = (action, before = "") => Array.from({ length: 9 }, (_, i) => [`${action}${i + 1}`, `${before}${i + 1}`]);

const HELD_DOWN = { repeats: true };

/** `keys` as they are written; `held`: acts while the key is down; `repeats`: acts again while it is held;
 *  `group`: listed in one row with its neighbours of the same text. */
export const KEYS = [
  key(BOTH, "help", ["?"], "show or hide this page"),
  key(BOTH, "accept", ["A"], "accept the mask, go on to the next image"),
  key(BOTH, "reject", ["R"], "reject the mask, go on to the next image"),
  key(BOTH, "undoStep", ["U"], "undo the last accept or reject, go back to its image"),
  key(BOTH, "theme", ["D"], "light or dark"),
  key(BOTH, "confusion", ["X"], "confusion matrix: what was painted as what"),
  key(BOTH, "back", ["Escape"], "back: close what is open, discard a preview, show all images"),

  key(GRID, "search", ["/"], "search"),
  key(GRID, "open", ["Enter"], "open the chosen image"),
  ...together(GRID, "choose an image", [
    ["left", "ArrowLeft"], ["right", "ArrowRight"], ["up", "ArrowUp"], ["down", "ArrowDown"],
  ], HELD_DOWN),
  ...together(GRID, "a page up or down", [["pageUp", "PageUp"], ["pageDown", "PageDown"]], HELD_DOWN),
  ...together(GRID, "first or last image", [["first", "Home"], ["last", "End"]]),

  key(EDITOR, "next", ["N", "PageDown"], "next image"),
  key(EDITOR, "previous", ["P", "PageUp"], "previous image"),
  ...together(EDITOR, "class of that number; the image's tags come first", numbered("class")),
  key(EDITOR, "class0", ["0"], "background, or ignored where the classes have none"),
  ...together(EDITOR, "add or remove the tag of that number; the mask is repainted", numbered("tag", "Shift+")),
  key(EDITOR, "brush", ["B"], "brush; right button or Ctrl erases"),
  key(EDITOR, "eraser", ["E"], "eraser"),
  key(EDITOR, "snap", ["S"], "snap: paint whole superpixels by click or drag"),
  key(EDITOR, "pick", ["V"], "select a component by click; a class then relabels it whole"),
  key(EDITOR, "mark", ["K"], "mark patches with a class"),
  key(EDITOR, "spread", ["Q"], "let features spread the marks; a preview first"),
  ...together(EDITOR, "smaller or larger brush (or the wheel)", [["smaller", "["], ["larger", "]"]], HELD_DOWN),
  key(EDITOR, "cycleSegments", ["Tab"], "with snap, on the canvas: next size of superpixels (Shift+Tab leaves the canvas)"),
  ...together(EDITOR, "move the brush; while a map is shown: head and layer", [
    ["cursorLeft", "ArrowLeft"], ["cursorRight", "ArrowRight"], ["cursorUp", "ArrowUp"], ["cursorDown", "ArrowDown"],
  ], HELD_DOWN),
  key(EDITOR, "apply", ["Enter"], "apply the preview, or the tool where the brush is"),
  key(EDITOR, "lock", ["L"], "lock: paint everywhere, only over background, only over the class under the brush"),
  key(EDITOR, "fillHoles", ["H"], "fill the holes of the class"),
  key(EDITOR, "removeSpecks", ["J"], "remove specks"),
  key(EDITOR, "grow", ["+", "="], "grow the class by a pixel", HELD_DOWN),
  key(EDITOR, "shrink", ["-"], "shrink the class by a pixel", HELD_DOWN),
  ...together(EDITOR, "lower or raise the class's threshold", [["lower", "{"], ["raise", "}"]], HELD_DOWN),
  key(EDITOR, "thresholdForAll", ["Ctrl+Enter"], "apply the class's threshold to all open images"),
  key(EDITOR, "undo", ["Ctrl+Z"], "undo a stroke", HELD_DOWN),
  key(EDITOR, "redo", ["Ctrl+Y", "Ctrl+Shift+Z"], "redo a stroke", HELD_DOWN),
  key(EDITOR, "save", ["Ctrl+S"], "save now (strokes are saved by themselves)"),
  key(EDITOR, "hideMask", ["Space"], "hold: image without mask", { held: true }),
  key(EDITOR, "showOther", ["T"], "hold: truth, or the mask before corrections", { held: true }),
  key(EDITOR, "outline", ["O"], "outlines only"),
  ...together(EDITOR, "fainter or stronger mask", [["fainter", ","], ["stronger", "."]], HELD_DOWN),
  key(EDITOR, "map", ["M"], "map of the class (also: hover the class)"),
  key(EDITOR, "compare", ["C"], "side by side with the other mask set, the truth or the original"),
  key(EDITOR, "similar", ["I"], "copy the class's correction to similar images, shown first"),
  ...together(EDITOR, "zoom (or Ctrl and the wheel; the middle button moves the image)", [
    ["zoomIn", "Z"], ["zoomOut", "Shift+Z"],
  ], HELD_DOWN),
  key(EDITOR, "fit", ["F"], "fit the image into the window"),
];

const scopes = { grid: [BOTH, GRID], editor: [BOTH, EDITOR], confusion: [BOTH] };

/** The entry of the table for an event of the keyboard in a view, or null. */
export function findKey(event, view) {
  const found = namesOf(event).map((name) =>
    KEYS.find(({ scope, keys }) => scopes[view].includes(scope) && keys.includes(name)),
  );
  return found.find(Boolean) ?? null;
}

/** How an event may be written in the table: what was typed comes first, then the place of a digit's key. */
export function namesOf({ key: typed, code = "", ctrlKey, metaKey, shiftKey, altKey }) {
  const composed = altKey && ctrlKey && typed.length === 1; // AltGr: [ and ] on many keyboards
  if (altKey && !composed) return [];
  const control = (ctrlKey || metaKey) && !composed ? "Ctrl+" : "";
  let name = typed === " " ? "Space" : typed.length === 1 ? typed.toUpperCase() : typed;
  if (shiftKey && (/^[A-Z]$/.test(name) || name === "Tab")) name = `Shift+${name}`;
  const digit = /^Digit(\d)$/.exec(code)?.[1];
  return digit && shiftKey ? [control + name, `${control}Shift+${digit}`] : [control + name];
}

const PRINTED = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", PageUp: "Page ↑", PageDown: "Page ↓" };

/** How a key is printed. */
export function printKey(name) {
  return name.split("+").length > 1 ? name.split("+").map(printKey).join("+") : (PRINTED[name] ?? name);
}

/** The table for people: [{scope, rows: [{keys, text}]}]; a group of keys is one row. */
export function listKeys() {
  return [BOTH, GRID, EDITOR].map((scope) => ({ scope, rows: KEYS.filter((entry) => entry.scope === scope).reduce(addRow, []) }));
}

function addRow(rows, { keys, text, group }) {
  const last = rows.at(-1);
  if (group && last?.text === text) last.keys.push(...keys.map(printKey));
  else rows.push({ keys: keys.map(printKey), text });
  return rows;
}

/** The key of an action, printed, for buttons. */
export function keyOf(action) {
  const entry = KEYS.find((one) => one.action === action);
  return entry ? printKey(entry.keys[0]) : "";
}
