// Marked patches: features spread their labels over the image, shown before they are applied.

import { api } from "./api.js";
import { note } from "./dom.js";

const NEAR = 12; // canvas pixels: a right click this close removes a mark

export class Marks {
  constructor(editor) {
    this.editor = editor;
    this.all = [];
  }

  reset() {
    this.all = [];
    this.show();
  }

  add({ x, y }) {
    if (this.editor.stage.positionAt({ x, y }) < 0) return;
    this.all.push({ label: this.editor.work.label, x, y });
    this.show();
  }

  remove({ x, y }) {
    const near = NEAR / this.editor.camera.scale;
    this.all = this.all.filter((mark) => Math.hypot(mark.x - x, mark.y - y) > near);
    this.show();
  }

  show() {
    const { about } = this.editor;
    const colors = Object.fromEntries(about.classes.map(({ index, color }) => [index, color]));
    this.editor.stage.set({ marks: this.all.map(({ label, x, y }) => ({ x, y, color: colors[label] ?? "#808080" })) });
  }

  async spread() {
    const { record, about } = this.editor;
    if (about.no_model) return note(about.no_model);
    if (!this.all.length) return note("Mark some patches first: K, then click.");
    const labels = [...new Set(this.all.map(({ label }) => label))];
    const marks = labels.map((label) => ({
      class: label,
      points: this.all.filter((mark) => mark.label === label).map(({ x, y }) => [Math.floor(x), Math.floor(y)]),
    }));
    const image = await api.spread(record.id, marks).catch((error) => note(error.message));
    if (!image || record !== this.editor.record) return;
    const count = this.all.length;
    const typed = this.editor.correction.image.data.constructor.from(image.data);
    this.editor.pending.show(typed, `Spread from ${count} ${count === 1 ? "mark" : "marks"}.`, true);
  }
}
