from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tag2mask.data.classes import Classes
from tag2mask.data.sources.record import require_values
from tag2mask.errors import DataError


def test_values_that_are_neither_a_class_nor_ignore() -> None:
    labels = np.array([[0, 2, -1], [255, 3, -255]])
    assert Classes(("cat", "dog"), "background").foreign(labels).tolist() == [-1, 3, -255]
    assert Classes(("cat", "dog")).foreign(labels).tolist() == [2, -1, 3, -255]


def test_a_negative_label_is_no_class_of_a_source() -> None:
    with pytest.raises(DataError, match=r"a\.png: holds the value -1, which is none of 3"):
        require_values(Path("a.png"), np.array([[0, -1]]), Classes(("cat", "dog"), "background"))
