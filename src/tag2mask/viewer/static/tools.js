// What the pointer does. A tool gets places in the image; the brushwork gives it the correction and shows the result.

import { component, stroke } from "./regions.js";

/** Paints discs along the pointer's way. */
export class Brush {
  constructor(work, erases) {
    Object.assign(this, { work, erases, last: null });
  }

  down(place, erase) {
    this.last = place;
    this.label = erase || this.erases ? this.work.eraserLabel : this.work.label;
    this.move(place);
  }

  move(place) {
    const { correction, radius } = this.work;
    correction.paint(stroke(correction.image, this.last, place, radius), this.label);
    this.work.painted(Math.min(this.last.y, place.y) - radius, Math.max(this.last.y, place.y) + radius);
    this.last = place;
  }

  up() {
    this.work.endStroke();
  }

  hover(place) {
    return { cursor: { ...place, radius: this.work.radius }, positions: [] };
  }
}

/** Paints whole superpixels. */
export class Snap {
  constructor(work) {
    this.work = work;
  }

  down(place, erase) {
    this.label = erase ? this.work.eraserLabel : this.work.label;
    this.move(place);
  }

  move(place) {
    const positions = this.segmentAt(place);
    if (!positions.length) return;
    this.work.correction.paint(positions, this.label);
    const { width } = this.work.correction.image;
    this.work.painted(Math.floor(positions[0] / width), Math.ceil(positions.at(-1) / width));
  }

  up() {
    this.work.endStroke();
  }

  hover(place) {
    return { cursor: { ...place, radius: 1 }, positions: this.segmentAt(place) };
  }

  segmentAt(place) {
    const at = this.work.stage.positionAt(place);
    const { segments } = this.work;
    return at < 0 || !segments ? [] : segments.positionsOf(segments.segmentAt(at));
  }
}

/** Selects a component; a class then relabels it whole. */
export class Pick {
  constructor(work) {
    this.work = work;
  }

  down(place) {
    const at = this.work.stage.positionAt(place);
    this.work.select(at < 0 ? [] : component(this.work.correction.image, at));
  }

  move() {}

  up() {}

  hover(place) {
    return { cursor: { ...place, radius: 1 }, positions: this.work.selection };
  }
}

/** Marks places with a class, for features to spread. */
export class Mark {
  constructor(work) {
    this.work = work;
  }

  down(place, erase) {
    if (erase) return this.work.marks.remove(place);
    this.work.marks.add(place);
  }

  move() {}

  up() {}

  hover(place) {
    return { cursor: { ...place, radius: 4 / this.work.stage.camera.scale }, positions: [] };
  }
}

/** All tools by their action's name. */
export function makeTools(work) {
  return {
    brush: new Brush(work, false),
    eraser: new Brush(work, true),
    snap: new Snap(work),
    pick: new Pick(work),
    mark: new Mark(work),
  };
}
