"""The verbs as Python functions. Paths may be strings, settings are keyword arguments, groups of settings dicts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from tag2mask import exporters as exporting
from tag2mask.artifacts.model import Model, load
from tag2mask.data import DataSettings
from tag2mask.data.check import folder as checking
from tag2mask.data.check.report import CheckReport
from tag2mask.data.in_memory import Image, Pairs, require_names
from tag2mask.data.remote import fetch, fetch_all, require_local, show
from tag2mask.data.sources import prepare as preparation
from tag2mask.data.sources.prepare import Prepared, PrepareSettings
from tag2mask.errors import SettingsError
from tag2mask.evaluation import evaluate as evaluation
from tag2mask.evaluation.evaluate import Scores
from tag2mask.exporters import Conversion
from tag2mask.exporters.hub import HubSummary, export_hub
from tag2mask.fields import takes
from tag2mask.masks import merge as merging
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSetSummary
from tag2mask.prediction.settings import PredictSettings
from tag2mask.probe import train as probing
from tag2mask.probe.probe import ProbeSettings
from tag2mask.probe.train import ProbeSummary
from tag2mask.reports import page
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import SegmentResult
from tag2mask.shown import PlainResult
from tag2mask.training import imported
from tag2mask.training.imported import ImportResult
from tag2mask.training.loop import TrainResult
from tag2mask.training.settings import TrainSettings
from tag2mask.viewer import serve as serving
from tag2mask.workflows import bench as benching
from tag2mask.workflows import compare as comparing
from tag2mask.workflows import doctor as diagnosing
from tag2mask.workflows import on_ray, training
from tag2mask.workflows.bench import BenchResult
from tag2mask.workflows.compare import Comparison, ComparisonResult
from tag2mask.workflows.doctor import Diagnosis
from tag2mask.workflows.plan import Plan, WholeSettings
from tag2mask.workflows.rounds import segment_in_rounds
from tag2mask.workflows.run import WholeResult, run_whole

if TYPE_CHECKING:  # the extra onnx may be missing
    from tag2mask.exporters.onnx import OnnxSummary

__all__ = [
    "Model", "bench", "check", "compare", "convert", "doctor", "evaluate", "export", "import_checkpoint", "load",
    "make_masks", "merge", "predict", "prepare", "push", "report", "run", "segment", "train", "train_probe", "view",
]  # fmt: skip

Tagged = Sequence[tuple[Image, Sequence[str]]]


def as_path(path: str | Path, reached: Callable[[str | Path], Path] = require_local) -> Path:
    """Convert to a ``Path``; ``reached`` turns a URL into one, or refuses it.

    Raises:
        SettingsError: it is not one.
    """
    if not isinstance(path, str | os.PathLike):
        raise SettingsError(f"expected a path, got {type(path).__name__}: {path!r:.60}")
    return reached(path)


def as_path_or_none(path: str | Path | None, reached: Callable[[str | Path], Path] = require_local) -> Path | None:
    """Convert to a ``Path``; None stays None."""
    return None if path is None else as_path(path, reached)


@takes(WholeSettings)
def run(data: str | Path, /, out: str | Path, *, quick: bool = False, **settings: Any) -> WholeResult:
    """Run all steps: check, train, probe, masks, segment, predict, evaluate, report. Called again, it continues.

    Args:
        data: Folder with ``images/`` and ``labels.csv``, or with one folder per class.
        out: Folder for all results: ``run``, ``segmenter``, ``predicted-val``, ``report.html``, ...
        quick: Whether to use small crops and few epochs, for a first result.
        **settings: Settings of the steps, as in ``train={"epochs": 5}, masks={"paint": {"unsure": 0.6}}``.

    Returns:
        The results of all steps in ``stages``, and ``scores`` with one row per mask set that has true masks.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return run_whole(Plan(as_path(data), as_path(out), WholeSettings.parse(settings), quick))


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
    """Convert a data set in another layout to a folder that ``train`` reads. Called again, it continues.

    Args:
        source: ``voc``, ``coco``, ``ade20k``, ``dfc2020``, ``endotect``, ``coco-json``, ``labelme``, ``imagefolder``,
            ``csv``, ``huggingface``, ``yolo``, or a source of another package.
        root: Folder of the data set.
        out: New folder to write.
        splits: Splits to convert; all if empty.
        limit: Only the first ``limit`` images of each split.
        link: ``"hard"``, ``"symlink"`` or ``"copy"``: how image files get into ``out``.
        **settings: Settings of the source, such as ``tags="xml"`` of ``voc``.

    Returns:
        Numbers of images, tagged images, masks and images per split, and the images that failed.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    plan = PrepareSettings.parse({"splits": splits, "limit": limit, "link": link})
    return preparation.prepare(source, as_path(root), as_path(out), settings, plan)


@takes(TrainSettings)
def train(
    tagged: str | Path | Tagged,
    /,
    out: str | Path,
    *,
    val: Tagged = (),
    classes: Sequence[str] | None = None,
    resume: bool = False,
    probe: bool = True,
    **settings: Any,
) -> TrainResult:
    """Train on tags and write a run with its probe, from which masks are painted by default.

    Args:
        tagged: A data folder, or a list of (image, tags) in memory. Images are paths, Pillow images, arrays or tensors
            of shape ``(Y, X)``, ``(Y, X, bands)`` or ``(bands, Y, X)``; tags are lists of class names.
        out: New folder for the run.
        val: More (image, tags) in memory. The epoch with the best tags on them is kept, without them the last one.
        classes: All class names, for images in memory; a first name ``"background"`` means that pixels may have no
            class. None uses the tags that occur, sorted, without a background.
        resume: Whether to continue the training in ``out``.
        probe: Whether to train the probe, too: a linear layer that classifies patches (``train_probe``). A network
            trained from scratch (``weights="none"``) never gets one here.
        **settings: Settings of ``TrainSettings``, such as ``epochs=10``.

    Returns:
        The run's folder, the number of epochs, and the best epoch with its validation average precision.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.

    Example:
        >>> pairs = [(Image.open("a.jpg"), ["cow"]), (Image.open("b.jpg"), ["cow", "dog"])]  # doctest: +SKIP
        >>> tag2mask.train(pairs, out="run", epochs=5)  # doctest: +SKIP
    """
    parsed = TrainSettings.parse(settings)
    if isinstance(tagged, str | Path):
        if val or classes is not None:
            raise SettingsError("val and classes are for images in memory; a folder has splits/val.txt and classes.txt")
        return training.train(as_path(tagged), as_path(out), parsed, resume, probe)
    images = Pairs(tagged, parsed.data, classes)
    validation = Pairs(val, parsed.data, [*images.classes.pixel_names], "val")
    return training.train_in_memory(images, list(validation), as_path(out), parsed, resume, probe)


def import_checkpoint(
    checkpoint: str | Path,
    method: str,
    classes: str | Path,
    out: str | Path,
    *,
    background: bool = False,
    image_size: int | None = None,
) -> ImportResult:
    """Turn weights released by a method's authors into a run, without executing anything in the file.

    Args:
        checkpoint: The ``.pth`` file.
        method: ``weaktr``, ``mctformer-v1``, ``mctformer-v2`` or ``mctformer-plus``.
        classes: Text file with one class name per line, in the order of training.
        out: New folder for the run.
        background: Whether pixels may have no class; a first line ``background`` in ``classes`` means the same.
        image_size: Side of images in pixels; None keeps that of training.

    Returns:
        The run's folder, what was read, and the recipe for painting masks like the authors'.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return imported.import_checkpoint(
        as_path(checkpoint), method, as_path(classes), as_path(out), background, image_size
    )


