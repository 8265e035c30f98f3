// Mouse, pen and finger on the canvas: the tool, the brush's size, zoom and moving the image.

const NOTCH = 1.15; // a notch of the wheel: the brush's size or the zoom changes by this factor

export function listenToPointer(editor) {
  const { canvas } = editor.stage;
  let mode = null; // null, "tool" or "move"
  const listen = (event, act, options) => canvas.addEventListener(event, act, options);

  listen("contextmenu", (event) => event.preventDefault());
  listen("pointerdown", (event) => {
    if (!editor.correction) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
    mode = event.button === 1 ? "move" : "tool";
    if (mode === "tool")
      editor.work.start(editor.stage.locate(event), event.button === 2 || event.ctrlKey || event.metaKey);
  });
  listen("pointermove", (event) => {
    if (!editor.correction) return;
    if (mode === "move") return editor.camera.move(event.movementX, event.movementY);
    if (mode === "tool") for (const part of parts(event)) editor.work.move(editor.stage.locate(part));
    editor.work.hoverAt(editor.stage.locate(event));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    listen(end, () => {
      if (mode === "tool") editor.work.end();
      mode = null;
    });
  }
  listen("pointerleave", () => editor.correction && editor.work.hoverAt(null));
  listen("wheel", (event) => turn(editor, event), { passive: false });
}

function parts(event) {
  const all = event.getCoalescedEvents?.() ?? [];
  return all.length ? all : [event];
}

function turn(editor, event) {
  if (!editor.correction) return;
  event.preventDefault();
  const factor = NOTCH ** Math.min(Math.max(-event.deltaY / 100, -1), 1); // touchpads send many small turns
  if (event.ctrlKey || event.metaKey) {
    const box = editor.stage.canvas.getBoundingClientRect();
    editor.camera.zoom(factor, event.clientX - box.left, event.clientY - box.top);
  } else {
    editor.work.setRadius(editor.work.radius * factor);
  }
}
