from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.check.folder import check
from tag2mask.synthetic.digits import CLASSES, NAMES, deal, enlarge, paste_digit, write_scenes

COUNTS = {"train": 40, "val": 8}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root, COUNTS, side=64, seed=0)
    return root


def test_scenes_are_a_sound_folder(scenes: Path) -> None:
    report = check(scenes, DataSettings())
    assert report.problems == []
    assert (report.background, report.classes, report.splits) == ("background", NAMES, COUNTS)
    assert report.masks == report.tagged == 48
    assert set(report.tags_per_image) <= {1, 2, 3}


def test_tags_are_the_classes_of_the_truth(scenes: Path) -> None:
    for sample in open_dataset(scenes, DataSettings(), "all"):
        truth = np.asarray(Image.open(sample.truth))
        assert truth.shape == (64, 64)
        assert sample.tags == tuple(value - CLASSES.offset for value in np.unique(truth) if value > 0)


def test_truth_is_where_the_digit_is() -> None:
    generator = np.random.default_rng(0)
    for value, ink in deal(["train"], generator)["train"][:20]:
        scene, truth = np.full((64, 64, 3), 0.5), np.zeros((64, 64), np.uint8)
        paste_digit(scene, truth, value, enlarge(ink, generator), generator)
        change = np.abs(scene - 0.5).max(axis=2)
        assert set(np.unique(truth)) == {0, value + 1}
        assert (truth[change > 0.2] > 0).all()
        assert (change[truth > 0] > 0).mean() > 0.99


def test_the_seed_decides(scenes: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path, COUNTS, side=64, seed=0)
    assert all(
        path.read_bytes() == (scenes / path.relative_to(tmp_path)).read_bytes() for path in tmp_path.rglob("*.*")
    )


def test_splits_share_no_handwriting() -> None:
    dealt = deal(["train", "val", "test"], np.random.default_rng(0))
    assert sum(map(len, dealt.values())) == 1797
    prints = {split: {ink.tobytes() for _, ink in digits} for split, digits in dealt.items()}
    assert not prints["train"] & (prints["val"] | prints["test"])
    assert not prints["val"] & prints["test"]
    assert all({value for value, _ in digits} == set(range(10)) for digits in dealt.values())
