// Undo and redo per stroke. A stroke is kept as runs of pixels: [start, length, before, after, touched before].

/** One stroke: `before` maps positions to old labels, `labels` holds the new ones, `touched` is still the old one. */
export function packStroke(before, labels, touched) {
  const runs = [];
  for (const at of Uint32Array.from(before.keys()).sort()) append(runs, at, before.get(at), labels[at], touched[at]);
  return { runs, touches: true };
}

/** A change of the whole mask, as by a threshold. */
export function packChange(before, labels, touched, touches) {
  const runs = [];
  for (let at = 0; at < labels.length; at++) {
    if (before[at] !== labels[at]) append(runs, at, before[at], labels[at], touched[at]);
  }
  return { runs, touches };
}

function append(runs, at, before, after, mark) {
  const last = runs.at(-1);
  if (last && last[0] + last[1] === at && last[2] === before && last[3] === after && last[4] === mark) last[1]++;
  else runs.push([at, 1, before, after, mark]);
}

const UNREACHABLE = -1; // no sequence of undo and redo leads to what the server has

/** Strokes that were done and undone, and how many of them the server has. */
export class History {
  constructor({ strokes = [], position = 0, saved = 0 } = {}) {
    this.strokes = strokes;
    this.position = position;
    this.saved = saved;
  }

  get isSaved() {
    return this.position === this.saved;
  }

  add(stroke) {
    this.strokes.length = this.position;
    if (this.saved > this.position) this.markUnsaved();
    this.strokes.push(stroke);
    this.position++;
  }

  undo() {
    return this.position > 0 ? this.strokes[--this.position] : null;
  }

  redo() {
    return this.position < this.strokes.length ? this.strokes[this.position++] : null;
  }

  /** Where the history stands, so that a later answer of the server finds the place again. */
  mark() {
    return { position: this.position, last: this.strokes[this.position - 1] };
  }

  markSaved({ position, last }) {
    this.saved = this.strokes[position - 1] === last ? position : UNREACHABLE;
  }

  markUnsaved() {
    this.saved = UNREACHABLE;
  }

  toRecord() {
    return { strokes: this.strokes, position: this.position, saved: this.saved };
  }
}

/** Put the pixels back that a stroke changed. */
export function takeBack(stroke, labels, touched) {
  for (const [start, length, before, , mark] of stroke.runs) {
    labels.fill(before, start, start + length);
    touched.fill(mark, start, start + length);
  }
}

/** Change the pixels again. */
export function redoStroke(stroke, labels, touched) {
  for (const [start, length, , after] of stroke.runs) {
    labels.fill(after, start, start + length);
    if (stroke.touches) touched.fill(255, start, start + length);
  }
}
