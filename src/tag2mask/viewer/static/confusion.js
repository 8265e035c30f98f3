// What was painted as what: a table whose cells open the images behind them.

import { api } from "./api.js";
import { choice, make, note } from "./dom.js";

const PAUSE = 1000; // milliseconds until the counts are asked for again, while images are still being read
const NAMES = { truth: "Truth", compare: "Other mask set" };

export class ConfusionView {
  name = "confusion";

  constructor(app) {
    this.app = app;
    const { has_truth: truth, has_compare: compare } = app.about;
    this.kinds = [...(truth ? ["truth"] : []), ...(compare ? ["compare"] : [])];
    this.kind = this.kinds[0];
    this.actions = { accept: () => null, reject: () => null };
    this.body = make("div", { className: "confusion-body" });
    this.element = make(
      "section",
      { className: "confusion-view", "aria-label": "Confusion matrix" },
      make(
        "div",
        { className: "filters" },
        make("h1", {}, "What was painted as what"),
        this.kinds.length > 1
          ? choice(
              "Compared with",
              this.kinds.map((kind) => [kind, NAMES[kind]]),
              this.kind,
              (kind) => this.load(kind),
            )
          : null,
      ),
      this.body,
    );
  }

  enter() {
    document.getElementById("main").replaceChildren(this.element);
    if (this.kind) this.load(this.kind);
    else
      this.say("There is nothing to compare with: this data has no true masks, and --compare names no other mask set.");
  }

  async leave() {
    clearTimeout(this.timer);
  }

  goTo() {}

  say(text) {
    this.body.replaceChildren(make("p", { className: "empty" }, text));
  }

  load(kind) {
    clearTimeout(this.timer);
    this.kind = kind;
    this.read = null;
    this.say("Counting pixels …");
    return this.refresh(kind);
  }

  /** Show the counts so far, and new ones until all images are read. */
  async refresh(kind) {
    try {
      const { classes, matrix, read, total } = await api.confusion(kind);
      if (this.kind !== kind || this.app.view !== this) return;
      if (read !== this.read) {
        this.body.replaceChildren(
          this.explain(read, total),
          make("div", { className: "scroll" }, this.tabulate(classes, matrix)),
        );
      }
      this.read = read;
      if (read < total) this.timer = setTimeout(() => this.refresh(kind), PAUSE);
    } catch (error) {
      this.say(error.message);
    }
  }

  explain(read, total) {
    const soFar = read < total ? ` So far: ${read.toLocaleString("en")} of ${total.toLocaleString("en")} images.` : "";
    const row = this.kind === "truth" ? "what it is" : "the other mask set";
    return make(
      "p",
      { className: "soft" },
      `Rows: ${row}. Columns: what the masks say. A cell is the share of its row's pixels; open it to see its images.${soFar}`,
    );
  }

  tabulate(classes, matrix) {
    const names = classes.map((index) => this.app.classNames[index] ?? String(index));
    const head = make(
      "tr",
      {},
      make("th", { scope: "col" }, ""),
      names.map((name) => make("th", { scope: "col" }, make("span", {}, name))),
    );
    const rows = matrix.map((counts, i) => {
      const total = counts.reduce((sum, count) => sum + count, 0);
      return make(
        "tr",
        {},
        make("th", { scope: "row" }, names[i]),
        counts.map((count, j) =>
          this.cell({
            count,
            share: total ? count / total : 0,
            row: classes[i],
            column: classes[j],
            names: [names[i], names[j]],
            right: i === j,
          }),
        ),
      );
    });
    const table = make("table", { className: "confusion" }, make("thead", {}, head), make("tbody", {}, rows));
    table.addEventListener("keydown", (event) => moveInTable(event, table));
    table.querySelector("button")?.setAttribute("tabindex", "0");
    return table;
  }

  cell({ count, share, row, column, names: [is, painted], right }) {
    if (!count) return make("td", {});
    const percent = share >= 0.0995 ? (share * 100).toFixed(0) : (share * 100).toFixed(1);
    const open = make(
      "button",
      {
        type: "button",
        tabIndex: -1,
        "aria-label": `${is} painted as ${painted}: ${percent} percent`,
        on: { click: () => this.open(row, column, `${is} painted as ${painted}`) },
      },
      percent,
    );
    open.style.setProperty("--share", Math.sqrt(share).toFixed(3));
    return make("td", { className: right ? "right" : "wrong" }, open);
  }

  async open(row, column, text) {
    try {
      this.app.showOnly(await api.confused(row, column, this.kind), text);
    } catch (error) {
      note(error.message);
    }
  }
}

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** Arrows move to the next cell that has a button. */
function moveInTable(event, table) {
  const move = MOVES[event.key];
  const cell = event.target.closest("td");
  if (!move || !cell) return;
  event.preventDefault();
  let [row, column] = [cell.parentElement.rowIndex, cell.cellIndex];
  for (;;) {
    [row, column] = [row + move[0], column + move[1]];
    const next = table.rows[row]?.cells[column];
    if (!next || next.tagName === "TH") return;
    const target = next.querySelector("button");
    if (target) return target.focus();
  }
}
