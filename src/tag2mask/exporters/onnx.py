"""Export of a tagged run or a segmenter to one ONNX file, for any batch, height and width.

The file is compared with torch before it is kept. Shapes: B batch, C classes, K pixel classes, h w patch grid, Y X
pixels.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from tag2mask.errors import RunError, SettingsError
from tag2mask.exporters.onnx_notes import notes
from tag2mask.files import in_one_move, require_new, reserved
from tag2mask.inference.from_pixels import FromPixels
from tag2mask.methods import Ask, Method
from tag2mask.prediction.onnx_file import ModelCard, OnnxModel
from tag2mask.progress import Bar, progress_bar
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.kinds import RUN, SEGMENTER, kind_of
from tag2mask.shown import Shown
from tag2mask.training.run import open_run

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-3
STEPS = ("capture the graph", "translate it to ONNX", "write the file", "compare it with torch")
SIZES = ((1, 4, 4), (2, 3, 6), (3, 7, 5))  # images, patches down, patches across


@dataclass(frozen=True)
class OnnxSummary:
    """The file, and the largest difference of its outputs from torch's."""

    path: Path
    bytes: int
    largest_difference: float

    def to_json(self) -> dict[str, Any]:
        """Return the result for ``--json``."""
        return {**asdict(self), "path": str(self.path)}

    def shown(self) -> Shown:
        """Return the result for printing."""
        return [f"{self.path}: differs from torch by {self.largest_difference:.1e} at most"]


@dataclass(frozen=True)
class Exportable:
    """A model from images in [0, 1] to its outputs; ``odd`` is 1 if sides need not be multiples of the patch."""

    model: nn.Module
    card: ModelCard
    outputs: tuple[str, ...]
    odd: int = 0


class LogitsAndMaps(nn.Module):
    """A method's logits ``(B, C)`` and class maps ``(B, C, h, w)``; sides are multiples of the patch."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and maps of images."""
        evidence = self.method(images, ask=Ask(maps=True))
        assert evidence.maps_BChw is not None
        return evidence.scores_BC, evidence.maps_BChw


def of_run(path: Path) -> Exportable:
    """Return a run's model: logits ``(B, C)`` and class maps ``(B, C, h, w)``; sides are multiples of the patch."""
    run = open_run(path)
    method = run.load_method()
    side = run.settings.backbone.image_size
    card = ModelCard(
        RUN,
        path.resolve().name,
        run.settings.method,
        run.classes,
        run.settings.data,
        run.mean,
        run.std,
        side,
        side,
        method.patch,
        run.checkpoint_hash(),
        "image tags, predicted",
        run.truth_used,
        run.tag_threshold(),
    )
    return Exportable(FromPixels(LogitsAndMaps(method), run.mean, run.std).eval(), card, ("logits", "maps"))


def of_segmenter(path: Path) -> Exportable:
    """Return a segmenter's model: logits ``(B, K, Y, X)`` for images of any size."""
    run = open_segmenter(path)
    segmenter = run.load()
    card = ModelCard(
        SEGMENTER,
        path.resolve().name,
        run.settings.architecture,
        run.classes,
        run.data_settings,
        run.mean,
        run.std,
        run.side,
        run.crop,
        segmenter.patch,
        run.checkpoint_hash(),
        run.labels_used,
        run.origin["truth_used"],
    )
    return Exportable(FromPixels(segmenter, run.mean, run.std).eval(), card, ("logits",), odd=1)


EXPORTABLE: Mapping[str, Callable[[Path], Exportable]] = MappingProxyType({RUN: of_run, SEGMENTER: of_segmenter})


