// Copy a correction of a class to the images most like it; each result is shown before it is saved.

import { api } from "./api.js";
import { announce, ask, make, note } from "./dom.js";
import { smallPicture } from "./stage.js";

export async function copyToSimilar(editor) {
  const { record, app, work: { label } } = editor;
  if (!editor.correction || !(await editor.settle())) return;
  announce("Looking for similar images.");
  const found = await propose(editor).catch((error) => note(error.message));
  if (!found || record !== editor.record) return;
  if (!found.length) return note("No similar image was found.");
  const list = make("div", { className: "proposals" }, found.map((one) => one.element));
  const content = make("div", {}, make("p", {}, "Only images that are ticked are changed."), list);
  const answer = await ask(`Copy ${editor.nameOf(label)} to similar images`, content, [["go", "Apply to the ticked images"], ["", "Cancel"]]);
  if (answer === "go") await applyAll(app, found.filter(({ box }) => box.checked));
}

async function propose(editor) {
  const { record, table, app, work: { label } } = editor;
  const { proposals } = await api.similar(record.id, label);
  return Promise.all(proposals.map(async ({ id, name, pixels }) => {
    const [picture, image, now, touched] = await Promise.all([
      editor.loader.picture(id), api.proposal(id, label, record.id), editor.loader.labels(id, "current"), api.mask(id, "touched"),
    ]);
    const box = make("input", { type: "checkbox", checked: true });
    const element = make("label", { className: "proposal" }, smallPicture(picture, image, table, 200),
      make("span", {}, box, make("b", {}, name)), make("small", {}, `${pixels.toLocaleString("en")} pixels change`));
    return { record: app.records.get(id), box, element, image, now, touched };
  }));
}

async function applyAll(app, chosen) {
  let done = 0;
  for (const { record, image, now, touched } of chosen) {
    const data = now.data.constructor.from(image.data);
    const marks = touched.data.map((mark, at) => (data[at] !== now.data[at] ? 255 : mark));
    try {
      Object.assign(record, await api.putMask(record.id, { ...now, data, touched: marks }, now.etag), { corrected: true });
      done++;
    } catch (error) {
      note(`${record.name}: ${error.message}`);
    }
  }
  note(`${done} of ${chosen.length} images changed.`);
  app.grid.refresh();
}
