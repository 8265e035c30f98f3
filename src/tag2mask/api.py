"""The verbs as Python functions: paths may be text, settings are keywords, groups of them dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag2mask import exporters as exporting
from tag2mask.artifacts.model import Model, load
from tag2mask.data import DataSettings
from tag2mask.data.check import folder as checking
from tag2mask.data.check.report import CheckReport
from tag2mask.data.in_memory import Image, Pairs
from tag2mask.data.sources import prepare as preparation
from tag2mask.data.sources.prepare import Prepared, PrepareSettings
from tag2mask.errors import SettingsError
from tag2mask.evaluation import evaluate as evaluation
from tag2mask.evaluation.evaluate import Scores
from tag2mask.exporters import Conversion
from tag2mask.fields import takes
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSetSummary
from tag2mask.painting import make
from tag2mask.prediction import predict as prediction
from tag2mask.prediction.settings import PredictSettings
from tag2mask.probe import train as probing
from tag2mask.probe.probe import ProbeSettings
from tag2mask.probe.train import ProbeSummary
from tag2mask.reports import page
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import SegmentResult
from tag2mask.training import imported, loop
from tag2mask.training.imported import ImportResult
from tag2mask.training.loop import TrainResult
from tag2mask.training.settings import TrainSettings
from tag2mask.workflows import compare as comparing
from tag2mask.workflows.compare import Comparison, ComparisonResult
from tag2mask.workflows.plan import Plan, WholeSettings
from tag2mask.workflows.rounds import segment_in_rounds
from tag2mask.workflows.run import WholeResult, run_whole

if TYPE_CHECKING:  # the extra onnx may be missing
    from tag2mask.exporters.onnx import OnnxSummary

__all__ = [
    "Model", "check", "compare", "convert", "evaluate", "export", "import_checkpoint", "load", "make_masks", "predict",
    "prepare", "report", "run", "segment", "train", "train_probe",
]  # fmt: skip

Tagged = Sequence[tuple[Image, Sequence[str]]]


def as_path(path: str | Path | None) -> Path | None:
    """A path, if there is one."""
    return None if path is None else Path(path)


@takes(WholeSettings)
def run(data: str | Path, /, out: str | Path, *, quick: bool = False, **settings: Any) -> WholeResult:
    """All of it, or what is left of it; ``settings`` are those of the stages, such as ``train={"epochs": 5}``.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    return run_whole(Plan(Path(data), Path(out), WholeSettings.parse(settings), quick))


def prepare(
    source: str,
    root: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] = (),
    limit: int | None = None,
    link: str = "hard",
    **settings: Any,
) -> Prepared:
    """Write a published or own data set as a folder for ``train``; ``settings`` are the source's: ``tags="xml"``.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    plan = PrepareSettings.parse({"splits": splits, "limit": limit, "link": link})
    return preparation.prepare(source, Path(root), Path(out), settings, plan)


@takes(TrainSettings)
def train(
    tagged: str | Path | Tagged,
    /,
    out: str | Path,
    *,
    val: Tagged = (),
    classes: Sequence[str] | None = None,
    resume: bool = False,
    **settings: Any,
) -> TrainResult:
    """Learn from the tags of the folder ``tagged``, or of a list of (image, tags) in memory.

    Images in memory are paths, Pillow images, arrays or tensors; ``val`` are more of them to keep the best weights by,
    and ``classes`` all names there may be, a first one "background" for what no tag names. ``settings`` are those of
    ``TrainSettings``, such as ``epochs=10``.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.

    Example:
        >>> pairs = [(Image.open("a.jpg"), ["cow"]), (Image.open("b.jpg"), ["cow", "dog"])]  # doctest: +SKIP
        >>> tag2mask.train(pairs, out="run", epochs=5)  # doctest: +SKIP
    """
    parsed = TrainSettings.parse(settings)
    if isinstance(tagged, str | Path):
        if val or classes is not None:
            raise SettingsError("val and classes are for images in memory; a folder has splits/val.txt and classes.txt")
        return loop.train(Path(tagged), Path(out), parsed, resume)
    images = Pairs(tagged, parsed.data, classes)
    validation = Pairs(val, parsed.data, [*images.classes.pixel_names], "val")
    return loop.train_in_memory(images, list(validation), Path(out), parsed, resume)


def import_checkpoint(
    checkpoint: str | Path,
    method: str,
    classes: str | Path,
    out: str | Path,
    *,
    background: bool = False,
    image_size: int | None = None,
) -> ImportResult:
    """Make a run of weights that a method's authors released; ``classes`` is a file with a name a line.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    return imported.import_checkpoint(Path(checkpoint), method, Path(classes), Path(out), background, image_size)


