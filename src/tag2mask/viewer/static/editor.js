// One image: its canvas, tools and classes. Painting is here; maps, previews and comparisons have files of their own.

import { announce, make, note } from "./dom.js";
import { HeldView } from "./held.js";
import { ImageLoader } from "./loader.js";
import { MapView } from "./map_view.js";
import { Marks } from "./marks.js";
import { Panel } from "./panel.js";
import { listenToPointer } from "./pointer.js";
import { edge, holes, indexSegments, rim, specks } from "./regions.js";
import { resolveConflict } from "./conflict.js";
import { copyToSimilar } from "./similar.js";
import { colourTable } from "./colours.js";
import { Camera, Stage } from "./stage.js";
import { Thresholds } from "./thresholds.js";
import { Toolbar } from "./toolbar.js";
import { makeTools } from "./tools.js";
import { api } from "./api.js";

const SMALLEST = 64; // pixels; smaller components are specks
const RADII = [1, 200]; // pixels of the image
const SEGMENT_SIZES = ["small", "medium", "large"];
const STEP = 1.2; // zoom and brush, per key
const TOOL_TEXTS = {
  brush: "Brush", eraser: "Eraser", snap: "Snap", pick: "Select a component", mark: "Mark patches, then spread them",
};

export class EditorView {
  name = "editor";

  constructor(app) {
    this.app = app;
    this.about = app.about;
    Object.assign(this, { record: null, correction: null, saving: null, label: null, segments: null, selection: [], place: null });
    Object.assign(this, { toolName: "brush", radius: 8, opacity: 0.6, isOutlined: false, segmentSize: 1, preview: null });
    this.eraserLabel = this.about.background ? 0 : this.about.ignore;
    this.table = colourTable(this.about.classes, this.about.background, this.about.ignore);
    this.camera = new Camera();
    this.tools = makeTools(this);
    this.thresholds = new Thresholds(this);
    this.maps = new MapView(this);
    this.marks = new Marks(this);
    this.loader = new ImageLoader(this);
    this.actions = this.listActions();
    this.build();
    addEventListener("beforeunload", (event) => this.correction && !this.correction.isSaved && event.preventDefault());
    document.addEventListener("visibilitychange", () => document.hidden && this.saving?.flush());
  }

  build() {
    this.canvas = make("canvas", { className: "stage", tabIndex: 0, role: "application" });
    this.hint = make("p", { className: "hint" });
    this.bar = make("div", { className: "preview-bar", role: "group", "aria-label": "Preview", hidden: true });
    this.stages = make("div", { className: "stages" }, make("div", { className: "frame" }, this.canvas));
    this.toolbar = new Toolbar(this);
    this.panel = new Panel(this, this.about);
    this.element = make("section", { className: "editor-view", "aria-label": "One image" },
      this.toolbar.element, make("div", { className: "middle" }, this.bar, this.stages, this.hint), this.panel.element);
    this.stage = new Stage(this.canvas, this.camera, this.table);
    this.held = new HeldView(this);
    listenToPointer(this);
  }