@takes(ProbeSettings)
def train_probe(run: str | Path, /, out: str | Path | None = None, **settings: Any) -> ProbeSummary:
    """Train a probe: a linear layer that classifies patches, learned from the class maps of a run.

    Args:
        run: Folder written by ``train``.
        out: New folder for the probe; None makes it the run's own. Called again, it continues there.
        **settings: Settings of ``ProbeSettings``, such as ``steps=600``.

    Returns:
        The number of sure patches and the fraction of patches by class name, and the images that failed.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return probing.train_probe(as_path(run), as_path_or_none(out), ProbeSettings.parse(settings))


@takes(MaskSettings)
def make_masks(
    run: str | Path,
    data: str | Path | None = None,
    out: str | Path | None = None,
    shard: str | None = None,
    **settings: Any,
) -> MaskSetSummary:
    """Paint the masks of a split and write a mask set.

    Args:
        run: Folder written by ``train``, or its URL (docs/clusters.md).
        data: A data folder other than the run's, or its URL.
        out: New folder; None writes to ``RUN/masks-SPLIT``, or a shard to ``RUN/shards-SPLIT``. The URL of
            a folder for shards.
        shard: Paint only this part of the images, ``"3/16"`` or ``"auto"``, into one file of ``out``; see ``merge``.
            ``"ray/16"`` paints all 16 parts on a Ray cluster.
        **settings: Settings of ``MaskSettings``, such as ``split="val"`` or ``refine={"names": "pamr,crf"}``.

    Returns:
        The folder of the mask set, the number of masks, and the images that failed.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    paint_as = MaskSettings.parse(settings)
    return on_ray.make_masks(
        as_path(run, fetch), as_path_or_none(data, fetch), as_path_or_none(out, show), paint_as, shard
    )


