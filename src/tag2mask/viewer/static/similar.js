// Copy a correction of a class to the images most like it; each result is shown before it is saved.

import { api } from "./api.js";
import { announce, ask, make, note } from "./dom.js";
import { smallPicture } from "./stage.js";

export async function copyToSimilar(editor) {
  const { record, app } = editor;
  if (editor.about.no_model) return note(editor.about.no_model);
  if (!editor.correction || !(await editor.settle())) return;
  for (let answer = "more"; answer === "more";) {
    announce("Looking for similar images.");
    const found = await propose(editor).catch((error) => note(error.message));
    if (!found || record !== editor.record) return;
    answer = await choose(editor, found);
    if (answer === "go")
      await applyAll(
        app,
        found.images.filter(({ box }) => box.checked),
      );
  }
}

/** Show the proposals; "go" applies them, "more" looks at more images first. */
function choose(editor, { images, compared, candidates }) {
  const more = compared < candidates;
  const seen = `${compared.toLocaleString("en")} of ${candidates.toLocaleString("en")} open images with this tag were compared.`;
  const text = images.length ? `${seen} Only images that are ticked are changed.` : `${seen} None is similar.`;
  const content = make(
    "div",
    {},
    make("p", {}, text),
    make(
      "div",
      { className: "proposals" },
      images.map((one) => one.element),
    ),
  );
  const choices = [
    ...(images.length ? [["go", "Apply to the ticked images"]] : []),
    ...(more ? [["more", "Compare more"]] : []),
    ["", "Cancel"],
  ];
  return ask(`Copy ${editor.nameOf(editor.work.label)} to similar images`, content, choices);
}

async function propose(editor) {
  const {
    record,
    work: { label },
  } = editor;
  const { proposals, compared, candidates } = await api.similar(record.id, label);
  return { compared, candidates, images: await Promise.all(proposals.map((one) => prepare(editor, one))) };
}

async function prepare(editor, { id, name, pixels }) {
  const {
    record,
    table,
    app,
    work: { label },
  } = editor;
  const [picture, image, now, touched] = await Promise.all([
    editor.loader.picture(id),
    api.proposal(id, label, record.id),
    editor.loader.labels(id, "current"),
    api.mask(id, "touched"),
  ]);
  const box = make("input", { type: "checkbox", checked: true });
  const element = make(
    "label",
    { className: "proposal" },
    smallPicture(picture, image, table, 200),
    make("span", {}, box, make("b", {}, name)),
    make("small", {}, `${pixels.toLocaleString("en")} pixels change`),
  );
  return { record: app.records.get(id), box, element, image, now, touched };
}

async function applyAll(app, chosen) {
  let done = 0;
  for (const { record, image, now, touched } of chosen) {
    const data = now.data.constructor.from(image.data);
    const marks = touched.data.map((mark, at) => (data[at] !== now.data[at] ? 255 : mark));
    try {
      Object.assign(record, await api.putMask(record.id, { ...now, data, touched: marks }, now.etag), {
        corrected: true,
      });
      done++;
    } catch (error) {
      note(`${record.name}: ${error.message}`);
    }
  }
  note(`${done} of ${chosen.length} images changed.`);
  app.grid.refresh();
}
