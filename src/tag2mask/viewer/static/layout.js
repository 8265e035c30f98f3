// Where tiles lie in a grid of which only a part exists.

export const TILE = { width: 188, height: 228, gap: 12 };

/** Columns, their width, and the height of everything, for a number of tiles in a given width. */
export function measureGrid(count, width, tile = TILE) {
  const columns = Math.max(Math.floor((width + tile.gap) / (tile.width + tile.gap)), 1);
  const rows = Math.ceil(count / columns);
  const across = Math.floor((width - tile.gap * (columns - 1)) / columns);
  return { count, columns, rows, across, pitch: tile.height + tile.gap, height: rows * (tile.height + tile.gap) };
}

/** The first tile and the one after the last that are visible, with some rows to spare on both sides. */
export function visibleTiles(grid, top, viewHeight, spare = 2) {
  const first = Math.max(Math.floor(top / grid.pitch) - spare, 0);
  const last = Math.min(Math.ceil((top + viewHeight) / grid.pitch) + spare, grid.rows);
  return { start: first * grid.columns, end: Math.min(last * grid.columns, grid.count) };
}

/** Left upper corner of a tile. */
export function placeOf(grid, position, tile = TILE) {
  const column = position % grid.columns;
  return { x: column * (grid.across + tile.gap), y: Math.floor(position / grid.columns) * grid.pitch };
}

/** The scroll position that shows a tile, or the present one where it is visible. */
export function scrollTo(grid, position, top, viewHeight) {
  const { y } = placeOf(grid, position);
  if (y < top) return y;
  return y + grid.pitch > top + viewHeight ? y + grid.pitch - viewHeight : top;
}
