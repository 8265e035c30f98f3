// Strokes of this tab, kept in the browser so that a reload loses neither them nor undo.

const STORE = "strokes";
const KEPT = 7 * 24 * 3600 * 1000; // milliseconds

const tab = (sessionStorage.tab ??= crypto.randomUUID());
let database = null;

function open() {
  database ??= new Promise((resolve, reject) => {
    const opening = indexedDB.open("tag2mask-view", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  return database;
}

async function run(mode, act) {
  const store = (await open()).transaction(STORE, mode).objectStore(STORE);
  return new Promise((resolve, reject) => {
    const asked = act(store);
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

const keyOf = (set, id) => [tab, set, id];

/** The record of an image of a mask set, or undefined. */
export const readStrokes = (set, id) => run("readonly", (store) => store.get(keyOf(set, id)));

export const writeStrokes = (set, id, record) =>
  run("readwrite", (store) => store.put({ ...record, at: Date.now() }, keyOf(set, id)));

/** Remove what no tab has used for a week. */
export async function forgetOldStrokes() {
  const store = (await open()).transaction(STORE, "readwrite").objectStore(STORE);
  store.openCursor().onsuccess = ({ target: { result: cursor } }) => {
    if (!cursor) return;
    if (cursor.value.at < Date.now() - KEPT) cursor.delete();
    cursor.continue();
  };
}
