// The list of images: which are shown, in which order, and how far the work has come.

export const NO_FILTER = { text: "", present: null, tag: null, split: null, state: null, ids: null };

/** Records that pass all filters. Text is searched in names and class names. */
export function filterRecords(records, filter, classNames) {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const ids = filter.ids && new Set(filter.ids);
  return records.filter(
    (record) =>
      (filter.present === null || record.present.includes(filter.present)) &&
      (filter.tag === null || record.tags.includes(filter.tag)) &&
      (filter.split === null || record.split === filter.split) &&
      (filter.state === null || hasState(record, filter.state)) &&
      (!ids || ids.has(record.id)) &&
      words.every((word) => matches(record, word, classNames)),
  );
}

function hasState(record, state) {
  return state === "corrected" ? record.corrected : record.state === state;
}

function matches(record, word, classNames) {
  return [record.name, ...record.present.map((index) => classNames[index] ?? "")].some((text) =>
    text.toLowerCase().includes(word),
  );
}

const byName = new Intl.Collator("en", { numeric: true }).compare;

/** Records in order: "worst" (highest rank first), "iou" (lowest first) or "name". Missing values come last. */
export function sortRecords(records, order) {
  const keys = { worst: (record) => negative(record.rank), iou: (record) => record.iou, name: () => 0 };
  const key = keys[order];
  return records.toSorted(
    (a, b) => (key(a) ?? Infinity) - (key(b) ?? Infinity) || byName(a.name, b.name) || a.id - b.id,
  );
}

const negative = (value) => (value === null ? null : -value);

/** "312 of 5,000, about 41 min left". */
export function describeProgress({ total, done, seconds_left: seconds }) {
  const counted = `${done.toLocaleString("en")} of ${total.toLocaleString("en")}`;
  return seconds === null || done >= total ? counted : `${counted}, about ${describeTime(seconds)} left`;
}

function describeTime(seconds) {
  if (seconds < 60) return "a minute";
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} hours`;
}

/** The names of the classes in a mask, without the background. */
export function listClasses(record, classNames) {
  return (
    record.present
      .map((index) => classNames[index])
      .filter((name) => name && name !== "background")
      .join(", ") || "no class"
  );
}

/** What a tile is, for people who do not see it. */
export function describeRecord(record, classNames) {
  const iou = record.iou === null ? "" : `, IoU ${(record.iou * 100).toFixed(0)}`;
  return `${record.name}: ${listClasses(record, classNames)}, ${record.state}${record.corrected ? ", corrected" : ""}${iou}. ${record.reason}`;
}

/** The classes in the order of the number keys: the image's tags first, then the others. */
export function orderClasses(classes, tags) {
  const isTag = new Set(tags);
  return [...classes.filter(({ index }) => isTag.has(index)), ...classes.filter(({ index }) => !isTag.has(index))];
}
