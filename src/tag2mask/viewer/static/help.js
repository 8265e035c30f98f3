// The page behind `?`: the table that binds the keys, for people.

import { make } from "./dom.js";
import { listKeys } from "./keys.js";

export function toggleHelp() {
  const open = document.querySelector("dialog.help");
  if (open) return open.close();
  const close = make(
    "button",
    { type: "button", className: "close", "aria-label": "Close", on: { click: () => dialog.close() } },
    "×",
  );
  const dialog = make(
    "dialog",
    { className: "help", "aria-labelledby": "help-title" },
    close,
    make("h2", { id: "help-title" }, "Keys"),
    make("div", { className: "help-columns" }, listKeys().map(section)),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function section({ scope, rows }) {
  const id = `help-${scope.toLowerCase().replace(/\W/g, "-")}`;
  return make(
    "section",
    { "aria-labelledby": id },
    make("h3", { id }, scope),
    make(
      "dl",
      {},
      rows.map(({ keys, text }) => make("div", {}, make("dt", {}, shorten(keys)), make("dd", {}, text))),
    ),
  );
}

/** Many keys in a row are a range. */
function shorten(keys) {
  const some = keys.length > 4 ? [keys[0], "–", keys.at(-1)] : keys;
  return some.map((name) => (name === "–" ? name : make("kbd", {}, name)));
}
