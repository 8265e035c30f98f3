"""What only tables of one's own can have wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tag2mask.data.sources import open_source
from tag2mask.errors import DataError

BROKEN = {
    "image,label\na.jpg,cat\n": "there is no column labels; did you mean label",
    "": "there is no column image; there are none",
    "image,labels\n": "has no rows",
    "image,labels\na.jpg,cat,dog\n": "line 2: 3 fields where the header has 2",
    "image,labels\n,cat\n": "line 2, column image: names no photograph",
    "image,labels\na.jpg,cat\na.png,dog\n": "line 3: a.png stands there already",
}


@pytest.mark.parametrize("content", BROKEN)
def test_bad_tables_say_where(content: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(DataError, match=r"labels\.csv") as error:
        open_source("csv", tmp_path, {})
    assert BROKEN[content] in str(error.value)


def test_names_without_suffix_and_lists_in_files(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,labels\n007,cat\n08,\n")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/val.txt").write_text("08\n")
    source = open_source("csv", tmp_path, {"suffix": ".jpg"})
    assert source.record("007").image == tmp_path / "007.jpg"
    assert source.splits == {"val": ["08"]}
    (tmp_path / "splits/val.txt").write_text("09\n")
    with pytest.raises(DataError, match=r"val\.txt, line 1: 09 is not in"):
        open_source("csv", tmp_path, {})
