// One image: its canvas, tools and classes. Its parts have files of their own; this one brings them together.

import { api } from "./api.js";
import { Brushwork } from "./brushwork.js";
import { colourTable } from "./colours.js";
import { resolveConflict } from "./conflict.js";
import { announce, make, note } from "./dom.js";
import { HeldView } from "./held.js";
import { ImageLoader } from "./loader.js";
import { MapView } from "./map_view.js";
import { Marks } from "./marks.js";
import { Panel } from "./panel.js";
import { listenToPointer } from "./pointer.js";
import { Preview } from "./previews.js";
import { copyToSimilar } from "./similar.js";
import { Camera, Stage } from "./stage.js";
import { Thresholds } from "./thresholds.js";
import { Toolbar } from "./toolbar.js";

const ZOOM = 1.25; // per key

export class EditorView {
  name = "editor";

  constructor(app) {
    this.app = app;
    this.about = app.about;
    Object.assign(this, { record: null, correction: null, saving: null, opacity: 0.6, isOutlined: false });
    this.table = colourTable(this.about.classes, this.about.background, this.about.ignore);
    this.camera = new Camera();
    this.work = new Brushwork(this);
    this.thresholds = new Thresholds(this);
    this.maps = new MapView(this);
    this.marks = new Marks(this);
    this.pending = new Preview(this);
    this.loader = new ImageLoader(this);
    this.actions = this.listActions();
    this.build();
    addEventListener("beforeunload", (event) => this.correction && !this.correction.isSaved && event.preventDefault());
    document.addEventListener("visibilitychange", () => document.hidden && this.saving?.flush());
  }

  build() {
    this.canvas = make("canvas", { className: "stage", tabIndex: 0, role: "application" });
    this.hint = make("p", { className: "hint" });
    this.stages = make("div", { className: "stages" }, make("div", { className: "frame" }, this.canvas));
    this.toolbar = new Toolbar(this);
    this.panel = new Panel(this, this.about);
    this.element = make(
      "section",
      { className: "editor-view", "aria-label": "One image" },
      this.toolbar.element,
      make("div", { className: "middle" }, this.pending.element, this.stages, this.hint),
      this.panel.element,
    );
    this.stage = new Stage(this.canvas, this.camera, this.table);
    this.held = new HeldView(this);
    listenToPointer(this);
  }

  listActions() {
    const numbered = (name, act) =>
      Object.fromEntries(
        Array.from({ length: 9 }, (_, i) => [
          `${name}${i + 1}`,
          () => this.panel.order[i] && act(this.panel.order[i].index),
        ]),
      );
    return {
      ...numbered("class", (index) => this.work.chooseClass(index)),
      ...numbered("tag", (index) => this.toggleTag(index)),
      ...this.work.listActions(),
      next: () => this.step(1),
      previous: () => this.step(-1),
      cursorLeft: () => this.arrow(-1, 0),
      cursorRight: () => this.arrow(1, 0),
      cursorUp: () => this.arrow(0, -1),
      cursorDown: () => this.arrow(0, 1),
      apply: () => (this.preview ? this.pending.apply() : this.work.useHere()),
      spread: () => this.marks.spread(),
      lower: () => this.thresholds.nudge(-1),
      raise: () => this.thresholds.nudge(1),
      thresholdForAll: () => this.thresholds.applyToAll(),
      undo: () => this.travel("undo"),
      redo: () => this.travel("redo"),
      save: () => this.saving?.flush(),
      outline: () => this.setOutline(!this.isOutlined),
      fainter: () => this.setOpacity(this.opacity - 0.1),
      stronger: () => this.setOpacity(this.opacity + 0.1),
      map: () => this.maps.toggle(),
      compare: () => this.held.toggleCompare(),
      similar: () => copyToSimilar(this),
      zoomIn: () => this.zoom(ZOOM),
      zoomOut: () => this.zoom(1 / ZOOM),
      fit: () => this.correction && this.stage.fit(),
      back: () => this.back(),
    };
  }

  // Coming and going

  async enter(id) {
    const main = document.getElementById("main");
    if (!main.contains(this.element)) main.replaceChildren(this.element);
    if (this.record && this.record.id !== id && !(await this.settle()))
      return this.app.show(`#/image/${this.record.id}`);
    this.reset(this.app.records.get(id));
    await this.loader.load(this.record);
  }

