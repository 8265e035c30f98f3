"""A mask set says itself whether it is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tag2mask.data import Classes
from tag2mask.errors import MaskSetError
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.exporters import convert
from tag2mask.masks.write import MaskSetWriter, Painted, mask_path, open_finished, open_mask_set
from tag2mask.reports.page import write_report
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.workflows.rounds import segment_in_rounds

CLASSES = Classes(("cat", "dog"))
SETTINGS = SegmentSettings(weights="none")
# What reads a finished mask set: by run, mask set, truth and a new folder.
READERS: dict[str, Callable[[Path, Path, Path, Path], object]] = {
    "evaluate": lambda run, masks, truth, out: evaluate(masks, truth),
    "convert": lambda run, masks, truth, out: convert(masks, "voc", out),
    "segment": lambda run, masks, truth, out: segment_in_rounds(run, masks, out, SETTINGS),
    "rounds": lambda run, masks, truth, out: segment_in_rounds(run, masks, out, SETTINGS, rounds=2),
    "report": lambda run, masks, truth, out: write_report(run, masks, out=out),
}


def paint(path: Path, names: list[str]) -> None:
    """One call of what paints: the masks that are not there, those whose names end in 1 as fallbacks."""
    writer = MaskSetWriter(path, CLASSES, {"settings": {}})
    for name in names:
        if not writer.has(name):
            writer.add(name, Painted(np.zeros((2, 3), np.int64), ["cat"], fallback=name.endswith("1")))
    writer.finish({})


@pytest.mark.parametrize("reader", READERS)
def test_a_deleted_mask_is_named_by_all_that_read(reader: str, run: Path, masks: Path, tmp_path: Path) -> None:
    mask_path(masks, "p01").unlink()
    with pytest.raises(
        MaskSetError, match=r"1 of the 8 masks that manifest\.json lists are missing, such as .*masks/p01\.png"
    ):
        READERS[reader](run, masks, tmp_path / "squares/masks", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_any_mask_left_they_are_missing_not_none(tmp_path: Path) -> None:
    paint(tmp_path / "set", ["a", "b"])
    for name in ("a", "b"):
        mask_path(tmp_path / "set", name).unlink()
    with pytest.raises(MaskSetError, match="2 of the 2 masks"):
        open_finished(tmp_path / "set")


def test_a_deleted_mask_is_painted_anew_and_noted_once(tmp_path: Path) -> None:
    path, names = tmp_path / "set", ["a", "b1", "c"]
    paint(path, names)
    before = open_finished(path).manifest
    mask_path(path, "b1").unlink()
    paint(path, names)
    assert open_finished(path).manifest == before


def test_interrupted_while_a_finished_set_goes_on_nothing_is_forgotten(tmp_path: Path) -> None:
    path, names = tmp_path / "set", ["a1", "b1", "c"]
    paint(path, names)
    before = open_mask_set(path).manifest
    for name in ("a1", "c"):
        mask_path(path, name).unlink()
    MaskSetWriter(path, CLASSES, {"settings": {}}).add(
        "c", Painted(np.zeros((2, 3), np.int64), ["cat"], fallback=False)
    )
    assert MaskSetWriter(path, CLASSES, {"settings": {}}).has("b1")
    paint(path, names)
    assert open_finished(path).manifest == before


def test_images_without_tags_are_counted(tmp_path: Path) -> None:
    writer = MaskSetWriter(tmp_path / "masks", CLASSES, {"settings": {}})
    for name, tags in (("a", ["cat"]), ("b", []), ("c", [])):
        writer.add(name, Painted(np.zeros((2, 3), np.int64), tags, fallback=False))
    summary = writer.finish({"d": "unreadable"})
    assert (summary.images, summary.fallbacks, summary.untagged, summary.failures) == (3, 0, 2, {"d": "unreadable"})
    assert summary.to_json()["masks"] == str(tmp_path / "masks")
