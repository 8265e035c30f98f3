// A class's map over the image: while the pointer is over the class, or until M is pressed again.

import { api } from "./api.js";
import { note } from "./dom.js";
import { heat, mapOf } from "./maps.js";
import { heatCanvas } from "./stage.js";

const MOST = 100; // classes whose maps are fetched together
const LINGER = 150; // milliseconds over a class before its map is shown

export class MapView {
  constructor(editor) {
    this.editor = editor;
    this.pinned = false;
    this.isMissing = false;
    this.shown = null; // the class whose map is shown
    this.known = new Map(); // "layer/head/classes" -> maps
    [this.layer, this.head] = [null, null];
  }

  reset() {
    this.known.clear();
    clearTimeout(this.timer);
    this.shown = null;
    this.editor.stage.set({ heat: null });
    if (this.pinned) this.pinned = false;
  }

  /** The pointer is over a class, or over none. */
  hover(index) {
    clearTimeout(this.timer);
    if (!this.editor.about.has_maps || this.pinned) return;
    if (index === null) return this.show(null);
    this.timer = setTimeout(() => this.show(index), LINGER);
  }

  toggle() {
    if (!this.editor.about.has_maps) return note(this.editor.about.no_model);
    this.pinned = !this.pinned;
    this.show(this.pinned ? this.editor.work.label : null);
  }

  follow() {
    if (this.pinned) this.show(this.editor.work.label);
  }

  /** Another head (dx) or layer (dy); before the first come all of them together. */
  choose(dx, dy) {
    const { layers, heads } = this.editor.about;
    this.layer = moved(this.layer, dy, layers);
    this.head = dy && this.layer === null ? null : moved(this.head, dx, heads);
    if (this.head !== null) this.layer ??= layers - 1; // a head belongs to a layer
    if (this.shown !== null) this.show(this.shown);
  }

  async show(index) {
    this.shown = index;
    const { stage, record } = this.editor;
    if (index === null) {
      stage.set({ heat: null });
      return this.editor.update();
    }
    const maps = await this.fetch(record, index).catch((error) => note(error.message));
    if (!maps || this.shown !== index || record !== this.editor.record) return;
    const values = mapOf(maps, index);
    this.isMissing = !values;
    stage.set({ heat: values && heatCanvas(heat(values), maps.width, maps.height) });
    this.editor.update();
  }

  fetch(record, index) {
    const { layer, head } = this;
    const tags = this.editor.about.classes.length > MOST ? String(index) : "all";
    const name = `${layer}/${head}/${tags}`;
    if (!this.known.has(name)) {
      const asked = api.maps(record.id, { tags, layer, head });
      asked.catch(() => this.known.delete(name));
      this.known.set(name, asked);
    }
    return this.known.get(name);
  }

  get text() {
    if (this.shown === null) return "";
    const { layers, first_layer: first } = this.editor.about;
    const inside = layers ? `, ${part("layer", this.layer, first)}, ${part("head", this.head)}` : "";
    if (this.isMissing) return ` · no map of ${this.editor.nameOf(this.shown)} here`;
    return ` · map of ${this.editor.nameOf(this.shown)}${inside}`;
  }
}

const part = (name, place, first = 0) => (place === null ? `all ${name}s` : `${name} ${first + place + 1}`);

/** Step through null (all), 0, 1, ..., count - 1 and around. */
function moved(place, by, count) {
  const next = ((place ?? -1) + 1 + by + count + 1) % (count + 1);
  return next === 0 ? null : next - 1;
}