  listActions() {
    const numbered = (name, act) => Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`${name}${i + 1}`, () => act(i)]));
    const tool = (name) => [name, () => this.setTool(name)];
    return {
      ...numbered("class", (i) => this.panel.order[i] && this.chooseClass(this.panel.order[i].index)),
      ...numbered("tag", (i) => this.panel.order[i] && this.toggleTag(this.panel.order[i].index)),
      ...Object.fromEntries(["brush", "eraser", "snap", "pick", "mark"].map(tool)),
      class0: () => this.chooseClass(this.eraserLabel),
      next: () => this.step(1),
      previous: () => this.step(-1),
      spread: () => this.marks.spread(),
      smaller: () => this.setRadius(this.radius / STEP),
      larger: () => this.setRadius(this.radius * STEP),
      cycleSegments: () => this.cycleSegments(),
      cursorLeft: () => this.arrow(-1, 0),
      cursorRight: () => this.arrow(1, 0),
      cursorUp: () => this.arrow(0, -1),
      cursorDown: () => this.arrow(0, 1),
      apply: () => this.apply(),
      lock: () => this.cycleLock(),
      fillHoles: () => this.change((image) => [{ positions: holes(image, this.label), label: this.label }], "Holes filled"),
      removeSpecks: () => this.change((image) => specks(image, SMALLEST), "Specks removed"),
      grow: () => this.change((image) => [{ positions: rim(image, this.label), label: this.label }], "Grown"),
      shrink: () => this.change((image) => edge(image, this.label), "Shrunk"),
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
      zoomIn: () => this.zoom(STEP),
      zoomOut: () => this.zoom(1 / STEP),
      fit: () => this.correction && this.stage.fit(),
      back: () => this.back(),
    };
  }

  // Coming and going

  async enter(id) {
    const main = document.getElementById("main");
    if (!main.contains(this.element)) main.replaceChildren(this.element);
    if (this.record && this.record.id !== id && !(await this.settle())) return this.app.show(`#/image/${this.record.id}`);
    this.reset(this.app.records.get(id));
    await this.loader.load(this.record);
  }

  reset(record) {
    Object.assign(this, { record, correction: null, saving: null, segments: null, selection: [], place: null, preview: null });
    this.bar.hidden = true;
    for (const part of [this.thresholds, this.maps, this.marks, this.held]) part.reset();
    this.stage.highlight([]);
    this.panel.fill(record, this.app.queue.indexOf(record.id), this.app.queue.length);
    const wanted = record.tags.includes(this.label) ? this.label : this.panel.order[0].index;
    this.setLabel(wanted);
  }

  /** Everything for the image is here: called by the loader. */
  loaded(picture, correction, saving) {
    Object.assign(this, { correction, saving });
    this.stage.load(picture, correction.image);
    this.stage.fit();
    this.held.loaded();
    this.canvas.focus({ preventScroll: true });
    if (this.toolName === "snap") this.loadSegments();
    this.thresholds.show();
    this.update();
    if (!correction.isSaved) saving.changed();
  }

  async leave() {
    await this.settle();
  }

  /** Save what is open; false where a question has to be answered first. */
  async settle() {
    this.discard();
    return !this.saving || this.saving.flush();
  }

  current() {
    return this.record?.id ?? null;
  }

  goOn() {
    this.step(1);
  }

  goTo(id) {
    if (id === this.record.id) return this.stateChanged(this.record);
    this.app.show(`#/image/${id}`);
  }

  step(by) {
    const { queue } = this.app;
    const id = queue[queue.indexOf(this.record.id) + by];
    if (id === undefined) return note(by > 0 ? "This was the last image of the list." : "This is the first image of the list.");
    this.app.show(`#/image/${id}`);
  }

  back() {
    if (this.preview) return this.discard();
    if (this.selection.length) return this.select([]);
    if (this.held.isComparing) return this.held.toggleCompare();
    this.app.show("#/");
  }

  /** The image was accepted, rejected or opened again: it has a new etag. */
  stateChanged(record) {
    if (this.correction?.id !== record.id) return;
    this.correction.etag = record.etag;
    this.remember();
    this.update();
  }

  // Painting

  startTool(place, erase) {
    if (!this.preview) this.tools[this.toolName].down(place, erase);
  }

  moveTool(place) {
    if (!this.preview) this.tools[this.toolName].move(place);
  }

  endTool() {
    if (!this.preview) this.tools[this.toolName].up();
  }

  hoverAt(place) {
    this.place = place ?? this.place;
    const { cursor, positions } = place ? this.tools[this.toolName].hover(place) : { cursor: null, positions: this.selection };
    this.stage.set({ cursor });
    this.stage.highlight(positions);
    this.held.showCursor(cursor);
  }

  painted(y0, y1) {
    this.stage.recolour(Math.floor(y0), Math.ceil(y1) + 1);
  }

  endStroke() {
    if (this.correction.endStroke()) this.changed();
  }

  /** The mask changed as one stroke: keep it here, save it soon. */
  changed() {
    this.remember();
    this.saving.changed();
    this.thresholds.forgetPreview();
    this.update();
  }

  remember() {
    this.loader.remember(this.correction);
  }

  change(find, text) {
    if (!this.correction || this.preview) return;
    this.correction.paintParts(find(this.correction.image));
    const done = this.correction.endStroke();
    this.stage.recolour();
    announce(done ? `${text}.` : "There was nothing to change.");
    if (done) this.changed();
  }

  travel(direction) {
    this.discard();
    if (!this.correction?.[direction]()) return;
    this.stage.recolour();
    this.select([]);
    this.changed();
  }

  chooseClass(label) {
    this.setLabel(label);
    if (!this.selection.length) return;
    const positions = this.selection;
    this.select([]);
    this.change(() => [{ positions, label }], "Relabelled");
  }

  setLabel(label) {
    this.label = label;
    this.panel.showChosen(label);
    this.maps.follow();
    this.update();
  }

  select(positions) {
    this.selection = positions;
    this.stage.highlight(positions);
    this.update();
  }

  setTool(name) {
    this.toolName = name;
    if (name !== "pick") this.select([]);
    if (name === "snap") this.loadSegments();
    this.hoverAt(this.place);
    this.update();
  }

  setRadius(radius) {
    this.radius = Math.min(Math.max(radius, RADII[0]), RADII[1]);
    if (this.place) this.hoverAt(this.place);
    this.update();
  }

  setOpacity(opacity) {
    this.opacity = Math.min(Math.max(opacity, 0), 1);
    this.stage.set({ opacity: this.opacity });
    this.update();
  }

  setOutline(outline) {
    this.isOutlined = outline;
    this.stage.set({ outline });
    this.update();
  }

  cycleSegments() {
    if (this.toolName !== "snap") return;
    this.segmentSize = (this.segmentSize + 1) % SEGMENT_SIZES.length;
    this.loadSegments();
  }

  async loadSegments() {
    const { record, segmentSize } = this;
    this.segments = null;
    this.update();
    const image = await api.superpixels(record.id, segmentSize).catch((error) => note(error.message));
    if (!image || record !== this.record || segmentSize !== this.segmentSize) return;
    this.segments = indexSegments(image);
    if (this.place) this.hoverAt(this.place);
    this.update();
  }

  cycleLock() {
    if (!this.correction) return;
    const at = this.place ? this.stage.positionAt(this.place) : -1;
    const under = at < 0 ? this.label : this.correction.image.data[at];
    const { lock } = this.correction;
    this.correction.lock = lock === null ? this.eraserLabel : lock === this.eraserLabel && under !== lock ? under : null;
    announce(this.lockText);
    this.update();
  }

  get lockText() {
    const lock = this.correction?.lock ?? null;
    if (lock === null) return "Paint over everything";
    return lock === this.eraserLabel ? `Only over ${this.nameOf(lock)}` : `Only over ${this.nameOf(lock)}`;
  }

  nameOf(label) {
    return this.app.classNames[label] ?? "ignored pixels";
  }

  /** Arrows move the brush, or choose layer and head while a map is shown. */
  arrow(dx, dy) {
    if (this.mapShown !== null && this.about.layers) return this.maps.choose(dx, -dy);
    if (!this.correction) return;
    const { width, height } = this.correction.image;
    const by = Math.max(this.radius / 2, 1);
    const from = this.place ?? { x: width / 2, y: height / 2 };
    const clip = (value, most) => Math.min(Math.max(value, 0.5), most - 0.5);
    this.hoverAt({ x: clip(from.x + dx * by, width), y: clip(from.y + dy * by, height) });
  }

  apply() {
    if (this.preview) return this.acceptPreview();
    if (!this.correction || !this.place) return;
    this.startTool(this.place, false);
    this.endTool();
    this.hoverAt(this.place);
  }

  zoom(factor) {
    const place = this.place ?? { x: this.correction.image.width / 2, y: this.correction.image.height / 2 };
    const { scale, x, y } = this.camera;
    this.camera.zoom(factor, place.x * scale + x, place.y * scale + y);
  }

  // Previews

  /** Show labels that are applied or discarded. */
  showPreview(labels, text, touches) {
    this.preview = { labels, touches };
    this.stage.show({ ...this.correction.image, data: labels });
    const choose = (key, name, act, className) =>
      make("button", { type: "button", className, on: { click: act } }, name, make("kbd", { "aria-hidden": "true" }, key));
    this.bar.replaceChildren(make("span", {}, text),
      choose("Enter", "Apply", () => this.acceptPreview(), "primary"), choose("Esc", "Discard", () => this.discard(), ""));
    this.bar.hidden = false;
    announce(`${text} Enter applies it, Escape discards it.`);
  }

  acceptPreview() {
    const { labels, touches } = this.preview;
    this.discard();
    this.marks.reset();
    if (!this.correction.replace(labels, touches)) return announce("There was nothing to change.");
    this.stage.recolour();
    this.changed();
  }

  discard() {
    if (!this.preview) return;
    this.preview = null;
    this.bar.hidden = true;
    this.stage.show(this.correction.image);
  }

  // What the parts ask for

  mark(place) {
    this.marks.add(place);
  }

  unmark(place) {
    this.marks.remove(place);
  }

  slide(index, value) {
    this.thresholds.slide(index, value);
  }

  endSlide() {
    this.thresholds.endSlide();
  }

  hoverClass(index) {
    this.maps.hover(index);
  }

  get mapShown() {
    return this.maps.shown;
  }

  get isComparing() {
    return this.held.isComparing;
  }

  hold(action, down) {
    this.held.hold(action, down);
  }

  async toggleTag(index) {
    const { record } = this;
    if (!this.correction || !(await this.settle())) return;
    const tags = record.tags.includes(index) ? record.tags.filter((tag) => tag !== index) : [...record.tags, index].sort((a, b) => a - b);
    await this.loader.repaint(async () => {
      const answer = await api.setTags(record.id, tags, this.correction.etag);
      Object.assign(record, answer);
      announce(`${this.nameOf(index)} is ${tags.includes(index) ? "" : "no longer "}a tag; the mask is repainted.`);
    });
    this.thresholds.reset();
    this.panel.fill(record, this.app.queue.indexOf(record.id), this.app.queue.length);
    this.panel.showChosen(this.label);
    this.thresholds.show();
  }

  /** Another tab or person was faster: ask what to do. */
  conflict(etag) {
    return resolveConflict(this, etag);
  }

  update() {
    this.toolbar.update();
    if (!this.record) return;
    this.panel.describe(this.record, this.app.queue.indexOf(this.record.id), this.app.queue.length);
    const sizes = this.toolName === "snap" ? `, ${SEGMENT_SIZES[this.segmentSize]} superpixels${this.segments ? "" : " …"}` : "";
    const chosen = this.selection.length ? " · now choose its class" : ` · ${this.nameOf(this.label)}`;
    this.hint.textContent = `${TOOL_TEXTS[this.toolName]}${sizes}${chosen}${this.maps.text}`;
    this.canvas.setAttribute("aria-label", `Mask of ${this.record.name}. ${this.hint.textContent}. ${this.lockText}.`);
  }
}
