// Corrections go to the server a moment after a stroke, one at a time; a stale version is a question, not an error.

export const PAUSE = 600; // milliseconds without a stroke before a batch is saved

/** Thrown by `send` when the server has a newer version. */
export class Stale extends Error {
  constructor(etag) {
    super("The mask was changed elsewhere.");
    this.etag = etag;
  }
}

/** Saves one correction. `send(snapshot, etag)` returns the new etag; `report(state, error)` shows what happens. */
export class Saving {
  constructor(correction, send, report, pause = PAUSE) {
    Object.assign(this, { correction, send, report, pause });
    this.timer = null;
    this.running = null;
    this.held = false; // a question about a conflict is open
  }

  /** Something changed: save after a pause. */
  changed() {
    clearTimeout(this.timer);
    this.report(this.correction.isSaved ? "saved" : "unsaved");
    this.timer = setTimeout(() => this.flush(), this.pause);
  }

  /** Save now; true once the server has everything. */
  async flush() {
    clearTimeout(this.timer);
    while (this.running) await this.running;
    if (this.held) return false;
    if (this.correction.isSaved) return true;
    this.running = this.sendOnce();
    const done = await this.running;
    return done && (this.correction.isSaved || this.flush());
  }

  async sendOnce() {
    this.report("saving");
    const snapshot = this.correction.snapshot();
    try {
      this.correction.markSaved(snapshot, await this.send(snapshot, this.correction.etag));
      this.report(this.correction.isSaved ? "saved" : "unsaved");
      return true;
    } catch (error) {
      this.held = error instanceof Stale;
      this.report(this.held ? "stale" : "failed", error);
      return false;
    } finally {
      this.running = null;
    }
  }

  /** The question is answered: the correction has been changed accordingly. */
  release() {
    this.held = false;
    return this.flush();
  }
}
