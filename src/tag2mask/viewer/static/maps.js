// Painting from class maps: the server's rule (masks.paint), fast enough to follow a slider.

/** Read the server's answer: a length, a JSON header and one byte per class and place. */
export function readMaps(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { ...header, data: new Uint8Array(buffer, 4 + length) };
}

/** The map of one class at patch resolution, or null. */
export function mapOf(maps, index) {
  const place = maps.classes.indexOf(index);
  const size = maps.width * maps.height;
  return place < 0 ? null : maps.data.subarray(place * size, (place + 1) * size);
}

/** For each pixel the best class and its value: computed once; thresholds are compared with these. */
export function bestOf(maps, classes, width, height) {
  const best = new Float32Array(width * height).fill(-1);
  const winner = new Uint16Array(width * height);
  for (const index of classes) {
    const values = mapOf(maps, index);
    if (values) raise(best, winner, index, upsample(values, maps, width, height), scaling(maps, index));
  }
  return { width, height, best, winner };
}

/** Bilinear, without aligned corners, as tag2mask.data.resizing. */
export function upsample(values, { width: w, height: h }, width, height) {
  const across = places(w, width);
  const down = places(h, height);
  const wide = new Float32Array(h * width);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < width; x++) {
      const [left, right] = [values[y * w + across.before[x]], values[y * w + across.after[x]]];
      wide[y * width + x] = left + (right - left) * across.share[x];
    }
  }
  const out = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    const [upper, lower] = [down.before[y] * width, down.after[y] * width];
    const share = down.share[y];
    for (let x = 0, at = y * width; x < width; x++, at++) {
      out[at] = wide[upper + x] + (wide[lower + x] - wide[upper + x]) * share;
    }
  }
  return out;
}

function places(old, count) {
  const [before, after, share] = [new Uint32Array(count), new Uint32Array(count), new Float32Array(count)];
  for (let i = 0; i < count; i++) {
    const place = Math.min(Math.max(((i + 0.5) * old) / count - 0.5, 0), old - 1);
    before[i] = Math.floor(place);
    after[i] = Math.min(before[i] + 1, old - 1);
    share[i] = place - before[i];
  }
  return { before, after, share };
}

/** Whether each map is scaled to its own range, or kept as a probability. */
function scaling(maps, index) {
  return maps.relative === false ? { gain: maps.max[maps.classes.indexOf(index)] / 255 } : null;
}

function raise(best, winner, index, values, fixed) {
  let [low, high] = [0, 0];
  if (!fixed) {
    [low, high] = [Infinity, -Infinity];
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const gain = fixed ? fixed.gain : 1 / (high - low + 1e-8);
  for (let at = 0; at < values.length; at++) {
    const value = (values[at] - low) * gain;
    if (value > best[at]) {
      best[at] = value;
      winner[at] = index;
    }
  }
}

/** Paint into `labels`: the best class where it is above its threshold, else background (0). */
export function paintInto(labels, { best, winner }, thresholds, hasBackground, keep = null) {
  const cuts = new Float32Array(65536);
  for (const [index, value] of Object.entries(thresholds)) cuts[index] = value;
  for (let at = 0; at < labels.length; at++) {
    if (keep && keep[at]) continue;
    labels[at] = !hasBackground || best[at] > cuts[winner[at]] ? winner[at] : 0;
  }
  return labels;
}

/** A map as RGBA, brighter where higher: dark blue, teal, yellow. */
export function heat(values) {
  const pixels = new Uint8ClampedArray(values.length * 4);
  values.forEach((value, i) => pixels.set(heatColour(value / 255), i * 4));
  return pixels;
}

const STOPS = [
  [38, 20, 92],
  [42, 90, 160],
  [33, 155, 142],
  [140, 205, 78],
  [253, 231, 76],
];

function heatColour(share) {
  const place = Math.min(share, 0.9999) * (STOPS.length - 1);
  const [lower, part] = [Math.floor(place), place % 1];
  const mixed = STOPS[lower].map((value, i) => value + (STOPS[lower + 1][i] - value) * part);
  return [...mixed, 90 + 140 * share];
}