@takes(ProbeSettings)
def train_probe(run: str | Path, /, out: str | Path, **settings: Any) -> ProbeSummary:
    """Learn from a run's class maps what patches are; ``settings`` are those of ``ProbeSettings``: ``steps=600``.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    return probing.train_probe(Path(run), Path(out), ProbeSettings.parse(settings))


@takes(MaskSettings)
def make_masks(
    run: str | Path, data: str | Path | None = None, out: str | Path | None = None, **settings: Any
) -> MaskSetSummary:
    """Paint the masks of a split; ``settings`` are those of ``MaskSettings``, such as ``split="val"``.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    return make.make_masks(Path(run), as_path(data), as_path(out), MaskSettings.parse(settings))


@takes(SegmentSettings)
def segment(
    run: str | Path,
    masks: str | Path | None,
    out: str | Path,
    *,
    rounds: int = 1,
    truth: str | Path | None = None,
    val_truth: str | Path | None = None,
    fully_supervised: bool = False,
    resume: bool = False,
    **settings: Any,
) -> SegmentResult:
    """Train a segmenter on a mask set; ``settings`` are those of ``SegmentSettings``, such as ``epochs=20``.

    In each of more ``rounds`` a new one learns from what the one before repainted. ``truth`` scores the masks'
    precision and ``val_truth`` each round; only with ``fully_supervised`` truth is learned from.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    return segment_in_rounds(
        Path(run),
        as_path(masks),
        Path(out),
        SegmentSettings.parse(settings),
        rounds,
        as_path(truth),
        as_path(val_truth),
        fully_supervised,
        resume,
    )


@takes(PredictSettings)
def predict(
    model: str | Path,
    photographs: str | Path | Sequence[str | Path],
    out: str | Path,
    split: str | None = None,
    **settings: Any,
) -> MaskSetSummary:
    """Mask images, or with none given a split, with a segmenter, a tagged run or an ONNX file.

    ``settings`` are those of ``PredictSettings``, such as ``flip=True``.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    given = [photographs] if isinstance(photographs, str | Path) else photographs
    paths = [Path(path) for path in given]
    return prediction.predict(Path(model), paths, Path(out), PredictSettings.parse(settings), split)


@takes(DataSettings)
def check(data: str | Path, **settings: Any) -> CheckReport:
    """Look over a data folder before training; ``settings`` are those of ``DataSettings``, such as ``bands=4``.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    return checking.check(Path(data), DataSettings.parse(settings))


def report(
    run: str | Path,
    masks: str | Path | None = None,
    truth: str | Path | None = None,
    out: str | Path | None = None,
) -> Path:
    """Write a page about a run and a mask set of its; returns its path.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    return page.write_report(Path(run), as_path(masks), as_path(truth), as_path(out))


@takes(TrainSettings)
def compare(
    folder: str | Path,
    /,
    out: str | Path,
    methods: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    budget_minutes: float | None = None,
    masks: Mapping[str, Any] | None = None,
    **settings: Any,
) -> ComparisonResult:
    """Train several methods alike, paint, score.

    ``masks`` are settings of ``MaskSettings``, the others those of ``TrainSettings`` for every method.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    train_as, paint_as = TrainSettings.parse(settings), MaskSettings.parse(masks or {})
    plan = Comparison(Path(folder), Path(out), tuple(methods), tuple(seeds), budget_minutes, train_as, paint_as)
    return ComparisonResult(**comparing.compare(plan))


def export(model: str | Path, out: str | Path) -> OnnxSummary:
    """Write a run or a segmenter as one ONNX file.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    from tag2mask.exporters.onnx import export_onnx

    return export_onnx(Path(model), Path(out))


def evaluate(mask_set: str | Path, truth: str | Path, split: str | None = None) -> Scores:
    """Score a mask set against label images.

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    return evaluation.evaluate(Path(mask_set), Path(truth), split)


def convert(
    mask_set: str | Path, to: str, out: str | Path, images: str | Path | None = None, suffix: str | None = None
) -> Conversion:
    """Write a mask set as ``coco``, ``yolo``, ``cvat``, ``voc``, ``png``, ``geotiff`` or ``npz``.

    ``images`` is where the images are now, ``suffix`` what those had that are gone (coco).

    Raises:
        Tag2MaskError: what is wrong, where, and how to mend it.
    """
    return exporting.convert(Path(mask_set), to, Path(out), as_path(images), suffix)
