"""From a path to a session: a mask set, a run or a segmenter."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.folder import ALL
from tag2mask.errors import MaskSetError, RunError, SplitMissingError, Tag2MaskError
from tag2mask.files import held
from tag2mask.masks.corrections import QUEUE, Corrections, beside
from tag2mask.masks.manifest import MANIFEST, has_scores
from tag2mask.masks.resolve import resolve_masks
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.shards import find_shards
from tag2mask.masks.write import MaskSet, open_finished, open_mask_set
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.kinds import RUN, SEGMENTER, kind_of
from tag2mask.training.run import CONFIG, open_run
from tag2mask.viewer.fresh import FreshMasks
from tag2mask.viewer.judging import facts_of, signs_of
from tag2mask.viewer.masks import Masks, StoredMasks, StoredShares, list_items, samples_of, splits_of
from tag2mask.viewer.models import Model, RunModel, SegmenterModel
from tag2mask.viewer.queue import Queue
from tag2mask.viewer.session import Session
from tag2mask.workflows.plan import SEGMENTER as STUDENT

LEARNED = "val"  # split of a segmenter's masks
TRAINED = "masks-train"  # the mask set of a run that opens if there are others


@dataclass(frozen=True)
class Source:
    """Masks, where their corrections go, and how they were made.

    ``no_model`` says why there is no model; ``student`` is a segmenter that learned from these masks.
    """

    path: Path
    kind: str
    masks: Masks
    opened: MaskSet | None
    model: Model | None
    no_model: str
    data: Path | None
    settings: DataSettings
    student: Model | None = None


@contextmanager
def opened_session(
    path: Path,
    data: Path | None = None,
    compare: Path | None = None,
    corrections: Path | None = None,
    who: str | None = None,
    judged: bool = True,
) -> Iterator[Session]:
    """Open what ``path`` holds; its corrections are locked against other viewers until the end.

    With ``judged``, a thread begins to find the masks to look at first.

    Raises:
        MaskSetError: a mask set is missing, not finished or damaged, or has other classes.
        RunError: ``path`` is neither a mask set, a run nor a segmenter, or another viewer has its corrections open.
        DataError: the images are not there.
    """
    source = open_source(path, data)
    masks = source.masks
    place = corrections or beside(source.path)
    with held_corrections(place):
        opened = source.opened
        if opened is None:
            assert isinstance(masks, FreshMasks)
            samples = masks.samples
        else:
            samples = samples_of(opened, data, source.settings)
        items = list_items(masks, samples, splits_of(source.data, source.settings))
        other = None if compare is None else of_same_classes(compare, masks)
        shares = StoredShares(opened) if opened is not None and has_scores(opened.manifest) else None
        session = Session(
            title=path.resolve().name,
            kind=source.kind,
            masks=masks,
            items=items,
            corrections=Corrections(place, masks.origin, who or user_name()),
            queue=Queue(place / QUEUE, queue_key(source, other, shares), len(items)),
            data_settings=source.settings,
            compare=other,
            compare_names=frozenset(() if other is None else other.names()),
            shares=shares,
            model=source.model,
            no_model=source.no_model,
            student=None if compare is not None else source.student,
        )
        if judged:
            session.queue.start(items, partial(facts_of, session), partial(signs_of, session))
        try:
            yield session
        finally:
            session.close()


def queue_key(source: Source, compare: Masks | None, shares: StoredShares | None) -> str:
    """Return a text that differs if the order of the masks would."""
    compared = "" if compare is None else compare.origin.key
    there = [one is not None for one in (source.model, source.student, shares)]
    parts = [source.masks.origin.key, compared, str(there)]
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


@contextmanager
def held_corrections(place: Path) -> Iterator[None]:
    """Lock the folder of corrections."""
    try:
        lock = held(place)
        lock.__enter__()
    except RunError:
        raise RunError(
            f"{place} is open in another viewer: stop it, or name another folder with --corrections"
        ) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def open_source(path: Path, data: Path | None) -> Source:
    """Open a mask set, a run or a segmenter."""
    if (path / MANIFEST).is_file() or find_shards(path):
        return of_mask_set(path, data, "masks")
    if not (path / CONFIG).is_file():
        inner = sorted(one.parent for one in path.glob(f"*/{CONFIG}"))
        hint = f"; did you mean {inner[0]}?" if inner else ": give what tag2mask masks, predict, train or segment wrote"
        raise RunError(f"{path} is neither a mask set nor a run nor a segmenter{hint}")
    kind = kind_of(path)
    if kind == SEGMENTER:
        return of_mask_set(painted_by_segmenter(path), data, kind)
    if kind != RUN:
        raise RunError(f"{path} is a {kind}; give a mask set, a run or a segmenter")
    found = sorted(one.parent for one in path.glob(f"*/{MANIFEST}"))
    if not found:
        return of_run(path, data)
    chosen = [one for one in found if one.name == TRAINED] or found
    if len(chosen) > 1:
        raise RunError(f"{path} has {len(found)} mask sets: give one of them ({', '.join(map(str, found))})")
    return of_mask_set(chosen[0], data, kind)


def of_run(path: Path, data: Path | None) -> Source:
    """Open a run that has painted no masks yet."""
    run = open_run(path)
    split = run.settings.split
    place = data or run.data
    model = RunModel(run, resolve_masks(MaskSettings.parse({"split": split}), run))
    masks = FreshMasks(model, open_dataset(place, run.settings.data, split), split)
    return Source(path / masks.origin.mask_set, RUN, masks, None, model, "", place, run.settings.data)


def of_mask_set(path: Path, data: Path | None, kind: str) -> Source:
    """Open a mask set, with its model if that is found."""
    opened = open_finished(path)
    place = data or (Path(opened.manifest["data"]) if "data" in opened.manifest else None)
    model: Model | None = None
    try:
        model, settings = model_of(opened)
        reason = "" if model is not None else f"the run or segmenter that made {path} was not found around it"
    except Tag2MaskError as error:
        reason, settings = str(error), None
    if settings is None:
        settings = DataSettings() if place is None else DataSettings().completed(place)
    return Source(path, kind, StoredMasks(opened), opened, model, reason, place, settings, student_of(opened))


def model_of(masks: MaskSet) -> tuple[Model | None, DataSettings | None]:
    """Return the model that made a mask set, and the settings of its data; None if it is not found.

    Raises:
        Tag2MaskError: it is found, but cannot be opened.
    """
    manifest = masks.manifest
    for place in places_around(masks.path, manifest.get("run") or manifest.get("segmenter")):
        kind = kind_of(place)
        if kind == RUN and "run" in manifest:
            run = open_run(place)
            if run.checkpoint_hash() == manifest.get("checkpoint_sha256"):
                settings = MaskSettings.parse(manifest["settings"])
                return RunModel(run, resolve_masks(settings, run)), run.settings.data
        elif kind == SEGMENTER and "segmenter" in manifest:
            segmenter = open_segmenter(place)
            if segmenter.checkpoint_hash() == manifest.get("checkpoint_sha256"):
                chosen = {key: value for key, value in manifest["settings"].items() if key in ("look", "refine")}
                return SegmenterModel(place, PredictSettings.parse(chosen)), segmenter.data_settings
    return None, None


def student_of(masks: MaskSet) -> Model | None:
    """Return the segmenter that ``tag2mask run`` trained on these masks, None if there is none."""
    place = masks.path.resolve().parent.parent / STUDENT
    try:
        learned = open_segmenter(place).origin.get("masks")
        if learned is not None and learned.get("path") == str(masks.path.resolve()):
            return SegmenterModel(place, PredictSettings())
    except Tag2MaskError:  # only the order of the masks gains from it
        return None
    return None


def places_around(masks: Path, name: str | None) -> Iterator[Path]:
    """Yield the models of this name around and beside a mask set, where tag2mask puts them."""
    around = masks.resolve().parent
    for folder in [] if not name else [around, *(upper / Path(name).name for upper in (around, around.parent))]:
        if folder.name == name and (folder / CONFIG).is_file():
            yield folder


def painted_by_segmenter(path: Path) -> Path:
    """Return a mask set of the segmenter's split ``val``, or of all images if there is none; paint it if needed.

    Raises:
        MaskSetError: some images could not be painted.
    """
    digest = open_segmenter(path).checkpoint_hash()
    for split in (LEARNED, ALL):
        out = path / f"view-{split}"
        if (out / MANIFEST).is_file():
            manifest = open_mask_set(out).manifest
            if manifest.get("complete") and manifest.get("checkpoint_sha256") == digest:
                return out
        try:
            summary = predict(path, [], out, PredictSettings(), split)
        except SplitMissingError:
            continue
        if not summary.images:
            raise MaskSetError(f"{out}: {next(iter(summary.failures.values()), 'there are no images')}")
        return out
    raise MaskSetError(f"{path} has no images to paint")


def of_same_classes(path: Path, masks: Masks) -> StoredMasks:
    """Open a mask set to compare with.

    Raises:
        MaskSetError: it has other classes.
    """
    other = StoredMasks(open_finished(path))
    if other.origin.classes != masks.origin.classes:
        raise MaskSetError(f"{path} has other classes than the masks to view; compare masks of the same classes")
    return other


def user_name() -> str:
    """Return the name of the user, as the system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
