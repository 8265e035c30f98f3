// Elements from names, properties and children. Text is only ever text: names come from files.

const DIRECT = new Set([
  "checked",
  "value",
  "disabled",
  "hidden",
  "tabIndex",
  "htmlFor",
  "className",
  "width",
  "height",
  "open",
]);

/** Make an element: `on` maps events to functions; other properties are properties or attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { on = {}, ...others } = properties;
  for (const [event, act] of Object.entries(on)) element.addEventListener(event, act);
  for (const [name, value] of Object.entries(others)) setProperty(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function setProperty(element, name, value) {
  if (value === null || value === undefined) return;
  if (DIRECT.has(name)) element[name] = value;
  else element.setAttribute(name, value);
}

/** A button with its key. */
export function button(text, key, act, properties = {}) {
  const hint = key ? make("kbd", { "aria-hidden": "true" }, key) : null;
  return make(
    "button",
    {
      type: "button",
      ...(key ? { "aria-keyshortcuts": key.replace("Ctrl", "Control") } : {}),
      ...properties,
      on: { click: act },
    },
    make("span", {}, text),
    hint,
  );
}

/** A list to choose from: options are [value, text]. */
export function choice(label, options, value, act) {
  const select = make(
    "select",
    { "aria-label": label, on: { change: () => act(select.value) } },
    options.map(([key, text]) => make("option", { value: key }, text)),
  );
  select.value = value;
  return select;
}

/** A dialog that removes itself; resolves to the value of the button that closed it, "" for Escape. */
export function ask(title, content, choices) {
  return new Promise((resolve) => {
    const buttons = choices.map(([value, text], i) =>
      make("button", { type: "button", className: i ? "" : "primary", on: { click: () => dialog.close(value) } }, text),
    );
    const heading = make("h2", { id: "question" }, title);
    const dialog = make(
      "dialog",
      { "aria-labelledby": "question", className: "question" },
      heading,
      content,
      make("div", { className: "choices" }, buttons),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A short note that goes by itself. */
export function note(text) {
  const line = make(
    "p",
    {},
    text,
    make("button", { type: "button", "aria-label": "Close", on: { click: () => line.remove() } }, "×"),
  );
  document.getElementById("notes").append(line);
  setTimeout(() => line.remove(), 9000);
}

/** Say something to people who use a screen reader. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