def merge(shards: str | Path, out: str | Path) -> MaskSetSummary:
    """Write the mask set of all shards in a folder. Called again, it continues.

    Args:
        shards: Folder that ``make_masks`` or ``predict`` wrote all shards to, or its URL.
        out: New folder for the mask set.

    Returns:
        The folder of the mask set, the number of masks, and the images that failed.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return merging.merge(as_path(shards, fetch_all), as_path(out))


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
    corrections: str | Path | None = None,
    **settings: Any,
) -> SegmentResult:
    """Train a segmentation network on a mask set and write a segmenter.

    Args:
        run: Folder written by ``train``; its data and backbone are used.
        masks: The finished mask set to learn from; None with ``fully_supervised``.
        out: New folder for the segmenter.
        rounds: Number of trainings. After each one but the last, the network repaints the masks for the next.
        truth: Folder of true masks, used only to score the masks' precision unless ``fully_supervised``.
        val_truth: Folder of true validation masks, used only to score the rounds; None uses ``truth``.
        fully_supervised: Whether to learn from ``truth`` instead of ``masks``, as an upper bound.
        resume: Whether to continue the training in ``out``.
        corrections: Folder that ``view`` wrote. Its masks replace the painted ones, and pixels that people touched
            count fully; rejected images are left out.
        **settings: Settings of ``SegmentSettings``, such as ``epochs=20``.

    Returns:
        The segmenter's folder, its last loss, and the fraction of labels kept by clipping and their precision.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return segment_in_rounds(
        as_path(run, fetch),
        as_path_or_none(masks, fetch_all),
        as_path(out),
        SegmentSettings.parse(settings),
        rounds,
        as_path_or_none(truth),
        as_path_or_none(val_truth),
        fully_supervised,
        resume,
        as_path_or_none(corrections),
    )


