// Sets of pixels of a label image. An image is {width, height, data}; a set is a sorted or unsorted list of positions.

/** The positions of the disc of this radius around each point of the line from `from` to `to`. */
export function stroke({ width, height }, from, to, radius) {
  const [x0, x1] = [Math.min(from.x, to.x) - radius, Math.max(from.x, to.x) + radius];
  const [y0, y1] = [Math.min(from.y, to.y) - radius, Math.max(from.y, to.y) + radius];
  const found = [];
  for (let y = Math.max(Math.floor(y0), 0); y <= Math.min(Math.ceil(y1), height - 1); y++) {
    for (let x = Math.max(Math.floor(x0), 0); x <= Math.min(Math.ceil(x1), width - 1); x++) {
      if (distanceToLine(x + 0.5, y + 0.5, from, to) <= radius) found.push(y * width + x);
    }
  }
  return found;
}

function distanceToLine(x, y, from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const share = length ? Math.min(Math.max(((x - from.x) * dx + (y - from.y) * dy) / length, 0), 1) : 0;
  return Math.hypot(x - from.x - share * dx, y - from.y - share * dy);
}

/** The component of pixels of one label, connected by sides, that contains `start`. */
export function component(image, start) {
  return flood(image, start, new Uint8Array(image.data.length));
}

function flood({ width, height, data }, start, seen) {
  const label = data[start];
  const found = [start];
  seen[start] = 1;
  for (let next = 0; next < found.length; next++) {
    const at = found[next];
    const x = at % width;
    if (x > 0) visit(at - 1);
    if (x < width - 1) visit(at + 1);
    if (at >= width) visit(at - width);
    if (at < width * (height - 1)) visit(at + width);
  }
  return found;

  function visit(at) {
    if (seen[at] || data[at] !== label) return;
    seen[at] = 1;
    found.push(at);
  }
}

/** All components of the image: lists of positions. */
export function components(image) {
  const seen = new Uint8Array(image.data.length);
  const found = [];
  for (let at = 0; at < seen.length; at++) if (!seen[at]) found.push(flood(image, at, seen));
  return found;
}

/** The positions of holes in a label: what cannot reach the border without crossing it. */
export function holes({ width, height, data }, label) {
  const outside = { width, height, data: Uint8Array.from(data, (value) => (value === label ? 1 : 0)) };
  return components(outside)
    .filter((part) => outside.data[part[0]] === 0 && !part.some((at) => onBorder(at, width, height)))
    .flat();
}

function onBorder(at, width, height) {
  const x = at % width;
  return x === 0 || x === width - 1 || at < width || at >= width * (height - 1);
}

/** Components of fewer than `smallest` pixels, each with the label that most of its neighbours have. */
export function specks(image, smallest) {
  return components(image)
    .filter((part) => part.length < smallest && part.length < image.data.length)
    .map((part) => ({ positions: part, label: commonNeighbour(image, part) }));
}

function commonNeighbour({ width, height, data }, part) {
  const label = data[part[0]];
  const counts = new Map();
  for (const at of part) {
    for (const near of neighbours(at, width, height)) {
      if (data[near] !== label) counts.set(data[near], (counts.get(data[near]) ?? 0) + 1);
    }
  }
  return [...counts].reduce((best, next) => (next[1] > best[1] ? next : best))[0];
}

/** The pixels beside a label: painting them grows it by a pixel. */
export function rim({ width, height, data }, label) {
  const found = [];
  for (let at = 0; at < data.length; at++) {
    if (data[at] !== label && neighbours(at, width, height).some((near) => data[near] === label)) found.push(at);
  }
  return found;
}

/** The pixels of a label that touch another, each with that label: painting them shrinks it by a pixel. */
export function edge({ width, height, data }, label) {
  const found = [];
  for (let at = 0; at < data.length; at++) {
    if (data[at] !== label) continue;
    const near = neighbours(at, width, height).find((other) => data[other] !== label);
    if (near !== undefined) found.push({ positions: [at], label: data[near] });
  }
  return found;
}

function neighbours(at, width, height) {
  const x = at % width;
  const near = [];
  if (x > 0) near.push(at - 1);
  if (x < width - 1) near.push(at + 1);
  if (at >= width) near.push(at - width);
  if (at < width * (height - 1)) near.push(at + width);
  return near;
}

/** For each superpixel the positions of its pixels: an index built once, by counting. */
export function indexSegments({ data }) {
  const starts = new Uint32Array(data.reduce((most, value) => Math.max(most, value), 0) + 2);
  for (const value of data) starts[value + 1]++;
  for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
  const next = starts.slice();
  const positions = new Uint32Array(data.length);
  for (let at = 0; at < data.length; at++) positions[next[data[at]]++] = at;
  return { segmentAt: (at) => data[at], positionsOf: (value) => positions.subarray(starts[value], starts[value + 1]) };
}
