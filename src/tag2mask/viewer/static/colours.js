// From labels to colours. Colours are 32-bit integers in the byte order of canvases (little-endian RGBA).

/** A table from label to colour; background and unknown labels are transparent, ignored pixels are grey. */
export function colourTable(classes, hasBackground, ignore) {
  const table = new Uint32Array(65536);
  for (const { index, color } of classes) table[index] = packColour(color);
  if (hasBackground) table[0] = 0;
  table[ignore] = packColour("#808080");
  return table;
}

/** "#rrggbb" as an opaque colour. */
export function packColour(text) {
  const value = parseInt(text.slice(1), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

/** Colour the rows y0 up to y1 of a label image; outlines only if asked. */
export function colourRows(pixels, { width, height, data }, table, { y0 = 0, y1 = height, outline = false } = {}) {
  for (let at = y0 * width; at < y1 * width; at++) {
    pixels[at] = outline && !atOutline(data, at, width, height) ? 0 : table[data[at]];
  }
}

function atOutline(data, at, width, height) {
  const label = data[at];
  const x = at % width;
  return (
    (x > 0 && data[at - 1] !== label) ||
    (x < width - 1 && data[at + 1] !== label) ||
    (at >= width && data[at - width] !== label) ||
    (at < width * (height - 1) && data[at + width] !== label)
  );
}

/** Whether dark text reads better on this colour than white. */
export function needsDarkText(text) {
  const value = parseInt(text.slice(1), 16);
  return 0.299 * (value >> 16) + 0.587 * ((value >> 8) & 255) + 0.114 * (value & 255) > 140;
}
