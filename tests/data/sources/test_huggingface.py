"""What only data sets of the ``datasets`` library have: two forms, features, embedded images."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tree_parts import noise, save_image, write_text
from trees_huggingface import image, write_clone, write_dict, write_parquet, write_saved

from tag2mask.data.sources import Source, open_source
from tag2mask.data.sources.huggingface_columns import of_card
from tag2mask.data.sources.huggingface_files import open_rows
from tag2mask.data.sources.prepare import prepare
from tag2mask.errors import DataError

IMAGE, TEXT = {"_type": "Image"}, {"dtype": "string", "_type": "Value"}
CLASS = {"names": ["cat", "dog"], "_type": "ClassLabel"}


def open_hf(root: Path, **settings: Any) -> Source:
    return open_source("huggingface", root, settings)


def test_what_save_to_disk_writes_holds_the_same(tmp_path: Path) -> None:
    tree, clone = write_dict(tmp_path / "saved"), write_clone(tmp_path / "clone")
    source, other = (open_hf(one.root, **one.settings) for one in (tree, clone))
    assert (source.splits, source.classes) == (other.splits, other.classes)
    for name in other.names():
        ours, theirs = source.record(name), other.record(name)
        assert (ours.tags, ours.content) == (theirs.tags, theirs.content)
        assert (ours.truth is None) == (theirs.truth is None)
        if ours.truth and theirs.truth:
            np.testing.assert_array_equal(ours.truth(), theirs.truth())
    for content, what in ((b"no image", "is not an image"), (None, "the image is missing")):
        tree.spoil(content)
        done = prepare("huggingface", tree.root, tmp_path / "out", tree.settings)
        place = f"{tree.image}, row 0, column image"
        assert list(done.failures) == ["train/00000"]
        assert done.failures["train/00000"].startswith(f"{place}: {what}")
    tree.essential.unlink()
    with pytest.raises(DataError, match=r"train/state\.json is missing"):
        open_hf(tree.root)


def test_one_split_without_a_name_and_lists_in_files(tmp_path: Path) -> None:
    rows = [{"image": image(seed), "labels": [1], "id": seed, "mask": None} for seed in range(3)]
    write_saved(tmp_path, [rows[:2], rows[2:]])
    source = open_hf(tmp_path, mask="mask")
    assert (list(source.names()), source.splits) == (["00000", "00001", "00002"], {})
    write_text(tmp_path / "splits/val.txt", "00002\n")
    assert open_hf(tmp_path, mask="mask").splits == {"val": ["00002"]}
    state = tmp_path / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "_split": "test"}))
    assert open_hf(tmp_path, mask="mask").splits == {"test": ["test/00000", "test/00001", "test/00002"]}
    assert open_hf(tmp_path, mask="mask", name="id").splits == {"test": ["0", "1", "2"]}


def test_images_are_written_as_they_are_named_by_what_they_are(tmp_path: Path) -> None:
    deep = io.BytesIO()
    Image.fromarray(noise(3)).save(deep, "GIF")
    cells = [image(0), image(1, "PNG"), image(2, "WEBP"), {"bytes": deep.getvalue(), "path": "3.jpg"}]
    cells.append({**cells[0], "bytes": cells[0]["bytes"][:-400]})
    root = tmp_path / "root"
    save_image(root / "data/elsewhere.png", 5)
    cells.append({"bytes": None, "path": "elsewhere.png"})
    rows = [{"image": cell, "label": seed % 2} for seed, cell in enumerate(cells)]
    write_parquet(root / "data/train.parquet", rows, {"image": IMAGE, "label": CLASS})
    done = prepare("huggingface", root, tmp_path / "out")
    images = tmp_path / "out/images/train"
    assert sorted(path.name for path in images.iterdir()) == ["00000.jpg", "00001.png", "00002.webp", "00005.png"]
    assert (images / "00001.png").read_bytes() == cells[1]["bytes"]
    assert (images / "00005.png").samefile(root / "data/elsewhere.png")
    assert "row 3, column image: is not an image in a supported format (JPEG" in done.failures["train/00003"]
    assert "row 4, column image: cannot be read" in done.failures["train/00004"]


TAG_COLUMNS: dict[str, tuple[dict[str, Any], list[Any], tuple[str, ...], list[Any]]] = {
    "class": (CLASS, [1, -1, None, 0], ("cat", "dog"), [(1,), None, None, (0,)]),
    "classes": (
        {"feature": CLASS, "_type": "List"},
        [[1, 0, 1], [], None, [0]],
        ("cat", "dog"),
        [(0, 1), (), None, (0,)],
    ),
    "of version 3": (
        {"feature": CLASS, "length": -1, "id": None, "_type": "Sequence"},
        [[1], [0]],
        ("cat", "dog"),
        [(1,), (0,)],
    ),
    "text": (TEXT, ["pig", " ", None, "cow "], ("cow", "pig"), [(1,), (), None, (0,)]),
    "texts": (
        {"feature": TEXT, "_type": "List"},
        [["pig", "cow"], [], None, ["ox"]],
        ("cow", "ox", "pig"),
        [(0, 2), (), None, (1,)],
    ),
}


@pytest.mark.parametrize("case", TAG_COLUMNS)
def test_tags_of_every_kind(case: str, tmp_path: Path) -> None:
    feature, values, names, tags = TAG_COLUMNS[case]
    rows = [{"image": image(0), "label": value} for value in values]
    write_parquet(tmp_path / "train.parquet", rows, {"image": IMAGE, "label": feature})
    source = open_hf(tmp_path)
    assert source.classes.names == names
    assert [source.record(name).tags for name in source.names()] == tags


NUMBER = {"dtype": "int64", "_type": "Value"}
BOX = {"feature": {"dtype": "int64", "_type": "Value"}, "_type": "List"}
OBJECTS: dict[str, tuple[Any, list[Any]]] = {  # how the library writes features, and the rows of that form
    "list": (
        {"feature": {"bbox": BOX, "category": CLASS}, "_type": "List"},
        [[{"bbox": [1, 2], "category": 1}, {"bbox": [3, 4], "category": 0}], [], None],
    ),
    "bare list": ([{"bbox": BOX, "category": CLASS}], [[{"bbox": [1], "category": 1}, {"category": 0}], [], None]),
    "group": (
        {"bbox": {"feature": BOX, "_type": "List"}, "category": {"feature": CLASS, "_type": "List"}},
        [{"bbox": [[1], [2]], "category": [1, 0]}, {"bbox": [], "category": []}, None],
    ),
}


@pytest.mark.parametrize("case", OBJECTS)
def test_classes_of_objects(case: str, tmp_path: Path) -> None:
    feature, values = OBJECTS[case]
    rows = [{"image": image(seed), "objects": value} for seed, value in enumerate(values)]
    write_parquet(tmp_path / "train.parquet", rows, {"image": IMAGE, "objects": feature})
    for settings in ({}, {"tags": "objects.category"}):
        source = open_hf(tmp_path, **settings)
        assert source.classes.names == ("cat", "dog")
        assert [source.record(name).tags for name in source.names()] == [(0, 1), (), None]
    with pytest.raises(DataError, match=r"no column objects\.categories; did you mean objects\.category\?"):
        open_hf(tmp_path, tags="objects.categories")
    done = prepare("huggingface", tmp_path, tmp_path.with_name(f"{tmp_path.name}-out"))
    assert (done.images, done.tagged, done.failures) == (3, 2, {})


def test_classes_of_objects_may_stand_in_the_readme(tmp_path: Path) -> None:
    features = {"image": IMAGE, "objects": {"category": {"feature": CLASS, "_type": "List"}}}
    rows = [{"image": image(0), "objects": {"category": [1]}}]
    write_parquet(tmp_path / "train.parquet", rows, features, described=False)
    assert open_hf(tmp_path).classes.names == ("1",)  # a number, as far as anybody knows
    names = "class_label: {names: {'0': cat, '1': dog}}"
    for word, inner in (
        ("sequence", f"[{{name: category, dtype: {{{names}}}}}]"),
        ("struct", f"[{{name: category, sequence: {{{names}}}}}]"),
        ("list", f"[{{name: category, dtype: {{{names}}}}}, {{name: bbox, sequence: float32, length: 4}}]"),
    ):
        features_of_card = f"[{{name: image, dtype: image}}, {{name: objects, {word}: {inner}}}]"
        write_text(tmp_path / "README.md", f"---\ndataset_info: {{features: {features_of_card}}}\n---\n")
        source = open_hf(tmp_path)
        assert (source.classes.names, source.record("train/00000").tags) == (("cat", "dog"), (1,))


def test_whole_numbers_get_their_names_from_a_list(tmp_path: Path) -> None:
    rows = [{"image": image(seed), "label": label} for seed, label in enumerate((10, 2, -1, None))]
    write_parquet(tmp_path / "train.parquet", rows, {"image": IMAGE, "label": NUMBER})
    source = open_hf(tmp_path)
    assert source.classes.names == ("2", "10")
    assert [source.record(name).tags for name in source.names()] == [(1,), (0,), None, None]
    write_text(tmp_path / "classes.txt", "ant\nbee\ncow\n")
    with pytest.raises(DataError, match=r"train\.parquet, row 0, column label: 10 is not one of 3 classes"):
        open_hf(tmp_path)
    write_text(tmp_path / "classes.txt", "background\n" + "".join(f"c{number}\n" for number in range(1, 11)))
    source = open_hf(tmp_path)
    assert source.classes.pixel_names[:2] == ("background", "c1")
    assert [source.record(name).tags for name in source.names()] == [(9,), (1,), None, None]


CARD = """---
license: mit
dataset_info:
  features:
  - name: photo
    dtype: image
  - name: species
    {}:
      class_label:
        names:
          '1': dog
          '0': cat
          '10': yak
