// Beside the image: what it is, the decision, and its classes with tags and thresholds.

import { orderClasses } from "./catalogue.js";
import { button, make } from "./dom.js";
import { keyOf } from "./keys.js";

const MANY = 12; // classes; above it, a search field helps

export class Panel {
  constructor(editor, about) {
    Object.assign(this, { editor, about, rows: new Map() });
    this.title = make("h1");
    this.facts = make("p", { className: "facts" });
    this.reason = make("p", { className: "reason" });
    this.saved = make("p", { className: "saved", role: "status" });
    this.list = make("ul", { className: "classes", "aria-label": "Classes" });
    this.find = make("input", {
      type: "search",
      placeholder: "Find a class",
      "aria-label": "Find a class",
      hidden: about.classes.length <= MANY,
      on: { input: () => this.narrow() },
    });
    this.element = make(
      "aside",
      { className: "panel", "aria-label": "Image and classes" },
      make("div", { className: "about" }, this.title, this.facts, this.reason, this.saved),
      this.decision(),
      this.find,
      this.list,
      this.extras(),
    );
  }

  decision() {
    const { actions } = this.editor.app;
    return make(
      "div",
      { className: "decision" },
      button("Accept", keyOf("accept"), actions.accept, { className: "primary" }),
      button("Reject", keyOf("reject"), actions.reject),
      button("Undo", keyOf("undoStep"), actions.undoStep, {
        className: "quiet",
        "aria-label": "Undo the last accept or reject",
      }),
    );
  }

  extras() {
    const { actions } = this.editor;
    return make(
      "div",
      { className: "extras" },
      this.about.has_maps && this.about.background
        ? button("Threshold for all images", keyOf("thresholdForAll"), actions.thresholdForAll)
        : null,
      button("Copy to similar images", keyOf("similar"), actions.similar),
      button("Spread marks", keyOf("spread"), actions.spread),
    );
  }

  /** Rows for another image: its tags come first and have the first number keys. */
  fill(record) {
    this.title.textContent = record.name;
    const { tags } = record;
    this.order = orderClasses(
      this.about.classes.filter(({ index }) => !this.isBackground(index)),
      tags,
    );
    this.rows.clear();
    this.list.replaceChildren(...this.order.map((one, i) => this.row(one, i, tags.includes(one.index))));
    if (this.about.background)
      this.list.append(
        this.row(
          this.about.classes.find(({ index }) => index === 0),
          -1,
          false,
        ),
      );
    this.describe(record);
    this.narrow();
  }

  isBackground(index) {
    return this.about.background && index === 0;
  }

  describe(record) {
    const { queue } = this.editor.app;
    const [number, count] = [queue.indexOf(record.id), queue.length];
    const iou = record.iou === null ? "" : `IoU ${(record.iou * 100).toFixed(0)}`;
    const place = number < 0 ? "" : `${(number + 1).toLocaleString("en")} of ${count.toLocaleString("en")}`;
    this.facts.textContent = [place, record.split, record.state, iou].filter(Boolean).join(" · ");
    this.reason.textContent = record.reason;
  }

  row({ index, name, color }, place, isTag) {
    const swatch = make("i", { className: "swatch" });
    swatch.style.backgroundColor = color;
    const digit = place < 0 ? "0" : place < 9 ? String(place + 1) : "";
    const pick = make(
      "button",
      {
        type: "button",
        className: "class",
        "aria-pressed": "false",
        ...(digit ? { "aria-keyshortcuts": digit } : {}),
        on: { click: () => this.editor.work.chooseClass(index) },
      },
      swatch,
      make("span", {}, name),
      make("kbd", { "aria-hidden": "true" }, digit),
    );
    const row = make(
      "li",
      { on: { pointerenter: () => this.editor.maps.hover(index), pointerleave: () => this.editor.maps.hover(null) } },
      pick,
    );
    row.append(place < 0 ? make("span", { className: "tag" }) : this.tagBox(index, name, isTag));
    if (isTag && this.about.has_maps && this.about.background) row.append(this.slider(index, name));
    this.rows.set(index, { row, pick, name });
    return row;
  }

  tagBox(index, name, isTag) {
    return make(
      "label",
      { className: "tag", title: "The image has this tag" },
      make("input", {
        type: "checkbox",
        checked: isTag,
        "aria-label": `${name} is a tag of the image`,
        on: { change: () => this.editor.toggleTag(index) },
      }),
    );
  }

  slider(index, name) {
    const input = make("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      "aria-label": `Threshold of ${name}`,
      "data-threshold": index,
      on: {
        input: () => this.editor.thresholds.slide(index, Number(input.value)),
        change: () => this.editor.thresholds.endSlide(),
      },
    });
    const value = make("output");
    return make("div", { className: "threshold" }, input, value);
  }

  /** Show the thresholds as they are now; null hides all. A tag that was just added has none until its map is here. */
  showThresholds(thresholds) {
    for (const input of this.list.querySelectorAll("[data-threshold]")) {
      const value = thresholds?.[input.dataset.threshold];
      input.parentElement.hidden = value === undefined;
      if (value === undefined) continue;
      input.value = value;
      input.nextElementSibling.textContent = value.toFixed(2);
    }
  }

  showChosen(index) {
    for (const [one, { pick }] of this.rows) pick.setAttribute("aria-pressed", String(one === index));
  }

  showSaved(state, text) {
    this.saved.dataset.state = state;
    this.saved.textContent = text;
  }

  narrow() {
    const wanted = this.find.hidden ? "" : this.find.value.toLowerCase();
    for (const { row, name } of this.rows.values()) row.hidden = !name.toLowerCase().includes(wanted);
  }
}
