from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.check.folder import check
from tag2mask.data.reading import read_mask
from tag2mask.synthetic.textures import KINDS, PATTERNS, texture_classes, write_textures


def test_a_thousand_classes_are_pairs_of_hues_and_patterns() -> None:
    names = texture_classes(1000).names
    assert len(KINDS) == 1080
    assert len(set(names)) == 1000
    assert {name.split("-")[0] for name in names} == set(PATTERNS)


def test_patterns_differ_however_they_are_shifted() -> None:
    y, x = np.indices((20, 20))
    seen = [
        {PATTERNS[name](y + down, x + right).tobytes() for down in range(20) for right in range(20)}
        for name in PATTERNS
    ]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_tags_are_what_the_masks_hold(tmp_path: Path) -> None:
    write_textures(tmp_path, {"train": 12, "val": 3}, classes=1000, side=48)
    report = check(tmp_path, DataSettings())
    assert (report.fatal, report.images, report.masks) == (False, 15, 15)
    for sample in open_dataset(tmp_path, DataSettings(), "all"):
        assert sample.truth is not None
        values = set(np.unique(read_mask(sample.truth)).tolist()) - {0}
        assert values
        assert {tag + 1 for tag in sample.tags or ()} == values
    assert np.asarray(Image.open(tmp_path / "images/val_0002.png")).shape == (48, 48, 3)
