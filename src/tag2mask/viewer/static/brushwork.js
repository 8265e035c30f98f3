// Painting by hand: tool, class, brush, lock, selection, superpixels, and where the brush is.

import { api } from "./api.js";
import { announce, note } from "./dom.js";
import { edge, holes, indexSegments, rim, specks } from "./regions.js";
import { makeTools } from "./tools.js";

const SMALLEST = 64; // pixels; smaller components are specks
const RADII = [1, 200]; // pixels of the image
const SEGMENT_SIZES = ["small", "medium", "large"];
const STEP = 1.2; // the brush, per key
const TOOL_TEXTS = {
  brush: "Brush",
  eraser: "Eraser",
  snap: "Snap",
  pick: "Select a component",
  mark: "Mark patches, then spread them",
};

export class Brushwork {
  constructor(editor) {
    this.editor = editor;
    Object.assign(this, { toolName: "brush", radius: 8, label: null, segmentSize: 1, down: false });
    this.eraserLabel = editor.about.background ? 0 : editor.about.ignore;
    this.tools = makeTools(this);
    this.forget();
  }

  /** Another image. */
  forget() {
    Object.assign(this, { selection: [], place: null, segments: null, down: false });
  }

  loaded() {
    if (this.toolName === "snap") this.loadSegments();
  }

  get correction() {
    return this.editor.correction;
  }

  get stage() {
    return this.editor.stage;
  }

  get marks() {
    return this.editor.marks;
  }

  listActions() {
    const tool = (name) => [name, () => this.setTool(name)];
    const ofLabel = (find) => (image) => [{ positions: find(image, this.label), label: this.label }];
    return {
      ...Object.fromEntries(Object.keys(TOOL_TEXTS).map(tool)),
      class0: () => this.chooseClass(this.eraserLabel),
      smaller: () => this.setRadius(this.radius / STEP),
      larger: () => this.setRadius(this.radius * STEP),
      cycleSegments: () => this.cycleSegments(),
      lock: () => this.cycleLock(),
      fillHoles: () => this.change(ofLabel(holes), "Holes filled"),
      removeSpecks: () => this.change((image) => specks(image, SMALLEST), "Specks removed"),
      grow: () => this.change(ofLabel(rim), "Grown"),
      shrink: () => this.change((image) => edge(image, this.label), "Shrunk"),
    };
  }

  // The pointer

  start(place, erase) {
    this.down = !this.editor.preview;
    if (this.down) this.tools[this.toolName].down(place, erase);
  }

  move(place) {
    if (this.down) this.tools[this.toolName].move(place);
  }

  end() {
    if (this.down) this.tools[this.toolName].up();
    this.down = false;
  }

  hoverAt(place) {
    this.place = place ?? this.place;
    const seen = place ? this.tools[this.toolName].hover(place) : { cursor: null, positions: this.selection };
    this.stage.set({ cursor: seen.cursor });
    this.stage.highlight(seen.positions);
    this.editor.held.showCursor(seen.cursor);
  }

  /** Use the tool where the brush is, without a pointer. */
  useHere() {
    if (!this.correction || !this.place) return;
    this.start(this.place, false);
    this.end();
    this.hoverAt(this.place);
  }

  moveBrush(dx, dy) {
    if (!this.correction) return;
    const { width, height } = this.correction.image;
    const by = Math.max(this.radius / 2, 1);
    const from = this.place ?? { x: width / 2, y: height / 2 };
    const clip = (value, most) => Math.min(Math.max(value, 0.5), most - 0.5);
    this.hoverAt({ x: clip(from.x + dx * by, width), y: clip(from.y + dy * by, height) });
  }

  // What tools do

  painted(y0, y1) {
    this.stage.recolour(Math.floor(y0), Math.ceil(y1) + 1);
  }

  endStroke() {
    if (this.correction.endStroke()) this.editor.changed();
  }

  change(find, text) {
    if (!this.correction || this.editor.preview) return;
    this.correction.paintParts(find(this.correction.image));
    const done = this.correction.endStroke();
    this.stage.recolour();
    announce(done ? `${text}.` : "There was nothing to change.");
    if (done) this.editor.changed();
  }

  select(positions) {
    this.selection = positions;
    this.stage.highlight(positions);
    this.editor.update();
  }

  // What is chosen

  /** A class for the brush; a selected component is relabelled whole. */
  chooseClass(label) {
    this.setLabel(label);
    const positions = this.selection;
    if (!positions.length) return;
    this.select([]);
    this.change(() => [{ positions, label }], "Relabelled");
  }

  setLabel(label) {
    this.label = label;
    this.editor.panel.showChosen(label);
    this.editor.maps.follow();
    this.editor.update();
  }

  setTool(name) {
    this.toolName = name;
    if (name !== "pick") this.selection = [];
    if (name === "snap" && this.correction) this.loadSegments();
    if (this.correction) this.hoverAt(this.place);
    this.editor.update();
  }

  setRadius(radius) {
    this.radius = Math.min(Math.max(radius, RADII[0]), RADII[1]);
    if (this.place) this.hoverAt(this.place);
    this.editor.update();
  }

  cycleSegments() {
    if (this.toolName !== "snap") return;
    this.segmentSize = (this.segmentSize + 1) % SEGMENT_SIZES.length;
    this.loadSegments();
  }

  async loadSegments() {
    const { segmentSize } = this;
    const { record } = this.editor;
    this.segments = null;
    this.editor.update();
    const image = await api
      .superpixels(record.id, segmentSize, this.editor.about.version)
      .catch((error) => note(error.message));
    if (!image || record !== this.editor.record || segmentSize !== this.segmentSize) return;
    this.segments = indexSegments(image);
    if (this.place) this.hoverAt(this.place);
    this.editor.update();
  }

  cycleLock() {
    if (!this.correction) return;
    const at = this.place ? this.stage.positionAt(this.place) : -1;
    const under = at < 0 ? this.label : this.correction.image.data[at];
    const { lock } = this.correction;
    if (lock === null) this.correction.lock = this.eraserLabel;
    else this.correction.lock = lock === this.eraserLabel && under !== lock ? under : null;
    announce(`Paint over ${this.lockText}.`);
    this.editor.update();
  }

  get lockText() {
    const lock = this.correction?.lock ?? null;
    return lock === null ? "everything" : `only ${this.editor.nameOf(lock)}`;
  }

  get text() {
    const sizes =
      this.toolName === "snap" ? `, ${SEGMENT_SIZES[this.segmentSize]} superpixels${this.segments ? "" : " …"}` : "";
    const chosen = this.selection.length ? "now choose its class" : this.editor.nameOf(this.label);
    return `${TOOL_TEXTS[this.toolName]}${sizes} · ${chosen}`;
  }
}
