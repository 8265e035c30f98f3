// The tiles in view. An element that leaves the view is used again; pictures wait until scrolling slows down.

import { api } from "./api.js";
import { make } from "./dom.js";

const SETTLED = 90; // milliseconds without a change of the range before pictures are asked for
const STATES = { accepted: "✓", rejected: "✕" };

export class Tiles {
  constructor(version, open) {
    this.version = version;
    this.element = make("div", { className: "tiles", role: "presentation" });
    this.used = new Map(); // position -> tile
    this.free = [];
    this.element.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) open(Number(tile.dataset.position));
    });
  }

  idOf(record) {
    return `image-${record.id}`;
  }

  setSize({ height, across }) {
    const size = `${height}/${across}`;
    if (size === this.size) return;
    this.size = size;
    this.element.style.height = `${height}px`;
    this.element.style.setProperty("--across", `${across}px`);
    this.clear();
  }

  clear() {
    for (const tile of this.used.values()) this.release(tile);
    this.used.clear();
  }

  release(tile) {
    tile.element.hidden = true;
    this.free.push(tile);
  }

  /** Show the tiles of a range, at most `most` new ones; return whether that was all. `describe(position)` says what
   *  is where. */
  draw({ start, end }, describe, chosen, most) {
    for (const [position, tile] of this.used) {
      if (position >= start && position < end) continue;
      this.release(tile);
      this.used.delete(position);
    }
    let made = 0;
    for (let position = start; position < end && made < most; position++) {
      if (this.used.has(position)) continue;
      this.used.set(position, this.fill(describe(position)));
      made++;
    }
    for (const [position, { element }] of this.used) setChosen(element, position === chosen);
    this.loadSoon();
    return made < most;
  }

  fill({ record, place, position, count, text, shown }) {
    const tile = this.take(record);
    const { element } = tile;
    element.hidden = false;
    element.id = this.idOf(record);
    element.dataset.position = position;
    element.style.transform = `translate(${place.x}px, ${place.y}px)`;
    element.setAttribute("aria-label", text);
    element.setAttribute("aria-posinset", position + 1);
    element.setAttribute("aria-setsize", count);
    setState(element, record);
    tile.name.textContent = record.name;
    tile.reason.textContent = record.reason || shown;
    tile.iou.textContent = record.iou === null ? "" : `IoU ${(record.iou * 100).toFixed(0)}`;
    tile.state.textContent = STATES[record.state] ?? (record.corrected ? "✎" : "");
    this.point(tile, record);
    return tile;
  }

  /** A tile for a record: the one that shows it already, any free one, or a new one. */
  take(record) {
    const same = this.free.findIndex((tile) => tile.id === record.id);
    const tile = same >= 0 ? this.free.splice(same, 1)[0] : (this.free.shift() ?? this.build());
    tile.id = record.id;
    return tile;
  }

  /** Pictures that this tile has already are shown at once. */
  point(tile, record) {
    const [image, mask] = [api.thumb(record.id, this.version), api.thumbMask(record)];
    tile.wanted = { image, mask };
    if (tile.image.getAttribute("src") !== image) tile.image.removeAttribute("src");
    if (tile.mask.getAttribute("src") !== mask) tile.mask.removeAttribute("src");
  }

  loadSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), SETTLED);
  }

  load() {
    for (const { image, mask, wanted } of this.used.values()) {
      if (!image.hasAttribute("src")) image.src = wanted.image;
      if (!mask.hasAttribute("src")) mask.src = wanted.mask;
    }
  }

  build() {
    const picture = () => make("img", { alt: "", decoding: "async", draggable: "false" });
    const tile = {
      image: picture(),
      mask: picture(),
      name: make("b"),
      reason: make("small"),
      iou: make("span"),
      state: make("i"),
    };
    tile.mask.className = "mask";
    tile.element = make(
      "div",
      { className: "tile", role: "option" },
      make("div", { className: "picture" }, tile.image, tile.mask, tile.state),
      make("div", { className: "line" }, tile.name, tile.iou),
      tile.reason,
    );
    this.element.append(tile.element);
    return tile;
  }
}

function setChosen(element, chosen) {
  const value = String(chosen);
  if (element.getAttribute("aria-selected") !== value) element.setAttribute("aria-selected", value);
}

function setState(element, { state, corrected }) {
  element.dataset.state = state === "open" && corrected ? "corrected" : state;
}