@takes(PredictSettings)
def predict(
    model: str | Path,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    split: str | None = None,
    shard: str | None = None,
    **settings: Any,
) -> MaskSetSummary:
    """Paint masks of new images and write a mask set.

    Args:
        model: A segmenter, a tagged run or an ONNX file, or its URL (docs/clusters.md).
        images: One or several image files or folders, or their URLs; an empty list with ``split``.
        out: New folder for the mask set; the URL of a folder for shards.
        split: A split of the data that the model was trained on, instead of images.
        shard: Paint only this part of the images, ``"3/16"`` or ``"auto"``, into one file of ``out``; see ``merge``.
            ``"ray/16"`` paints all 16 parts on a Ray cluster.
        **settings: Settings of ``PredictSettings``, such as ``look={"flip": True}``.

    Returns:
        The folder of the mask set, the number of masks, and the images that failed.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    given = [images] if isinstance(images, str | Path) else images
    paths = [as_path(path, fetch) for path in given]
    return on_ray.predict(
        as_path(model, fetch), paths, as_path(out, show), PredictSettings.parse(settings), split, shard
    )


@takes(DataSettings)
def check(data: str | Path, **settings: Any) -> CheckReport:
    """Check a data folder before training.

    Args:
        data: Folder with ``images/`` and ``labels.csv``, or with one folder per class.
        **settings: Settings of ``DataSettings``, such as ``bands=4``.

    Returns:
        Counts of images, tags and masks, the ``problems`` found, and ``fatal`` if training could not work.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return checking.check(as_path(data), DataSettings.parse(settings))


def report(
    run: str | Path,
    masks: str | Path | None = None,
    truth: str | Path | None = None,
    out: str | Path | None = None,
) -> Path:
    """Write an HTML page about a run and one of its mask sets.

    Args:
        run: Folder written by ``train``.
        masks: A mask set of the run; None uses ``RUN/masks-train``, or the only one.
        truth: Folder of true masks; None uses those of the data set, if there are any.
        out: HTML file; None writes to ``RUN/report.html``.

    Returns:
        The path of the page.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return page.write_report(as_path(run), as_path_or_none(masks), as_path_or_none(truth), as_path_or_none(out))


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
    """Train several methods under the same conditions, paint masks and score them. Called again, it continues.

    Args:
        folder: The data folder.
        out: Folder for all results.
        methods: Names of methods, such as ``["attended", "linear"]``.
        seeds: Seeds; every method is trained once per seed.
        budget_minutes: Training time of each method in minutes; None trains all epochs.
        masks: Settings of ``MaskSettings``.
        **settings: Settings of ``TrainSettings`` for every method.

    Returns:
        ``table`` with one row per method, ``rows`` with one per method and seed, and the path of the HTML ``report``.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    methods = require_names(methods, "methods")
    train_as, paint_as = TrainSettings.parse(settings), MaskSettings.parse(masks or {})
    plan = Comparison(as_path(folder), as_path(out), methods, tuple(seeds), budget_minutes, train_as, paint_as)
    return comparing.compare(plan)


@overload
def export(model: str | Path, out: str | Path, format: Literal["onnx"] = "onnx") -> OnnxSummary: ...
@overload
def export(model: str | Path, out: str | Path, format: Literal["hub"]) -> HubSummary: ...
def export(
    model: str | Path,
    out: str | Path,
    format: Literal["onnx", "hub"] = "onnx",  # noqa: A002
) -> OnnxSummary | HubSummary:
    """Export a run or a segmenter to one ONNX file, compared with torch, or as a folder for the Hugging Face hub.

    Args:
        model: Folder written by ``train`` or ``segment``.
        out: ONNX file to write, or new folder.
        format: ``"onnx"``, or ``"hub"`` for a folder with weights, settings and a model card, which ``load`` opens.

    Returns:
        The file, its size in bytes, and the largest difference from torch; or the folder and the number of mask sets
        whose scores are in the card.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    if format not in ("onnx", "hub"):
        raise SettingsError(f"format {format!r} is unknown; use onnx or hub")
    if format == "hub":
        return export_hub(as_path(model), as_path(out))
    from tag2mask.exporters.onnx import export_onnx

    return export_onnx(as_path(model), as_path(out))


def push(model: str | Path, to: str | Path) -> HubSummary:
    """Write a folder for the Hugging Face hub, as ``export`` does with ``format="hub"``. Nothing is uploaded.

    Args:
        model: Folder written by ``train`` or ``segment``.
        to: New folder.

    Returns:
        The folder and the number of mask sets whose scores are in the card.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return export_hub(as_path(model), as_path(to))


