// A canvas that shows an image and labels over it, at any zoom. Stages that share a camera move together.

import { colourRows } from "./colours.js";

const SMOOTH_BELOW = 2; // canvas pixels per image pixel; above it, pixels are shown as squares
const SHADE = 0x66ffffff; // what is chosen or under the pointer

export class Camera {
  constructor() {
    Object.assign(this, { scale: 1, x: 0, y: 0, fitted: true, stages: [] });
  }

  changed() {
    for (const stage of this.stages) stage.draw();
  }

  fit(width, height, across, down) {
    this.scale = Math.min(across / width, down / height);
    this.x = (across - width * this.scale) / 2;
    this.y = (down - height * this.scale) / 2;
    this.fitted = true;
    this.changed();
  }

  /** Zoom by a factor; the point (x, y) of the canvas stays where it is. */
  zoom(factor, x, y) {
    const scale = Math.min(Math.max(this.scale * factor, 0.05), 64);
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.changed();
  }

  move(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.changed();
  }
}

export class Stage {
  /** `table` is the colour of each label. */
  constructor(canvas, camera, table) {
    Object.assign(this, { canvas, camera, table, picture: null, image: null, heat: null, cursor: null, marks: [] });
    Object.assign(this, { hidden: false, outline: false, opacity: 0.6 });
    this.context = canvas.getContext("2d");
    this.overlay = document.createElement("canvas");
    this.shade = document.createElement("canvas");
    this.shaded = [];
    camera.stages.push(this);
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  /** Show a picture (an ImageBitmap) and its labels. */
  load(picture, image) {
    this.picture = picture;
    for (const canvas of [this.overlay, this.shade])
      Object.assign(canvas, { width: image.width, height: image.height });
    this.pixels = new ImageData(image.width, image.height);
    this.shadePixels = new ImageData(image.width, image.height);
    this.shaded = [];
    this.show(image);
  }

  /** Show other labels of the same size. */
  show(image) {
    this.image = image;
    this.recolour();
  }

  /** Colour the rows y0 up to y1 again, whole if not given. */
  recolour(y0 = 0, y1 = this.image.height) {
    const rows = { y0: Math.max(y0 - 1, 0), y1: Math.min(y1 + 1, this.image.height), outline: this.outline };
    colourRows(new Uint32Array(this.pixels.data.buffer), this.image, this.table, rows);
    this.overlay.getContext("2d").putImageData(this.pixels, 0, 0, 0, rows.y0, this.image.width, rows.y1 - rows.y0);
    this.draw();
  }

  set(settings) {
    const recolours = "outline" in settings && settings.outline !== this.outline;
    Object.assign(this, settings);
    if (recolours && this.image) this.recolour();
    else this.draw();
  }

  /** Brighten these pixels and no others. */
  highlight(positions) {
    const same = positions.length === this.shaded.length && positions[0] === this.shaded[0];
    if (!this.image || same) return;
    const pixels = new Uint32Array(this.shadePixels.data.buffer);
    for (const at of this.shaded) pixels[at] = 0;
    for (const at of positions) pixels[at] = SHADE;
    this.shaded = positions;
    this.shade.getContext("2d").putImageData(this.shadePixels, 0, 0);
    this.draw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = devicePixelRatio;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    if (this.image && this.camera.fitted) this.fit();
    else this.draw();
  }

  fit() {
    this.camera.fit(this.image.width, this.image.height, this.canvas.clientWidth, this.canvas.clientHeight);
  }

  /** The place in the image under a pointer. */
  locate(event) {
    const box = this.canvas.getBoundingClientRect();
    const { scale, x, y } = this.camera;
    return { x: (event.clientX - box.left - x) / scale, y: (event.clientY - box.top - y) / scale };
  }

  /** The position of the pixel at a place, or -1 outside. */
  positionAt({ x, y }) {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    const inside = column >= 0 && row >= 0 && column < this.image.width && row < this.image.height;
    return inside ? row * this.image.width + column : -1;
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      if (this.image) this.drawNow();
    });
  }

  drawNow() {
    const { context, camera, canvas } = this;
    const ratio = devicePixelRatio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(camera.scale * ratio, 0, 0, camera.scale * ratio, camera.x * ratio, camera.y * ratio);
    this.drawLayers();
    this.drawMarks();
    if (this.cursor) this.drawCursor();
  }

  drawLayers() {
    const { context, image } = this;
    context.imageSmoothingEnabled = this.camera.scale < SMOOTH_BELOW;
    context.drawImage(this.picture, 0, 0, image.width, image.height);
    if (this.hidden) return;
    if (this.heat) {
      context.imageSmoothingEnabled = true;
      context.drawImage(this.heat, 0, 0, image.width, image.height);
      return;
    }
    context.imageSmoothingEnabled = false;
    context.globalAlpha = this.outline ? 1 : this.opacity;
    context.drawImage(this.overlay, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(this.shade, 0, 0);
  }

  drawMarks() {
    for (const { x, y, color } of this.marks) this.circle(x, y, 5 / this.camera.scale, color, true);
  }

  drawCursor() {
    const { x, y, radius } = this.cursor;
    this.circle(x, y, radius, "#000000aa", false, 3);
    this.circle(x, y, radius, "#ffffff", false, 1.5);
  }

  circle(x, y, radius, color, filled, line = 1.5) {
    const { context } = this;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = color;
    if (filled) context.fill();
    context.lineWidth = line / this.camera.scale;
    context.strokeStyle = filled ? "#ffffff" : color;
    context.stroke();
  }
}

/** A canvas with a map's colours, to be stretched over the image. */
export function heatCanvas(pixels, width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas;
}

/** A small picture with labels over it, for choices. */
export function smallPicture(picture, image, table, width = 240) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height: Math.round((width * image.height) / image.width) });
  const overlay = document.createElement("canvas");
  Object.assign(overlay, { width: image.width, height: image.height });
  const pixels = new ImageData(image.width, image.height);
  colourRows(new Uint32Array(pixels.data.buffer), image, table);
  overlay.getContext("2d").putImageData(pixels, 0, 0);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 0.6;
  context.drawImage(overlay, 0, 0, canvas.width, canvas.height);
  return canvas;
}
