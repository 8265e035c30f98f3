from __future__ import annotations

import time
from pathlib import Path

import pytest

from tag2mask.data.tags_table import indices, read_tag_table, tag_index, unknown_tags
from tag2mask.errors import DataError


def table(tmp_path: Path, text: str) -> Path:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    return tmp_path / "labels.csv"


def test_lists_of_tags_keep_their_order_and_lose_repeats_and_spaces(tmp_path: Path) -> None:
    read = read_tag_table(table(tmp_path, 'image,labels\na.jpg, sofa ;cat;sofa\n\n"b, c.jpg",\n'))
    assert [(row.image, row.tags, row.line) for row in read.rows] == [
        ("a.jpg", ("sofa", "cat"), 2),
        ("b, c.jpg", (), 4),
    ]
    assert (read.columns, read.tags) == (None, ("cat", "sofa"))


def test_columns_are_all_classes_even_those_without_a_1(tmp_path: Path) -> None:
    read = read_tag_table(table(tmp_path, "image,sofa,cat,dog\na.jpg,1, 0,0\n"))
    assert read.rows[0].tags == ("sofa",)
    assert read.tags == ("sofa", "cat", "dog")


def test_tables_of_spreadsheets_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert read_tag_table(table(tmp_path, "\ufeffimage,labels\na.jpg,cat\n")).rows[0].tags == ("cat",)


BAD = {
    "": "is empty; the first line must be image,labels",
    "\n": "is empty; the first line must be image,labels",
    "image\na.jpg\n": "line 1: the header is 'image'",
    "image;labels\na.jpg;cat\n": "line 1: the header is 'image;labels'; expected image,labels",
    "image,,cat\na.jpg,0,1\n": "line 1: the header is 'image,,cat'",
    "image,cat,cat\na.jpg,0,1\n": "line 1: column cat is repeated",
    "image,labels\n,cat\n": "line 2: names no image",
    "image,cat\na.jpg,\n": "line 2, column cat: '' is neither 0 nor 1",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_tables_say_where(tmp_path: Path, text: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(DataError) as error:
        read_tag_table(path)
    assert BAD[text] in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_tables_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("image,labels\na.jpg,café\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"labels.csv, line 2: is not UTF-8; save"):
        read_tag_table(tmp_path / "labels.csv")
    with pytest.raises(DataError, match=r"none\.csv: the table of tags is missing; create it"):
        read_tag_table(tmp_path / "none.csv")


def test_unknown_tags_name_the_nearest_or_what_there_is() -> None:
    assert tag_index("cat", {"dog": 0, "cat": 1}, "here") == 1
    with pytest.raises(DataError, match="here: tag 'cta' is not a class; did you mean cat"):
        tag_index("cta", {"dog": 0, "cat": 1}, "here")
    with pytest.raises(DataError, match="known classes: dog, cat"):
        tag_index("zzz", {"dog": 0, "cat": 1}, "here")


def test_lines_are_counted_past_line_breaks_in_quotes(tmp_path: Path) -> None:
    text = 'image,labels\n"a.jpg","cat;\nsofa"\n\nb.jpg,dog\n"c\n.jpg",cat\nd.jpg,cat,dog\n'
    path = table(tmp_path, text)
    with pytest.raises(DataError, match=r"labels\.csv, line 8: 3 fields"):
        read_tag_table(path)
    rows = read_tag_table(table(tmp_path, text.replace("d.jpg,cat,dog", "d.jpg,cat"))).rows
    assert [row.line for row in rows] == [2, 5, 6, 8]


def test_only_a_few_unknown_tags_get_hints_and_the_rest_is_counted() -> None:
    index = indices(f"class {number}" for number in range(10_000))
    start = time.process_time()
    told = list(unknown_tags(Path("t.csv"), {f"klass {number}": number for number in range(10_000)}, index))
    assert time.process_time() - start < 10
    assert len(told) == 11
    assert told[1] == "t.csv, line 1: tag 'klass 1' is not a class; did you mean class 1?"
    assert told[-1].startswith("t.csv, line 10: tag 'klass 10' is not a class, nor are 9989 others")
