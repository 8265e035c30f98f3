"""What only tables of one's own can have wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tree_parts import save_image

from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.sources import open_source
from tag2mask.data.sources.prepare import prepare
from tag2mask.errors import DataError

BROKEN = {
    "image,label\na.jpg,cat\n": "there is no column labels; did you mean label",
    "": "there is no column image; there are none",
    "image,labels\n": "has no rows",
    "image,labels\na.jpg,cat,dog\n": "line 2: 3 fields, but the header has 2",
    "image,labels\n,cat\n": "line 2, column image: names no image",
    "image,labels\na.jpg,cat\na.png,dog\n": "line 3: a.png has a row already; remove one, or if each row holds one",
    "image,cat,dog\na.jpg,1,0\nb.jpg,2,0\n": "there is no column labels; there are image, cat, dog",
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


def tags_of(root: Path, **settings: Any) -> dict[str, tuple[str, ...]]:
    """Names of tags by image."""
    source = open_source("csv", root, settings)
    found = {name: source.record(name).tags or () for name in source.names()}
    return {name: tuple(source.classes.names[tag] for tag in tags) for name, tags in found.items()}


ONE_HOT: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("image,dog,cat\na.jpg,0,1\nb.jpg,1,1\nc.jpg,0,0\n", {}),
    "roboflow": ("filename, dog, cat\na.jpg, 0, 1\nb.jpg, 1, 1\nc.jpg, 0, 0\n", {}),
    "kaggle": ("image_id,dog,cat\na,0.0,1.0\nb,1.0,1.0\nc,0.0,0.0\n", {"suffix": ".jpg"}),
    "words": ("id,dog,cat\na,False,True\nb,True,True\nc,False,False\n", {"suffix": ".jpg", "image": "id"}),
    "named": ("image,size,dog,cat\na.jpg,7,0,1\nb.jpg,1,1,1\nc.jpg,0,0,0\n", {"labels": "dog,cat"}),
    "list": ("image,size,dog,cat\na.jpg,7,0,1\nb.jpg,1,1,1\nc.jpg,0,0,0\n", {"labels": ["dog", "cat"]}),
}


@pytest.mark.parametrize("case", ONE_HOT)
def test_a_column_a_class(case: str, tmp_path: Path) -> None:
    content, settings = ONE_HOT[case]
    (tmp_path / "labels.csv").write_text(content)
    assert tags_of(tmp_path, **settings) == {"a": ("cat",), "b": ("dog", "cat"), "c": ()}
    source = open_source("csv", tmp_path, settings)
    assert source.classes.names == ("dog", "cat")
    assert source.record("a").image == tmp_path / "a.jpg"


def test_a_named_column_that_holds_something_else_says_where(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,cat,dog\na.jpg,1,0\nb.jpg,maybe,0\n")
    with pytest.raises(DataError, match=r"labels\.csv, line 3, column cat: 'maybe' is neither 0 nor 1"):
        tags_of(tmp_path, labels="cat,dog")
    with pytest.raises(DataError, match=r"there is no column dgo; did you mean dog\?"):
        tags_of(tmp_path, labels="cat,dgo")


def test_a_row_a_label(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("ImageID,LabelName,XMin\na,cat,1\nb,dog,2\na,dog,3\na,cat,4\nc,,\n")
    settings = {"table": "boxes.csv", "image": "ImageID", "labels": "LabelName"}
    with pytest.raises(DataError, match=r"line 4: a has a row already; .* --set rows=label"):
        tags_of(tmp_path, **settings)
    assert tags_of(tmp_path, **settings, rows="label") == {"a": ("cat", "dog"), "b": ("dog",), "c": ()}


def test_roboflow_has_a_table_a_split(tmp_path: Path) -> None:
    for split, name, flags in (("train", "a", "1, 0"), ("valid", "a", "0, 1"), ("test", "b", "0, 0")):
        save_image(tmp_path / f"tree/{split}/{name}.jpg", len(name + split))
        (tmp_path / f"tree/{split}/_classes.csv").write_text(f"filename, cat, dog\n{name}.jpg, {flags}\n")
    done = prepare("csv", tmp_path / "tree", tmp_path / "out")
    assert (done.failures, done.splits) == ({}, {"test": 1, "train": 1, "val": 1})
    assert tags_of(tmp_path / "tree") == {"test/b": (), "train/a": ("cat",), "valid/a": ("dog",)}
    data = open_dataset(tmp_path / "out", DataSettings(), "val")
    assert [(sample.name, sample.tags) for sample in data] == [("valid/a", (1,))]


def test_lists_in_a_column_have_our_names(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,labels,set\na.jpg,cat,train\nb.jpg,dog,Validation\nc.jpg,dog,odd\n")
    source = open_source("csv", tmp_path, {"split": "set"})
    assert source.splits == {"train": ["a"], "val": ["b"], "odd": ["c"]}


def test_paths_written_on_windows_and_names_with_and_without_suffix(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,labels\na\\1.jpg,cat\n2.png,cat\n3,dog\n")
    source = open_source("csv", tmp_path, {"suffix": ".jpg"})
    assert [source.record(name).image for name in source.names()] == [
        tmp_path / "a/1.jpg",
        tmp_path / "2.png",
        tmp_path / "3.jpg",
    ]
