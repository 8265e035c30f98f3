// A mask that is shown before it is taken over: Enter applies it, Escape discards it.

import { announce, make } from "./dom.js";

export class Preview {
  constructor(editor) {
    this.editor = editor;
    this.labels = null;
    this.element = make("div", { className: "preview-bar", role: "group", "aria-label": "Preview", hidden: true });
  }

  reset() {
    this.labels = null;
    this.element.hidden = true;
  }

  get isShown() {
    return this.labels !== null;
  }

  /** Show labels; `touches`: a person who applies them vouches for each changed pixel. */
  show(labels, text, touches) {
    Object.assign(this, { labels, touches });
    this.editor.stage.show({ ...this.editor.correction.image, data: labels });
    this.element.replaceChildren(
      make("span", {}, text),
      this.choice("Apply", "Enter", () => this.apply(), "primary"),
      this.choice("Discard", "Esc", () => this.discard(), ""),
    );
    this.element.hidden = false;
    announce(`${text} Enter applies it, Escape discards it.`);
  }

  choice(text, key, act, className) {
    return make(
      "button",
      { type: "button", className, on: { click: act } },
      text,
      make("kbd", { "aria-hidden": "true" }, key),
    );
  }

  apply() {
    const { labels, touches, editor } = this;
    this.discard();
    editor.marks.reset();
    if (!editor.correction.replace(labels, touches)) return announce("There was nothing to change.");
    editor.stage.recolour();
    editor.changed();
  }

  discard() {
    if (!this.isShown) return;
    this.reset();
    this.editor.stage.show(this.editor.correction.image);
  }
}