def evaluate(
    mask_set: str | Path, truth: str | Path, split: str | None = None, corrections: str | Path | None = None
) -> Scores:
    """Score a mask set against true masks.

    Args:
        mask_set: Folder written by ``make_masks`` or ``predict``, or its URL.
        truth: Folder of label images ``NAME.png``.
        split: Score only the images of this split (``splits/NAME.txt`` next to ``truth``) or of this file of names.
        corrections: Folder that ``view`` wrote; its masks replace the painted ones.

    Returns:
        Scores in percent: ``miou``, ``precision``, ``recall``, ``pixel_accuracy``, and ``per_class`` with IoU by name.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    places = as_path(mask_set, fetch_all), as_path(truth, fetch_all)
    return evaluation.evaluate(*places, split, as_path_or_none(corrections))


def convert(
    mask_set: str | Path,
    to: str,
    out: str | Path,
    images: str | Path | None = None,
    suffix: str | None = None,
    corrections: str | Path | None = None,
) -> Conversion:
    """Write a mask set in the format of another tool.

    Args:
        mask_set: Folder written by ``make_masks`` or ``predict``, or its URL.
        to: ``coco``, ``yolo``, ``cvat``, ``voc``, ``png``, ``geotiff`` or ``npz``.
        out: New folder; a ``.json`` file for ``coco``, a ``.zip`` file for ``cvat``.
        images: Folder of the images, for ``coco`` and ``geotiff``; None looks where they were.
        suffix: File suffix of images that no longer exist, for ``coco``.
        corrections: Folder that ``view`` wrote. Its masks replace the painted ones; rejected images are left out.

    Returns:
        The output path, the number of masks, and counts specific to the format.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return exporting.convert(
        as_path(mask_set, fetch_all),
        to,
        as_path(out),
        as_path_or_none(images, fetch_all),
        suffix,
        as_path_or_none(corrections),
    )


def view(
    path: str | Path,
    data: str | Path | None = None,
    compare: str | Path | None = None,
    corrections: str | Path | None = None,
    *,
    who: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    no_open: bool = False,
) -> PlainResult:
    """Serve a page to look at masks and correct them, until Ctrl-C.

    Args:
        path: A mask set, a run or a segmenter.
        data: The data set of the images; None looks where they were.
        compare: Another mask set of the same images, to compare with.
        corrections: Folder for corrections; None writes to ``MASKSET-corrections``.
        who: Your name, saved with each correction; None is your user name.
        host: Address to serve on; others than this machine's own need a ``token``.
        port: Port; 0 takes a free one.
        token: The secret in the page's address; None makes a random one.
        no_open: Whether to open no browser.

    Returns:
        Where the corrections are, and the number of images with some.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    places = [as_path_or_none(one) for one in (data, compare, corrections)]
    return serving.view(as_path(path), places[0], places[1], places[2], who, host, port, token, no_open)


def doctor() -> Diagnosis:
    """Check the installation: versions, extras, devices, the source of weights, and a self-test of ten seconds.

    Returns:
        ``environment``, ``weights`` and ``self_test`` by name, and in ``broken`` what must be mended.
    """
    return diagnosing.doctor()


@takes(TrainSettings)
def bench(folder: str | Path | None = None, /, **settings: Any) -> BenchResult:
    """Measure this machine for about a minute: images per second and hours of each step.

    Args:
        folder: Data folder with images like those you mean to use; None measures with generated images of VOC's size.
        **settings: Settings of ``TrainSettings``, such as ``backbone="vit_base_patch16_224"``.

    Returns:
        ``rates`` with images per second, epochs and hours of each step, their ``hours`` in all, and the
        ``largest_batch`` that fits into the free memory.

    Raises:
        Tag2MaskError: The message says what is wrong, where, and how to fix it.
    """
    return benching.bench(as_path_or_none(folder), TrainSettings.parse(settings))