---
# Pets
"""


@pytest.mark.parametrize(("word", "value"), [("dtype", 10), ("sequence", [10, 0]), ("list", [10, 0])])
def test_classes_may_stand_in_the_readme(word: str, value: Any, tmp_path: Path) -> None:
    feature = CLASS if word == "dtype" else {"feature": CLASS, "_type": "List"}
    features = {"photo": IMAGE, "species": feature}
    write_parquet(tmp_path / "train.parquet", [{"photo": image(0), "species": value}], features, described=False)
    with pytest.raises(
        DataError, match="none of photo, species is clearly the column of tags; name it with --set tags"
    ):
        open_hf(tmp_path)
    write_text(tmp_path / "README.md", CARD.format(word).replace("'10'", "'2'"))
    with pytest.raises(DataError, match=r"train\.parquet, row 0, column species: 10 is not one of 3 classes"):
        open_hf(tmp_path)
    names = "".join(f"          '{number}': c{number}\n" for number in range(2, 10))
    write_text(tmp_path / "README.md", CARD.format(word).replace("          '10'", f"{names}          '10'"))
    source = open_hf(tmp_path)
    assert source.classes.names[-1] == "yak"
    assert source.record("train/00000").tags == ((10,) if word == "dtype" else (0, 10))
    write_text(tmp_path / "README.md", "---\ndataset_info: {features: [{dtype: image}]}\n---\n")
    with pytest.raises(DataError, match=r"README\.md: its features cannot be parsed"):
        open_hf(tmp_path)


def test_images_and_texts_are_known_without_features(tmp_path: Path) -> None:
    rows = [{"image": image(0), "tags": ["cat"], "text": "a cat", "mask": None}]
    features = {"image": IMAGE, "tags": {"feature": TEXT, "_type": "List"}, "text": TEXT, "mask": IMAGE}
    write_parquet(tmp_path / "data/test-00000-of-00001-5af744ad.parquet", rows, features, described=False)
    source = open_hf(tmp_path, background=True)
    assert (source.splits, source.classes.pixel_names) == ({"test": ["test/00000"]}, ("background", "cat"))


def test_images_have_to_be_stored_as_images(tmp_path: Path) -> None:
    features = {"photo": TEXT, "species": TEXT}
    write_parquet(tmp_path / "train.parquet", [{"photo": "0.jpg", "species": "cat"}], features, described=False)
    write_text(tmp_path / "README.md", CARD.format("dtype"))
    with pytest.raises(DataError, match="column photo is of kind other, expected image"):
        open_hf(tmp_path, image="photo")


WRONG_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"tags": "lable"}, "there is no column lable; did you mean label?"),
    "kind": ({"tags": "image"}, "column image is of kind image, expected class or text"),
    "mask": ({"tags": "label", "mask": "label"}, "column label is of kind class, expected image"),
    "many": ({}, "label, breed could all be the column of tags"),
    "names": ({"tags": "label", "name": "id"}, "row 1, column id: a is already the name of"),
    "nameless": ({"tags": "label", "name": "none"}, "row 0, column none: names no image"),
}


@pytest.mark.parametrize("case", WRONG_SETTINGS)
def test_columns_that_cannot_be(case: str, tmp_path: Path) -> None:
    settings, what = WRONG_SETTINGS[case]
    rows = [
        {"image": image(seed), "label": 0, "breed": 0, "id": f"a{suffix}", "none": None}
        for seed, suffix in ((0, ".jpg"), (1, ""))
    ]
    features = {"image": IMAGE, "label": CLASS, "breed": CLASS, "id": TEXT, "none": TEXT}
    write_parquet(tmp_path / "train.parquet", rows, features)
    with pytest.raises(DataError, match=r"train\.parquet") as error:
        open_hf(tmp_path, **settings)
    assert what in str(error.value)


def test_files_that_cannot_be_used_say_so(tmp_path: Path) -> None:
    row, features = {"image": image(0), "label": 0}, {"image": IMAGE, "label": CLASS}
    write_parquet(tmp_path / "hub/train.parquet", [row], features)
    write_parquet(tmp_path / "hub/val.parquet", [row], {"image": IMAGE, "label": {**CLASS, "names": ["dog", "cat"]}})
    with pytest.raises(DataError, match=r"val\.parquet: column label is missing, or differs from the first"):
        open_hf(tmp_path / "hub")
    write_text(tmp_path / "hub/val.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DataError, match=r"val\.parquet: is a git-lfs pointer, not the data; run git lfs pull"):
        open_hf(tmp_path / "hub")
    (tmp_path / "hub/val.parquet").write_bytes((tmp_path / "hub/train.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"val\.parquet: cannot be read .* download the file again"):
        open_hf(tmp_path / "hub")
    write_saved(tmp_path / "saved", [[row]], features)
    path = tmp_path / "saved/data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"\.arrow: cannot be read .* download the file again"):
        open_hf(tmp_path / "saved")
    path.unlink()
    with pytest.raises(DataError, match=r"\.arrow is missing"):
        open_hf(tmp_path / "saved")
    for state, what in (
        ("{", "is not a readable JSON object"),
        ("{}", "names no data file"),
        (NAMELESS, "names no data file"),
        (INDICES, "flatten_indices"),
    ):
        write_text(tmp_path / "saved/state.json", state)
        with pytest.raises(DataError, match=rf"state\.json: .*{what}"):
            open_hf(tmp_path / "saved")
    write_text(tmp_path / "saved/dataset_dict.json", "{}")
    with pytest.raises(DataError, match=r"dataset_dict\.json: names no split"):
        open_hf(tmp_path / "saved")


NAMELESS = '{"_data_files": [{}]}'
INDICES = '{"_data_files": [{"filename": "a.arrow"}], "_indices_data_files": [{"filename": "indices.arrow"}]}'


def test_rows_in_any_order(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": bytes([number]), "path": None}, "label": 0} for number in range(250)]
    write_parquet(tmp_path / "train.parquet", rows, {"image": IMAGE, "label": CLASS})  # in groups of 100
    opened = open_rows(tmp_path / "train.parquet")
    for number in (0, 1, 90, 16, 15, 249, 99, 100, 200):
        assert opened.row(number, ["image"]) == {"image": rows[number]["image"]}


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'tag2mask\[hf\]'"):
        open_hf(tmp_path)


def test_cards_that_number_their_classes_without_quotes() -> None:
    names = "        names:\n          0: cat\n          1: dog\n"
    row = f"  features:\n  - name: label\n    dtype:\n      class_label:\n{names}"
    assert of_card(f"---\ndataset_info:\n{row}---\n# Pets\n")["label"].names == ("cat", "dog")
