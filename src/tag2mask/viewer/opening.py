"""From a path to a session: a mask set, a run or a segmenter."""

from __future__ import annotations

import getpass
from pathlib import Path

from tag2mask.data import DataSettings
from tag2mask.errors import MaskSetError
from tag2mask.masks.corrections import Corrections, beside
from tag2mask.masks.write import MaskSet, open_finished
from tag2mask.training.run import Run, open_run
from tag2mask.viewer.masks import StoredMasks, list_items, samples_of, splits_of
from tag2mask.viewer.session import Session


def open_session(
    path: Path,
    data: Path | None = None,
    compare: Path | None = None,
    corrections: Path | None = None,
    who: str | None = None,
) -> Session:
    """Open what ``path`` holds.

    Raises:
        MaskSetError: a mask set is missing, not finished or damaged, or has other classes.
        RunError: ``path`` is neither a mask set, a run nor a segmenter.
        DataError: the images are not there.
    """
    opened = open_finished(path)
    settings = data_settings(opened)
    masks = StoredMasks(opened)
    place = data or (Path(opened.manifest["data"]) if "data" in opened.manifest else None)
    items = list_items(masks, samples_of(opened, data, settings), splits_of(place, settings))
    store = Corrections(corrections or beside(path), masks.origin, who or user_name())
    other = None if compare is None else of_same_classes(compare, opened)
    names = frozenset(() if other is None else other.names())
    return Session(path.resolve().name, "masks", masks, items, store, settings, other, names)


def of_same_classes(path: Path, masks: MaskSet) -> StoredMasks:
    """Open a mask set to compare with.

    Raises:
        MaskSetError: it has other classes.
    """
    other = open_finished(path)
    if other.classes != masks.classes:
        raise MaskSetError(f"{path} has other classes than {masks.path}; compare masks of the same classes")
    return StoredMasks(other)


def data_settings(masks: MaskSet) -> DataSettings:
    """Return the settings of the data that masks were made from: those of their run, if it is there."""
    run = run_of(masks)
    return DataSettings() if run is None else run.settings.data


def run_of(masks: MaskSet) -> Run | None:
    """Return the run that painted a mask set, if it is where tag2mask puts it: around or beside the mask set."""
    name, digest = masks.manifest.get("run"), masks.manifest.get("checkpoint_sha256")
    if not name or not digest:
        return None
    around = masks.path.resolve().parent
    for place in (around, around / Path(name).name, around.parent / Path(name).name):
        if (place / "config.yaml").is_file() and place.name == name:
            run = open_run(place)
            if run.checkpoint_hash() == digest:
                return run
    return None


def user_name() -> str:
    """Return the name of the user, as the system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