  reset(record) {
    Object.assign(this, { record, correction: null, saving: null });
    for (const part of [this.thresholds, this.maps, this.marks, this.held, this.pending]) part.reset();
    delete this.canvas.dataset.ready;
    this.stage.highlight([]);
    this.work.forget();
    this.panel.fill(record);
    this.work.setLabel(record.tags.includes(this.work.label) ? this.work.label : this.panel.order[0].index);
  }

  /** Everything for the image is here: called by the loader. */
  loaded(picture, correction, saving) {
    Object.assign(this, { correction, saving });
    this.stage.load(picture, correction.image);
    this.stage.fit();
    this.held.loaded();
    this.work.loaded();
    this.thresholds.show();
    if (!this.element.contains(document.activeElement)) this.canvas.focus({ preventScroll: true });
    this.update();
    this.canvas.dataset.ready = "";
    if (!correction.isSaved) saving.changed();
  }

  async leave() {
    await this.settle();
  }

  /** Save what is open; false where a question has to be answered first. */
  async settle() {
    this.pending.discard();
    return !this.saving || this.saving.flush();
  }

  current() {
    return this.record?.id ?? null;
  }

  goOn() {
    this.step(1);
  }

  goTo(id) {
    if (id !== this.record.id) this.app.show(`#/image/${id}`);
  }

  step(by) {
    const { queue } = this.app;
    const id = queue[queue.indexOf(this.record.id) + by];
    if (id === undefined)
      return note(by > 0 ? "This was the last image of the list." : "This is the first image of the list.");
    this.app.show(`#/image/${id}`);
  }

  back() {
    if (this.preview) return this.pending.discard();
    if (this.work.selection.length) return this.work.select([]);
    if (this.held.isComparing) return this.held.toggleCompare();
    this.app.show("#/");
  }

  // Changes

  /** The image was accepted, rejected or opened again: it has a new etag. */
  stateChanged(record) {
    if (this.correction?.id !== record.id) return;
    this.correction.etag = record.etag;
    this.loader.remember(this.correction);
    this.update();
  }

  /** The mask changed as one stroke: keep it here, save it soon. */
  changed() {
    this.saving.changed();
    this.thresholds.forgetPreview();
    this.update();
  }

  travel(direction) {
    this.pending.discard();
    if (!this.correction?.[direction]()) return;
    this.stage.recolour();
    this.work.select([]);
    this.changed();
  }

  async toggleTag(index) {
    const { record } = this;
    if (!this.correction || !(await this.settle())) return;
    const isTag = record.tags.includes(index);
    const tags = isTag ? record.tags.filter((tag) => tag !== index) : [...record.tags, index].sort((a, b) => a - b);
    await this.loader.repaint(async () => {
      Object.assign(record, await api.setTags(record.id, tags, this.correction.etag));
      announce(`${this.nameOf(index)} is ${isTag ? "no longer" : "now"} a tag; the mask is repainted.`);
    });
    if (record !== this.record) return;
    this.thresholds.reset();
    this.panel.fill(record);
    this.panel.showChosen(this.work.label);
    this.thresholds.show();
  }

  /** Another tab or person was faster: ask what to do. */
  conflict() {
    return resolveConflict(this);
  }

  // What is shown

  get preview() {
    return this.pending.labels;
  }

  nameOf(label) {
    return this.app.classNames[label] ?? "ignored pixels";
  }

  /** Arrows move the brush, or choose layer and head while a map is shown. */
  arrow(dx, dy) {
    if (this.maps.shown !== null && this.about.layers) this.maps.choose(dx, -dy);
    else this.work.moveBrush(dx, dy);
  }

  zoom(factor) {
    if (!this.correction) return;
    const place = this.work.place ?? { x: this.correction.image.width / 2, y: this.correction.image.height / 2 };
    const { scale, x, y } = this.camera;
    this.camera.zoom(factor, place.x * scale + x, place.y * scale + y);
  }

  setOpacity(opacity) {
    this.opacity = Math.min(Math.max(opacity, 0), 1);
    for (const stage of this.camera.stages) stage.set({ opacity: this.opacity });
    this.update();
  }

  setOutline(outline) {
    this.isOutlined = outline;
    for (const stage of this.camera.stages) stage.set({ outline });
    this.update();
  }

  hold(action, down) {
    this.held.hold(action, down);
  }

  update() {
    this.toolbar.update();
    if (!this.record) return;
    this.panel.describe(this.record);
    this.hint.textContent = this.work.text + this.maps.text;
    this.canvas.setAttribute(
      "aria-label",
      `Mask of ${this.record.name}. ${this.hint.textContent}. Paint over ${this.work.lockText}.`,
    );
  }
}
