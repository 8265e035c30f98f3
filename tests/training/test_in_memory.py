"""Images in memory are learned from without any folder of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import tag2mask
from squares import COLOURS
from tag2mask.errors import DataError, RunError, SettingsError

Pairs = list[tuple[Any, list[str]]]


def pairs_of(squares: Path, split: str) -> Pairs:
    """The images of a split with their tags."""
    rows = dict(line.split(",") for line in (squares / "labels.csv").read_text().splitlines()[1:])
    names = (squares / f"splits/{split}.txt").read_text().split()
    return [(Image.open(squares / f"images/{name}.png"), rows[f"{name}.png"].split(";")) for name in names]


def test_it_learns_what_it_learns_from_a_folder(squares: Path, small: dict[str, Any], tmp_path: Path) -> None:
    train, val = pairs_of(squares, "train"), pairs_of(squares, "val")
    result = tag2mask.train(train, tmp_path / "memory", val=val, classes=list(COLOURS), **small)
    tag2mask.train(squares, tmp_path / "folder", **small)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("memory", "folder"))
    assert all((one[name] == other[name]).all() for name in other)
    assert result.best_ap is not None
    labels = tag2mask.load(tmp_path / "memory").predict(train[0][0], tags=train[0][1])
    assert np.array_equal(labels, tag2mask.load(tmp_path / "folder").predict(train[0][0], tags=train[0][1]))


def test_its_run_has_no_data_and_says_so(squares: Path, small: dict[str, Any], tmp_path: Path) -> None:
    tag2mask.train(pairs_of(squares, "train"), tmp_path / "run", classes=list(COLOURS), **small)
    with pytest.raises(
        RunError, match="learned from images in memory or was published and has no data set of its own; name one with"
    ):
        tag2mask.make_masks(tmp_path / "run")
    assert tag2mask.make_masks(tmp_path / "run", squares, tmp_path / "masks", split="val").images == 4


def test_it_goes_on_where_it_was(squares: Path, small: dict[str, Any], tmp_path: Path) -> None:
    train = pairs_of(squares, "train")
    tag2mask.train(train, tmp_path / "run", **small)
    assert tag2mask.load(tmp_path / "run").classes.names == ("blue", "green", "red")
    assert tag2mask.train(train, tmp_path / "run", resume=True, **small).epochs == 2


GRAY = np.zeros((40, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("pairs", "options", "message"),
    [
        ([], {}, "no image has a tag: the list of images is empty"),
        ([], {"classes": ["red"]}, "no image of this split has tags"),
        ([(GRAY, "red")], {}, r"image-00000: its tags are 'red', expected a list of names such as"),
        ([(GRAY, [1])], {}, r"image-00000: its tags are \[1\], expected a list of names"),
        ([(GRAY, None)], {}, "image-00000: its tags are None, expected a list of names"),
        ([GRAY], {}, r"image-00000: is ndarray, expected a pair \(image, \[name, ...\]\)"),
        ([(GRAY, ["red"], 3)], {}, "image-00000: is tuple, expected a pair"),
        ([(3, ["red"])], {}, "image-00000: is int, expected a path, a Pillow image, a numpy array or a torch tensor"),
        ([(GRAY, ["red"])], {"classes": "red"}, "classes are 'red', expected a list of names"),
        ([(GRAY, ["red"])], {"classes": ["red", "red"]}, "classes: red is listed twice"),
        ([(GRAY, ["red"])], {"classes": ["red", "background"]}, "background is not a tag: name it first in classes"),
        ([(GRAY, ["background"])], {}, "background is not a tag"),
        ([(GRAY, [" red "])], {}, "the tags: ' red ' is not the name of a class"),
        ([(GRAY, ["a;b"])], {}, "the tags: a;b contains a ;"),
        (
            [(GRAY, ["redd"])],
            {"classes": ["red"]},
            "tag 'redd' is not a class; did you mean",
        ),
        ([(np.zeros((40, 40), np.int64), ["red"])], {}, "image-00000: holds int64"),
        ([("nowhere.png", ["red"])], {}, "nowhere.png: the image is missing"),
    ],
)
def test_what_cannot_be_learned_from(
    pairs: Pairs, options: dict[str, Any], message: str, small: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        tag2mask.train(pairs, tmp_path / "run", **options, **small)
    assert not (tmp_path / "run").exists()


def test_a_folder_has_its_own_lists(squares: Path, small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="val and classes are for images in memory"):
        tag2mask.train(squares, tmp_path / "run", classes=["red"], **small)


SCRIPT = """
from PIL import Image
import tag2mask
rows = [line.split(",") for line in open("squares/labels.csv").read().split()[1:]]
pairs = [(Image.open(f"squares/images/{name}"), tags.split(";")) for name, tags in rows]
tag2mask.train(pairs, out="run", epochs=1, weights="none", backbone=BACKBONE, method_settings=LAYERS)
model = tag2mask.load("run")
labels = model.predict(pairs[0][0], tags=pairs[0][1])
Image.fromarray(labels).save("mask.png")
"""


def test_ten_lines_train_on_images_in_memory(
    squares: Path, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(SCRIPT.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    exec(SCRIPT, {"BACKBONE": small["backbone"], "LAYERS": small["method_settings"]})
    assert Image.open("mask.png").size == Image.open(squares / "images/p00.png").size
