// Brings an image, its mask and this tab's strokes together, and sends them back.

import { api } from "./api.js";
import { Correction } from "./correction.js";
import { note } from "./dom.js";
import { Saving, Stale } from "./saving.js";
import { readStrokes, writeStrokes } from "./store.js";

const KEPT = 3; // decoded pictures: the last, this one and the next
const STATES = { saved: "Saved", unsaved: "Not saved yet", saving: "Saving …", stale: "Changed elsewhere" };

export class ImageLoader {
  constructor(editor) {
    this.editor = editor;
    this.set = editor.about.set;
    this.pictures = new Map();
  }

  async load(record) {
    try {
      const [picture, image, touched, kept] = await Promise.all([
        this.picture(record.id),
        this.labels(record.id, "current"),
        api.mask(record.id, "touched"),
        readStrokes(this.set, record.id).catch(() => null),
      ]);
      if (this.editor.record !== record) return;
      const server = { id: record.id, image, touched: touched.data, etag: image.etag ?? record.etag };
      this.begin(picture, Correction.restore(server, kept));
      this.preload();
    } catch (error) {
      if (this.editor.record === record) note(`${record.name}: ${error.message}`);
    }
  }

  begin(picture, correction) {
    const { editor } = this;
    const saving = new Saving(
      correction,
      (snapshot, etag) => this.send(correction, snapshot, etag),
      (state, error) => {
        editor.panel.showSaved(
          state,
          state === "failed" ? `Not saved: ${error.message} Ctrl+S tries again.` : STATES[state],
        );
        if (state === "saved" || state === "unsaved") this.remember(correction);
        if (state === "stale") editor.conflict();
      },
    );
    editor.panel.showSaved("saved", correction.touched.includes(255) ? "Saved" : "");
    editor.loaded(picture, correction, saving);
  }

  async send(correction, snapshot, etag) {
    const { width, height } = correction.image;
    const answer = await api.putMask(correction.id, { width, height, ...snapshot }, etag);
    const record = this.editor.app.records.get(correction.id);
    Object.assign(record, answer, { corrected: true });
    return answer.etag;
  }

  /** Keep the strokes in this tab, so that a reload loses nothing. */
  remember(correction) {
    writeStrokes(this.set, correction.id, correction.toRecord()).catch(() => null);
  }

  /** The server changes the mask itself: what it paints is one stroke here, and saved already. */
  async repaint(act) {
    const { correction, stage } = this.editor;
    try {
      await act();
      const image = await this.labels(correction.id, "current");
      correction.replace(image.data, false);
      correction.markSaved(correction.snapshot(), image.etag);
      this.remember(correction);
      stage.show(correction.image);
      this.editor.update();
    } catch (error) {
      if (error instanceof Stale) this.editor.conflict();
      else note(error.message);
    }
  }

  /** Labels as wide as the ignored label needs. */
  async labels(id, which) {
    const image = await api.mask(id, which);
    const wide = this.editor.about.ignore > 255;
    return wide && image.data.BYTES_PER_ELEMENT === 1 ? { ...image, data: Uint16Array.from(image.data) } : image;
  }

  picture(id) {
    const known = this.pictures.get(id) ?? api.picture(id, this.editor.about.version);
    this.pictures.delete(id);
    this.pictures.set(id, known);
    known.catch(() => this.pictures.delete(id));
    for (const old of [...this.pictures.keys()].slice(0, -KEPT)) this.pictures.delete(old);
    return known;
  }

  preload() {
    const { queue } = this.editor.app;
    const next = queue[queue.indexOf(this.editor.record.id) + 1];
    if (next !== undefined) this.picture(next).catch(() => null);
  }
}