def export_onnx(folder: Path, out: Path) -> OnnxSummary:
    """Write ``out``; its metadata hold everything needed to use it without torch.

    Raises:
        SettingsError: the extra is missing.
        RunError: ``folder`` is neither a run nor a segmenter, it cannot be exported, ``out`` already exists, or the
            file differs from torch.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise SettingsError(f"export needs {', '.join(missing)}: pip install 'tag2mask[onnx]'")
    require_new(out)
    kind = kind_of(folder)
    if kind not in EXPORTABLE:
        raise RunError(f"{folder} is a {kind}; export takes a tagged run or a segmenter")
    exportable = EXPORTABLE[kind](folder)
    with progress_bar("export", len(STEPS)) as bar:
        largest = write_compared(exportable, out, bar)
    return OnnxSummary(out, out.stat().st_size, largest)


def write_compared(exportable: Exportable, out: Path, bar: Bar) -> float:
    """Write the file, and return its largest difference from torch.

    Raises:
        RunError: the model cannot be exported, ``out`` already exists, or the file differs too much.
    """
    steps = iter(STEPS)
    say_next(steps, bar)
    captured = capture(exportable)
    say_next(steps, bar)
    program = translate(exportable, captured)
    program.model.metadata_props.update(exportable.card.to_metadata() | notes(exportable.card))
    say_next(steps, bar)
    with reserved(out), in_one_move(out) as beside:
        require_new(out)
        program.save(str(beside))
        if list(beside.parent.iterdir()) != [beside]:  # weights of more than 1.5 GiB come in a second file
            raise RunError(f"{exportable.card.name} is too large for one ONNX file; use export --format hub")
        say_next(steps, bar)
        largest = difference(exportable, beside)
        if largest > TOLERANCE:
            raise RunError(
                f"the ONNX file differs from torch by {largest:.1e}, more than {TOLERANCE:.0e}; it was not kept"
            )
    bar.advance()
    return largest


def say_next(steps: Iterator[str], bar: Bar) -> None:
    """Announce the next step, as a line even without a terminal, because a step may take a minute."""
    step = next(steps)
    number = STEPS.index(step)
    bar.advance(min(number, 1), step)
    bar.say(f"export: {number + 1} of {len(STEPS)}, {step}")


def capture(exportable: Exportable) -> torch.export.ExportedProgram:
    """Capture the model's graph for any batch, height and width.

    ``torch.onnx.export`` alone would fall back to the slower capture by Dynamo where this one fails, which takes four
    times as long and hid that a size had become constant.

    Raises:
        RunError: a size became constant, or an operation cannot be captured.
    """
    free = torch.export.Dim.DYNAMIC
    images = noise(exportable, (2, 4, 6))
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.export.export(
                exportable.model,
                (images,),
                dynamic_shapes={"images": {0: free, 2: free, 3: free}},
                strict=False,
            )
    except Exception as error:  # torch has no common class for these errors
        raise not_exportable(exportable.card, error) from None


def translate(exportable: Exportable, captured: torch.export.ExportedProgram) -> torch.onnx.ONNXProgram:
    """Translate the graph to ONNX operators.

    Raises:
        RunError: ONNX lacks an operator.
    """
    quiet = contextlib.redirect_stdout(io.StringIO())  # the exporter prints its steps
    try:
        with quiet, warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                captured,
                input_names=["images"],
                output_names=list(exportable.outputs),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise not_exportable(exportable.card, error.__cause__ or error) from None
    assert program is not None
    return program


def not_exportable(card: ModelCard, error: BaseException) -> RunError:
    """Return the error for a model that cannot be exported, in one line."""
    reason = " ".join(str(error).split())[:160]
    hint = "; gradcam cannot be exported, since its maps are gradients" if card.kind == RUN else ""
    return RunError(f"{card.model} cannot be exported to ONNX ({reason}){hint}")


def noise(exportable: Exportable, size: tuple[int, int, int]) -> torch.Tensor:
    """Return random images; ``size`` is their number and their patches down and across, sides slightly less if odd."""
    count, high, wide = size
    patch = exportable.card.patch
    return torch.rand(
        count, exportable.card.data_settings.bands, high * patch - exportable.odd, wide * patch - 2 * exportable.odd
    )


@torch.no_grad()
def difference(exportable: Exportable, path: Path) -> float:
    """Return the largest difference between torch and the file over all outputs, on noise of three sizes."""
    model, largest = OnnxModel(path), 0.0
    for size in SIZES:
        images = noise(exportable, size)
        wanted = exportable.model(images)
        outputs = wanted if isinstance(wanted, tuple) else (wanted,)
        for expected, found in zip(outputs, model(images.numpy()), strict=True):
            largest = max(largest, float((expected - torch.from_numpy(found)).abs().max()))
    return largest
