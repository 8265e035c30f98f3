// Starts the page: the header, what is shown for an address, keys, accepting and rejecting.

import { api } from "./api.js";
import { describeProgress } from "./catalogue.js";
import { ConfusionView } from "./confusion.js";
import { announce, button, make, note } from "./dom.js";
import { EditorView } from "./editor.js";
import { GridView } from "./grid.js";
import { toggleHelp } from "./help.js";
import { findKey, keyOf } from "./keys.js";
import { Stale } from "./saving.js";
import { forgetOldStrokes } from "./store.js";

const RANKING_PAUSE = 3000; // milliseconds between questions how far the ranking is

class App {
  constructor(about, records) {
    this.about = about;
    this.records = new Map(records.map((record) => [record.id, record]));
    this.classNames = Object.fromEntries(about.classes.map(({ index, name }) => [index, name]));
    this.queue = []; // ids in the order of the grid: where "next" leads
    this.steps = []; // accepted and rejected, for undo
    this.held = null;
    this.actions = {
      help: toggleHelp,
      theme: toggleTheme,
      confusion: () => this.toggleConfusion(),
      accept: () => this.decide("accepted"),
      reject: () => this.decide("rejected"),
      undoStep: () => this.undoStep(),
      back: () => this.show("#/"),
    };
    this.grid = new GridView(this);
    this.editor = new EditorView(this);
    this.confusion = new ConfusionView(this);
  }

  start() {
    document.title = `${this.about.title} – tag2mask view`;
    this.drawHeader();
    this.grid.refresh();
    this.listen();
    this.route();
    this.showProgress();
    this.watchRanking();
  }

  drawHeader() {
    this.progressText = make("span", { className: "progress-text" });
    this.progressBar = make("progress", { max: 1, value: 0, "aria-label": "Images accepted or rejected" });
    document
      .getElementById("header")
      .replaceChildren(
        make(
          "a",
          { href: "#/", className: "brand", title: this.about.set },
          make("b", {}, "tag2mask"),
          make("span", {}, this.about.title),
        ),
        make("div", { className: "progress" }, this.progressBar, this.progressText),
        make(
          "nav",
          { "aria-label": "Pages" },
          this.about.has_truth || this.about.has_compare
            ? button("Confusion", keyOf("confusion"), this.actions.confusion)
            : null,
          button("Light or dark", keyOf("theme"), toggleTheme, { className: "quiet" }),
          button("Keys", keyOf("help"), toggleHelp, { className: "quiet" }),
        ),
      );
  }

  listen() {
    addEventListener("hashchange", () => this.route());
    addEventListener("keydown", (event) => this.press(event));
    addEventListener("keyup", (event) => this.release(event));
    addEventListener("blur", () => this.release(null));
  }

  show(address) {
    if (location.hash === address) this.route();
    else location.hash = address;
  }

  async route() {
    const [, page, value] = (location.hash || "#/").split("/");
    const known = page === "image" && this.records.has(Number(value));
    const view = known ? this.editor : page === "confusion" ? this.confusion : this.grid;
    const left = this.view;
    this.view = view;
    if (left && left !== view) await left.leave();
    if (this.view === view) view.enter(known ? Number(value) : null);
  }

  /** Show the images behind a cell of the confusion matrix. */
  showOnly(ids, text) {
    this.grid.showOnly(ids, text);
    this.show("#/");
  }

  press(event) {
    const entry = findKey(event, this.view?.name ?? "grid");
    if (!entry || !isForUs(event, entry) || (event.repeat && !entry.repeats && !entry.held)) return;
    event.preventDefault();
    if (entry.held) {
      if (!event.repeat) this.hold(entry.action, event.code);
      return;
    }
    (this.view.actions[entry.action] ?? this.actions[entry.action])?.();
  }

  hold(action, code) {
    this.release(null);
    this.held = { action, code };
    this.view.hold?.(action, true);
  }

  release(event) {
    if (!this.held || (event && event.code !== this.held.code)) return;
    this.view.hold?.(this.held.action, false);
    this.held = null;
  }

  /** Accept or reject the image in view and go on. */
  async decide(state) {
    const id = this.view.current?.();
    if (id === null || id === undefined) return;
    if (this.view.settle && !(await this.view.settle())) return;
    const record = this.records.get(id);
    const was = record.state;
    if (!(await this.setState(record, state))) return;
    this.steps.push({ id, was });
    announce(`${record.name} ${state}.`);
    this.view.goOn();
  }

  async undoStep() {
    const step = this.steps.pop();
    if (!step) return note("There is no accepted or rejected image to undo.");
    const record = this.records.get(step.id);
    if (this.view.settle && !(await this.view.settle())) return;
    if (!(await this.setState(record, step.was))) return;
    announce(`${record.name} is ${step.was} again.`);
    this.view.goTo(step.id);
  }

  async setState(record, state) {
    try {
      Object.assign(record, await api.setState(record.id, state, record.etag));
    } catch (error) {
      if (!(error instanceof Stale)) return (note(error.message), false);
      await this.reloadRecords();
      note(`${record.name} was changed elsewhere. Look at it again, then decide.`);
      this.view.goTo(record.id);
      return false;
    }
    this.editor.stateChanged(record);
    this.showProgress();
    return true;
  }

  async reloadRecords() {
    for (const record of await api.images()) {
      const known = this.records.get(record.id);
      if (known) Object.assign(known, record);
      else this.records.set(record.id, record);
    }
    this.grid.refresh();
  }

  async showProgress() {
    const progress = await api.progress().catch(() => null);
    if (!progress) return;
    this.progressText.textContent = describeProgress(progress);
    this.progressBar.max = Math.max(progress.total, 1);
    this.progressBar.value = progress.done;
  }

  /** The server reads and ranks in the background: take over what it found now and then, and at the end. */
  async watchRanking(taken = null) {
    const { done, read, total } = await api.ranking().catch(() => ({ done: 0, read: 0, total: 0 }));
    this.grid.showRanking(done, total);
    const found = done + read;
    const finished = done >= total && read >= total;
    const take = taken !== null && found > taken && (finished || found > taken + total / 5);
    if (take) await this.reloadRecords().catch(() => null);
    if (!finished) setTimeout(() => this.watchRanking(take || taken === null ? found : taken), RANKING_PAUSE);
  }

  toggleConfusion() {
    this.show(this.view === this.confusion ? "#/" : "#/confusion");
  }
}

const TYPING = "input[type=search], input[type=text], select, textarea";
const PRESSING = "button, input, a, summary, [role=separator]";
const NATIVE = /^(Space|Enter|Tab|Arrow.*|Home|End|Page.*)$/;

/** Whether a key is a command here, and not typed text or the way a control is used. */
function isForUs(event, entry) {
  const target = event.target instanceof Element ? event.target : document.body;
  if (document.querySelector("dialog[open]")) return entry.action === "help";
  if (target.matches(TYPING)) {
    if (entry.action === "back") target.blur();
    return entry.action === "save";
  }
  const native = entry.keys.some((name) => NATIVE.test(name));
  if (native && target.closest(PRESSING)) return false;
  return !native || event.key !== "Tab" || target.matches("canvas.stage");
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = localStorage.theme = dark ? "light" : "dark";
}

if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;

try {
  const [about, records] = await Promise.all([api.about(), api.images()]);
  new App(about, records).start();
  forgetOldStrokes().catch(() => null);
} catch (error) {
  document.getElementById("main").replaceChildren(make("p", { className: "empty" }, error.message));
}
