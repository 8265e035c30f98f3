"""Images read a few at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tag2mask.data import DataSettings, Sample
from tag2mask.data import batches as module
from tag2mask.data.batches import batches


def test_neighbours_of_one_size_together_and_not_too_many_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = []
    for index, side in enumerate((8, 8, 8, 8, 9, 8, 40)):
        path = tmp_path / f"{index}.png"
        Image.fromarray(np.full((side, 8, 3), index, np.uint8)).save(path)
        samples.append(Sample(str(index), path))
    samples.insert(1, Sample("none", tmp_path / "none.png"))
    failures: dict[str, str] = {}
    found = list(batches(samples, DataSettings(), 3, failures))
    assert [[sample.name for sample, _ in batch] for batch in found] == [["0", "1", "2"], ["3"], ["4"], ["5"], ["6"]]
    assert list(failures) == ["none"]
    assert found[-1][0][1].shape == (3, 40, 8)
    assert np.allclose(found[-1][0][1], 6 / 255)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 2 * 64)
    sizes = [len(batch) for batch in batches(samples, DataSettings(), 3, {})]
    assert sizes == [2, 2, 1, 1, 1]
