// Two tabs or two people changed one image: nobody's work is dropped without a word.

import { api } from "./api.js";
import { ask, make, note } from "./dom.js";
import { smallPicture } from "./stage.js";

const CHOICES = [
  ["merge", "Put my strokes on theirs"],
  ["theirs", "Take theirs"],
  ["mine", "Keep mine"],
];

export async function resolveConflict(editor) {
  const { correction, saving, stage, table } = editor;
  let theirs;
  try {
    const [image, touched] = await Promise.all([
      editor.loader.labels(correction.id, "current"),
      api.mask(correction.id, "touched"),
    ]);
    theirs = { ...image, touched: touched.data };
  } catch (error) {
    return note(`The mask was changed elsewhere, and it could not be read: ${error.message}`);
  }
  const side = (text, image) =>
    make("figure", {}, smallPicture(stage.picture, image, table), make("figcaption", {}, text));
  const content = make(
    "div",
    {},
    make("p", {}, "This mask was saved in another tab or by someone else while you changed it. Nothing is lost yet."),
    make("div", { className: "pair" }, side("Mine", correction.image), side("Theirs", theirs)),
  );
  settle(correction, theirs, await ask("The mask was changed elsewhere", content, CHOICES));
  if (editor.correction === correction) stage.show(correction.image);
  await saving.release();
  editor.update();
}

/** Escape is the choice that drops nothing. */
function settle(correction, theirs, answer) {
  if (answer === "theirs") correction.takeTheirs(theirs);
  else if (answer === "mine") correction.keepMine(theirs.etag);
  else correction.mergeInto(theirs);
}
