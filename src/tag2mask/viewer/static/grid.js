// All images: filters above, tiles below, of which only those in view exist.

import { NO_FILTER, describeRecord, filterRecords, listClasses, sortRecords } from "./catalogue.js";
import { announce, choice, make } from "./dom.js";
import { measureGrid, placeOf, scrollTo, visibleTiles } from "./layout.js";
import { Tiles } from "./tiles.js";

const ALL = "";

export class GridView {
  name = "grid";

  constructor(app) {
    this.app = app;
    this.filter = { ...NO_FILTER };
    this.order = "worst";
    this.shown = [];
    this.chosen = 0;
    this.top = 0;
    this.actions = {
      search: () => this.search.focus(),
      open: () => this.open(this.chosen),
      left: () => this.move(-1),
      right: () => this.move(1),
      up: () => this.move(-this.grid.columns),
      down: () => this.move(this.grid.columns),
      pageUp: () => this.move(-this.rowsInView() * this.grid.columns),
      pageDown: () => this.move(this.rowsInView() * this.grid.columns),
      first: () => this.choose(0),
      last: () => this.choose(this.shown.length - 1),
      back: () => this.showAll(),
    };
    this.build();
  }

  build() {
    this.tiles = new Tiles(this.app.about.version, (position) => this.open(position));
    this.scroller = make(
      "div",
      {
        className: "scroller",
        role: "listbox",
        tabIndex: 0,
        "aria-label": "Images",
        on: { scroll: () => this.drawSoon() },
      },
      this.tiles.element,
    );
    this.count = make("span", { className: "count", role: "status" });
    this.ranking = make("span", { className: "count" });
    this.chip = make("button", {
      type: "button",
      className: "chip",
      hidden: true,
      on: { click: () => this.showAll() },
    });
    this.element = make(
      "section",
      { className: "grid-view", "aria-label": "All images" },
      make("h1", { className: "unseen" }, "All images"),
      this.buildFilters(),
      this.scroller,
    );
    new ResizeObserver(() => this.layOut()).observe(this.scroller);
  }

  buildFilters() {
    const { classes, splits, has_truth: hasTruth } = this.app.about;
    const named = classes.map(({ index, name }) => [String(index), name]);
    this.search = make("input", {
      type: "search",
      placeholder: "Search",
      "aria-label": "Search names and classes",
      "aria-keyshortcuts": "/",
      on: {
        input: () => this.change({ text: this.search.value }),
        keydown: (event) => event.key === "Enter" && this.scroller.focus(),
      },
    });
    const picked = (field, read) => (value) => this.change({ [field]: value === ALL ? null : read(value) });
    this.choices = [
      choice("Class in the mask", [[ALL, "Any class"], ...named], ALL, picked("present", Number)),
      choice("Tag", [[ALL, "Any tag"], ...named], ALL, picked("tag", Number)),
      splits.length > 1
        ? choice("Split", [[ALL, "All splits"], ...splits.map((name) => [name, name])], ALL, picked("split", String))
        : null,
      choice(
        "State",
        [
          [ALL, "Any state"],
          ["open", "Open"],
          ["accepted", "Accepted"],
          ["rejected", "Rejected"],
          ["corrected", "Corrected"],
        ],
        ALL,
        picked("state", String),
      ),
    ];
    const orders = [["worst", "Worst first"], ...(hasTruth ? [["iou", "Lowest IoU first"]] : []), ["name", "By name"]];
    const order = choice("Order", orders, this.order, (value) => this.change({}, value));
    return make(
      "div",
      { className: "filters", role: "search" },
      this.search,
      this.choices,
      order,
      this.chip,
      this.count,
      this.ranking,
    );
  }

  enter() {
    document.getElementById("main").replaceChildren(this.element);
    this.refresh();
    this.scroller.scrollTop = this.top;
    this.choose(this.chosen);
    this.scroller.focus({ preventScroll: true });
  }

  async leave() {
    this.top = this.scroller.scrollTop;
  }

