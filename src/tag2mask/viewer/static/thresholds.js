// Thresholds of classes: the mask follows the slider, painted here from the image's maps.

import { api } from "./api.js";
import { announce, ask, make, note } from "./dom.js";
import { bestOf, paintInto } from "./maps.js";

const NUDGE = 0.02;
const POLL = 500; // milliseconds

const hasThresholds = (maps) => maps.background.kind !== "none";

export class Thresholds {
  constructor(editor) {
    this.editor = editor;
    this.applied = new Map(); // class -> the value that all open images were repainted with
    this.reset();
  }

  reset() {
    this.ready = null;
    this.chosen = new Map(this.applied);
    this.forgetPreview();
  }

  forgetPreview() {
    this.labels = null;
  }

  /** The maps of the image's tags, upsampled once. */
  prepare() {
    const { record, correction } = this.editor;
    this.ready ??= api.maps(record.id, { tags: "given" }).then((maps) => {
      const { width, height } = correction.image;
      return { maps, best: bestOf(maps, record.tags, width, height) };
    });
    return this.ready;
  }

  async show() {
    const { about, record, panel } = this.editor;
    if (!about.has_maps || !about.background) return;
    const ready = await this.prepare().catch((error) => note(error.message));
    if (!ready || record !== this.editor.record) return;
    panel.showThresholds(hasThresholds(ready.maps) ? this.values(ready.maps, record.tags) : null);
  }

  values(maps, tags) {
    const own = (index) => maps.thresholds[maps.classes.indexOf(index)] ?? maps.background.value;
    return Object.fromEntries(tags.map((index) => [index, this.chosen.get(index) ?? own(index)]));
  }

  /** Repaint while a slider moves; the stroke ends when it is let go. */
  async slide(index, value) {
    this.chosen.set(index, value);
    const ready = await this.prepare().catch((error) => note(error.message));
    const { correction, stage, record, about, panel } = this.editor;
    if (!ready || !correction) return;
    const start = performance.now();
    const thresholds = this.values(ready.maps, record.tags);
    this.labels ??= correction.image.data.slice();
    paintInto(this.labels, ready.best, thresholds, about.background, correction.touched);
    stage.show({ ...correction.image, data: this.labels });
    panel.showThresholds(thresholds);
    performance.measure("repaint", { start });
  }

  endSlide() {
    const { correction, stage } = this.editor;
    if (!this.labels || !correction) return;
    const done = correction.replace(this.labels, false);
    this.forgetPreview();
    stage.show(correction.image);
    if (done) this.editor.changed();
  }

  /** The maps if the chosen class has a threshold here; a note says why it has none. */
  async prepareChosen() {
    const {
      record,
      about,
      work: { label },
    } = this.editor;
    if (!about.has_maps) return note(about.no_model);
    if (!record.tags.includes(label)) return note("Thresholds belong to the image's tags: choose one of them.");
    const ready = await this.prepare().catch((error) => note(error.message));
    if (!ready) return null;
    return hasThresholds(ready.maps) ? ready : note("Every pixel of this image gets a class: there is no threshold.");
  }

  async nudge(direction) {
    const {
      record,
      work: { label },
    } = this.editor;
    const ready = await this.prepareChosen();
    if (!ready) return;
    const value = Math.min(Math.max(this.values(ready.maps, record.tags)[label] + direction * NUDGE, 0), 1);
    await this.slide(label, value);
    this.endSlide();
    announce(`Threshold ${value.toFixed(2)}.`);
  }

  async applyToAll() {
    const {
      app,
      record,
      work: { label },
    } = this.editor;
    const ready = await this.prepareChosen();
    if (!ready || !(await this.editor.settle())) return;
    const value = this.values(ready.maps, record.tags)[label];
    const text =
      `All open images with this tag are repainted with the threshold ${value.toFixed(2)}. ` +
      "Accepted and rejected images stay as they are, and so do pixels that you painted.";
    if (
      (await ask(`Threshold of ${this.editor.nameOf(label)}`, make("p", {}, text), [
        ["go", "Repaint"],
        ["", "Cancel"],
      ])) !== "go"
    )
      return;
    await this.editor.loader.repaint(async () => note(await this.runJob(label, value)));
    this.applied.set(label, value);
    await app.reloadRecords();
  }

  async runJob(label, value) {
    const { job } = await api.setThreshold(label, value);
    for (;;) {
      const { done, total, failed } = await api.job(job);
      announce(`${done} of ${total} images repainted.`);
      if (done + failed >= total) return `${done} images repainted${failed ? `, ${failed} failed` : ""}.`;
      await new Promise((resolve) => setTimeout(resolve, POLL));
    }
  }
}
