// One image's mask while it is corrected: labels, what a person touched, locks, undo.

import { History, packChange, packStroke, redoStroke, takeBack } from "./history.js";

export class Correction {
  /** `image` is {width, height, data}, `touched` one byte per pixel, `etag` the server's version of both. */
  constructor({ id, image, touched, etag, history = new History(), base = image.data.slice() }) {
    Object.assign(this, { id, image, touched, etag, history, base });
    this.lock = null; // null: paint everywhere; a label: only over it
    this.before = null;
  }

  get isSaved() {
    return this.history.isSaved;
  }

  /** Whether pixels may be painted over, as the lock says. */
  isOpen(label) {
    return this.lock === null || this.lock === label;
  }

  /** Paint positions; everything up to `endStroke` is undone together. */
  paint(positions, label) {
    this.before ??= new Map();
    const { data } = this.image;
    for (const at of positions) {
      const old = this.before.get(at) ?? data[at];
      if (!this.isOpen(old)) continue;
      this.before.set(at, old);
      data[at] = label;
    }
  }

  /** Paint parts that have a label each: [{positions, label}]. */
  paintParts(parts) {
    for (const { positions, label } of parts) this.paint(positions, label);
  }

  /** Finish a stroke; false if nothing was painted. */
  endStroke() {
    const before = this.before;
    this.before = null;
    if (!before?.size) return false;
    this.history.add(packStroke(before, this.image.data, this.touched));
    for (const at of before.keys()) this.touched[at] = 255;
    return true;
  }

  /** Take over another mask as one stroke; `touches`: a person chose each of its pixels. */
  replace(labels, touches) {
    const stroke = packChange(this.image.data, labels, this.touched, touches);
    if (!stroke.runs.length) return false;
    this.history.add(stroke);
    redoStroke(stroke, this.image.data, this.touched);
    return true;
  }

  undo() {
    const stroke = this.history.undo();
    if (stroke) takeBack(stroke, this.image.data, this.touched);
    return stroke !== null;
  }

  redo() {
    const stroke = this.history.redo();
    if (stroke) redoStroke(stroke, this.image.data, this.touched);
    return stroke !== null;
  }

  /** What is sent to the server, and what it will have when it answers. */
  snapshot() {
    return { data: this.image.data.slice(), touched: this.touched.slice(), mark: this.history.mark() };
  }

  /** The server has this snapshot under a new etag. */
  markSaved(snapshot, etag) {
    this.etag = etag;
    this.base = snapshot.data;
    this.history.markSaved(snapshot.mark);
  }

  /** Drop what is here for what the server has. */
  takeTheirs({ data, touched, etag }) {
    this.image.data.set(data);
    this.touched.set(touched);
    this.restart(data, etag);
  }

  /** Put the pixels changed here since the last saving over what the server has. */
  mergeInto({ data, touched, etag }) {
    const mine = this.image.data.slice();
    const merged = mine.map((label, at) => (label !== this.base[at] ? label : data[at]));
    this.image.data.set(data);
    this.touched.set(touched);
    this.restart(data, etag);
    this.replace(merged, true);
  }

  /** Keep what is here; the next saving replaces the server's version `etag`. */
  keepMine(etag) {
    this.etag = etag;
    this.history.markUnsaved();
  }

  restart(data, etag) {
    this.etag = etag;
    this.base = data.slice();
    this.history = new History();
  }

  /** What survives a reload. */
  toRecord() {
    const { image, touched, base, etag } = this;
    const unsaved = this.isSaved ? null : { data: image.data.slice(), touched: touched.slice(), base: base.slice() };
    return { etag, history: this.history.toRecord(), unsaved };
  }

  /** The correction of an image from the server's state and, if there is one, the record of this tab. */
  static restore({ id, image, touched, etag }, record) {
    if (!record || (record.etag !== etag && !record.unsaved)) return new Correction({ id, image, touched, etag });
    const { unsaved } = record;
    const history = new History(record.history);
    const arrived = unsaved && sameLabels(unsaved.data, image.data); // only the server's answer was lost
    if (arrived) history.markSaved(history.mark());
    if (!unsaved || arrived) return new Correction({ id, image, touched, etag, history });
    const mine = { ...image, data: unsaved.data };
    return new Correction({
      id,
      image: mine,
      touched: unsaved.touched,
      etag: record.etag,
      history,
      base: unsaved.base,
    });
  }
}

function sameLabels(some, others) {
  return some.length === others.length && some.every((label, at) => label === others[at]);
}
