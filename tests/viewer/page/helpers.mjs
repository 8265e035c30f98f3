// The modules under test, wherever the checkout lies.

export const STATIC = new URL("../../../src/tag2mask/viewer/static/", import.meta.url);

/** Labels from a drawing: one character per pixel. */
export function draw(...rows) {
  const width = rows[0].length;
  return { width, height: rows.length, data: Uint8Array.from(rows.join(""), Number) };
}

export function show({ width, data }) {
  const text = [...data].join("");
  return Array.from({ length: data.length / width }, (_, y) => text.slice(y * width, (y + 1) * width));
}
