// What the pointer does. A tool gets places in the image; the editor gives it the correction and shows the result.

import { component, stroke } from "./regions.js";

/** Paints discs along the pointer's way. */
export class Brush {
  constructor(editor, erases) {
    Object.assign(this, { editor, erases, last: null });
  }

  down(place, erase) {
    this.last = place;
    this.label = erase || this.erases ? this.editor.eraserLabel : this.editor.label;
    this.move(place);
  }

  move(place) {
    const { correction, radius } = this.editor;
    correction.paint(stroke(correction.image, this.last, place, radius), this.label);
    this.editor.painted(Math.min(this.last.y, place.y) - radius, Math.max(this.last.y, place.y) + radius);
    this.last = place;
  }

  up() {
    this.editor.endStroke();
  }

  hover(place) {
    return { cursor: { ...place, radius: this.editor.radius }, positions: [] };
  }
}

/** Paints whole superpixels. */
export class Snap {
  constructor(editor) {
    this.editor = editor;
  }

  down(place, erase) {
    this.label = erase ? this.editor.eraserLabel : this.editor.label;
    this.move(place);
  }

  move(place) {
    const positions = this.segmentAt(place);
    if (!positions.length) return;
    this.editor.correction.paint(positions, this.label);
    const { width } = this.editor.correction.image;
    this.editor.painted(Math.floor(positions[0] / width), Math.ceil(positions.at(-1) / width));
  }

  up() {
    this.editor.endStroke();
  }

  hover(place) {
    return { cursor: { ...place, radius: 1 }, positions: this.segmentAt(place) };
  }

  segmentAt(place) {
    const at = this.editor.stage.positionAt(place);
    const { segments } = this.editor;
    return at < 0 || !segments ? [] : segments.positionsOf(segments.segmentAt(at));
  }
}

/** Selects a component; a class then relabels it whole. */
export class Pick {
  constructor(editor) {
    this.editor = editor;
  }

  down(place) {
    const at = this.editor.stage.positionAt(place);
    this.editor.select(at < 0 ? [] : component(this.editor.correction.image, at));
  }

  move() {}

  up() {}

  hover(place) {
    return { cursor: { ...place, radius: 1 }, positions: this.editor.selection };
  }
}

/** Marks places with a class, for features to spread. */
export class Mark {
  constructor(editor) {
    this.editor = editor;
  }

  down(place, erase) {
    if (erase) return this.editor.unmark(place);
    this.editor.mark(place);
  }

  move() {}

  up() {}

  hover(place) {
    return { cursor: { ...place, radius: 4 / this.editor.camera.scale }, positions: [] };
  }
}

/** All tools by their action's name. */
export function makeTools(editor) {
  return {
    brush: new Brush(editor, false),
    eraser: new Brush(editor, true),
    snap: new Snap(editor),
    pick: new Pick(editor),
    mark: new Mark(editor),
  };
}