  change(filter, order = this.order) {
    Object.assign(this.filter, filter);
    this.order = order;
    this.chosen = 0;
    this.scroller.scrollTop = 0;
    this.refresh();
    announce(this.count.textContent);
  }

  showOnly(ids, text) {
    this.filter = { ...this.filter, ids };
    this.chip.hidden = false;
    this.chip.textContent = `${text} ×`;
    this.chip.setAttribute("aria-label", `Only ${text}: show all`);
    [this.chosen, this.top] = [0, 0];
  }

  showAll() {
    this.filter = { ...NO_FILTER };
    this.chip.hidden = true;
    this.search.value = "";
    for (const select of this.choices) if (select) select.value = ALL;
    this.refresh();
  }

  /** Filter and sort again; the chosen image stays chosen where it is still shown. */
  refresh() {
    const { records, classNames } = this.app;
    const id = this.shown[this.chosen]?.id;
    const found = filterRecords([...records.values()], this.filter, classNames);
    this.shown = this.filter.ids ? inOrder(found, this.filter.ids) : sortRecords(found, this.order);
    if (this.app.view !== this.app.editor || !this.app.queue.length)
      this.app.queue = this.shown.map((record) => record.id);
    const place = this.shown.findIndex((record) => record.id === id);
    this.chosen = place >= 0 ? place : Math.min(this.chosen, Math.max(this.shown.length - 1, 0));
    const [some, all] = [this.shown.length, records.size].map((value) => value.toLocaleString("en"));
    this.count.textContent = some === all ? `${all} images` : `${some} of ${all} images`;
    this.tiles.clear();
    this.layOut();
  }

  showRanking(done, total) {
    this.ranking.textContent =
      done < total ? `ranking: ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
  }

  layOut() {
    this.grid = measureGrid(this.shown.length, this.scroller.clientWidth - 2 * PADDING);
    this.tiles.setSize(this.grid);
    this.draw();
  }

  drawSoon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      if (!this.draw(PER_FRAME)) this.drawSoon();
    });
  }

  draw(most = Infinity) {
    const { classNames } = this.app;
    const range = visibleTiles(this.grid, this.scroller.scrollTop, this.scroller.clientHeight);
    const done = this.tiles.draw(
      range,
      (position) => {
        const record = this.shown[position];
        const place = placeOf(this.grid, position);
        return {
          record,
          place,
          position,
          count: this.shown.length,
          text: describeRecord(record, classNames),
          shown: listClasses(record, classNames),
        };
      },
      this.chosen,
      most,
    );
    this.scroller.toggleAttribute("data-empty", this.shown.length === 0);
    return done;
  }

  rowsInView() {
    return Math.max(Math.floor(this.scroller.clientHeight / this.grid.pitch), 1);
  }

  move(by) {
    this.choose(Math.min(Math.max(this.chosen + by, 0), this.shown.length - 1));
  }

  choose(position) {
    if (!this.shown[position]) return;
    this.chosen = position;
    const { scrollTop, clientHeight } = this.scroller;
    this.scroller.scrollTop = scrollTo(this.grid, position, scrollTop, clientHeight - PADDING);
    this.draw();
    this.scroller.setAttribute("aria-activedescendant", this.tiles.idOf(this.shown[position]));
  }

  open(position) {
    const record = this.shown[position];
    if (!record) return;
    this.chosen = position;
    this.app.show(`#/image/${record.id}`);
  }

  current() {
    return this.shown[this.chosen]?.id ?? null;
  }

  /** After a decision: where the image left the list, the next one has taken its place. */
  goOn() {
    const id = this.current();
    this.refresh();
    if (this.current() === id) this.move(1);
    else this.choose(this.chosen);
  }

  goTo(id) {
    this.refresh();
    const place = this.shown.findIndex((record) => record.id === id);
    if (place >= 0) this.choose(place);
  }
}

const PADDING = 16;
const PER_FRAME = 4; // tiles that are filled in one frame while scrolling: a whole row at once costs frames

function inOrder(records, ids) {
  const place = new Map(ids.map((id, i) => [id, i]));
  return records.toSorted((a, b) => place.get(a.id) - place.get(b.id));
}
