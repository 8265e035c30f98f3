// What is shown instead of the mask or beside it: nothing, the truth, the mask before corrections, another mask set.

import { announce, choice, make, note } from "./dom.js";
import { Stage } from "./stage.js";

const NAMES = { compare: "Other mask set", truth: "Truth", original: "Before corrections" };

export class HeldView {
  constructor(editor) {
    this.editor = editor;
    const { has_truth: truth, has_compare: compare } = editor.about;
    this.kinds = [...(compare ? ["compare"] : []), ...(truth ? ["truth"] : []), "original"];
    this.beside = this.kinds[0];
    this.isComparing = false;
    this.canvas = make("canvas", { className: "other", role: "img" });
    this.frame = make(
      "div",
      { className: "frame" },
      this.canvas,
      choice(
        "Shown beside the mask",
        this.kinds.map((kind) => [kind, NAMES[kind]]),
        this.beside,
        (kind) => this.showBeside(kind),
      ),
    );
    this.stage = new Stage(this.canvas, editor.camera, editor.table);
    this.known = new Map();
  }

  reset() {
    this.known.clear();
    this.down = null;
  }

  loaded() {
    if (this.isComparing) this.showBeside(this.beside);
  }

  /** Space and T, while they are down. */
  async hold(action, down) {
    const { stage, correction, preview } = this.editor;
    if (!correction) return;
    if (action === "hideMask") return stage.set({ hidden: down });
    this.down = down;
    const other = down ? await this.fetch(this.editor.about.has_truth ? "truth" : "original") : null;
    const mine = preview ? { ...correction.image, data: preview } : correction.image;
    if (correction === this.editor.correction && this.down === down) stage.show(other ?? mine);
  }

  fetch(kind) {
    const { record, loader } = this.editor;
    if (!this.known.has(kind)) {
      this.known.set(
        kind,
        loader.labels(record.id, kind).catch((error) => {
          note(`${NAMES[kind]}: ${error.message}`);
          return null;
        }),
      );
    }
    return this.known.get(kind);
  }

  toggleCompare() {
    this.isComparing = !this.isComparing;
    const { stages } = this.editor;
    if (this.isComparing) stages.append(this.frame);
    else this.frame.remove();
    stages.toggleAttribute("data-two", this.isComparing);
    if (this.isComparing) this.showBeside(this.beside);
    announce(this.isComparing ? `Side by side with: ${NAMES[this.beside]}.` : "One mask.");
    this.editor.update();
  }

  async showBeside(kind) {
    this.beside = kind;
    const { record, stage } = this.editor;
    const image = await this.fetch(kind);
    if (record !== this.editor.record || !this.isComparing || !stage.picture) return;
    this.canvas.setAttribute("aria-label", `${NAMES[kind]} of ${record.name}`);
    this.canvas.toggleAttribute("data-missing", !image);
    if (!image) return this.stage.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.stage.set({ opacity: this.editor.opacity, outline: this.editor.isOutlined });
    this.stage.load(stage.picture, image);
  }

  showCursor(cursor) {
    if (this.isComparing) this.stage.set({ cursor });
  }
}
