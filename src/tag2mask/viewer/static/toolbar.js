// The buttons beside the canvas: every one has a key in the table.

import { button, make } from "./dom.js";
import { keyOf } from "./keys.js";

const GROUPS = [
  [
    "Tool",
    [
      ["brush", "Brush"],
      ["eraser", "Eraser"],
      ["snap", "Snap"],
      ["pick", "Select"],
      ["mark", "Mark"],
    ],
  ],
  [
    "Class",
    [
      ["fillHoles", "Fill holes"],
      ["removeSpecks", "Remove specks"],
      ["grow", "Grow"],
      ["shrink", "Shrink"],
    ],
  ],
  [
    "View",
    [
      ["outline", "Outline"],
      ["map", "Map"],
      ["compare", "Compare"],
      ["fit", "Fit"],
    ],
  ],
  [
    "Stroke",
    [
      ["undo", "Undo"],
      ["redo", "Redo"],
    ],
  ],
];
const TOGGLES = new Set(["brush", "eraser", "snap", "pick", "mark", "outline", "map", "compare"]);

export class Toolbar {
  constructor(editor) {
    this.editor = editor;
    this.buttons = new Map();
    this.element = make(
      "aside",
      { className: "toolbar", "aria-label": "Tools" },
      this.sliders(),
      GROUPS.map((group) => this.group(...group)),
    );
  }

  group(title, entries) {
    return make(
      "div",
      { className: "group", role: "group", "aria-label": title },
      make("h3", {}, title),
      entries.map(([action, text]) => this.tool(action, text)),
    );
  }

  tool(action, text) {
    const pressed = TOGGLES.has(action) ? { "aria-pressed": "false" } : {};
    const made = button(text, keyOf(action), () => this.editor.actions[action](), pressed);
    this.buttons.set(action, made);
    return made;
  }

  sliders() {
    const slider = (text, min, max, step, act) => {
      const input = make("input", {
        type: "range",
        min,
        max,
        step,
        "aria-label": text,
        on: { input: () => act(Number(input.value)) },
      });
      const value = make("output");
      return { input, value, element: make("label", { className: "slider" }, make("span", {}, text), value, input) };
    };
    this.size = slider("Brush size", 1, 100, 1, (value) => this.editor.work.setRadius(value));
    this.opacity = slider("Opacity", 0, 100, 5, (value) => this.editor.setOpacity(value / 100));
    this.lock = make("button", {
      type: "button",
      className: "lock",
      "aria-keyshortcuts": "L",
      on: { click: () => this.editor.actions.lock() },
    });
    return make(
      "div",
      { className: "group settings", role: "group", "aria-label": "Settings" },
      this.size.element,
      this.opacity.element,
      make("div", {}, make("h3", {}, "Paint over"), this.lock),
    );
  }

  /** Show the editor's state. */
  update() {
    const { work, opacity, isOutlined, maps, held, correction } = this.editor;
    const { toolName, radius, lockText } = work;
    const on = { [toolName]: true, outline: isOutlined, map: maps.shown !== null, compare: held.isComparing };
    for (const [action, made] of this.buttons)
      if (TOGGLES.has(action)) made.setAttribute("aria-pressed", String(Boolean(on[action])));
    this.buttons.get("undo").disabled = !correction?.history.position;
    this.buttons.get("redo").disabled =
      !correction || correction.history.position === correction.history.strokes.length;
    show(this.size, Math.round(radius), `${Math.round(radius)} px`);
    show(this.opacity, Math.round(opacity * 100), `${Math.round(opacity * 100)} %`);
    this.lock.replaceChildren(make("span", {}, lockText), make("kbd", { "aria-hidden": "true" }, keyOf("lock")));
    this.lock.setAttribute("aria-label", `Paint over ${lockText}: change`);
  }
}

function show({ input, value }, number, text) {
  input.value = number;
  value.textContent = text;
}
