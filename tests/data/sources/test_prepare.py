"""Every source to the ``folder`` form, and on through the verbs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tree_parts import Tree
from trees import TREES

from command import call
from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.check.folder import check
from tag2mask.data.reading import read_image, read_mask
from tag2mask.data.sources.prepare import PrepareSettings, prepare
from tag2mask.errors import DataError

TINY = ["--backbone=vit_tiny_patch16_224", "--weights=none", "--image-size=16", "--batch-size=4", "--precision=fp32"]
TINY += [
    f"--set={text}"
    for text in (
        "backbone.patch=8",
        "backbone.width=12",
        "backbone.depth=1",
        "backbone.heads=2",
        "method.map_layers=1",
        "method.attended_layers=1",
    )
]


def test_the_folder_form_holds_what_the_source_holds(kind: str, tree: Tree, tmp_path: Path) -> None:
    done = prepare(kind, tree.root, tmp_path / "out", tree.settings)
    assert (done.images, done.failures, done.masks) == (len(tree.tags), {}, len(tree.truth))
    data = open_dataset(tmp_path / "out", DataSettings(), "all")
    assert data.classes.background == tree.background
    for sample in data:
        found = None if sample.tags is None else sorted(data.classes.names[tag] for tag in sample.tags)
        tags = tree.tags[sample.name]
        assert found == (None if tags is None else sorted(tags))
        if sample.truth is not None:
            np.testing.assert_array_equal(read_mask(sample.truth), tree.truth[sample.name])
    for split, names in tree.splits.items():
        assert [sample.name for sample in open_dataset(tmp_path / "out", DataSettings(), split)] == list(names)
    assert not check(tmp_path / "out", DataSettings()).fatal


def test_images_that_cannot_be_used_are_named(kind: str, tree: Tree, tmp_path: Path) -> None:
    whole = tree.image.read_bytes()
    name = next(iter(tree.tags))
    for content in (whole[:60], None) if tree.listed else (whole[:60],):
        tree.spoil(content)
        done = prepare(kind, tree.root, tmp_path / "out", tree.settings)
        assert list(done.failures) == [name]
        assert tree.image.name in done.failures[name]
        assert done.images == len(tree.tags) - 1
        open_dataset(tmp_path / "out", DataSettings(), "all")
    tree.image.write_bytes(whole)
    assert not prepare(kind, tree.root, tmp_path / "out", tree.settings).failures


def test_it_goes_on_where_it_was(tree: Tree, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    prepare(kind, tree.root, out, tree.settings)
    whole = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    lines = (out / "prepared.jsonl").read_text().splitlines(keepends=True)
    (out / "prepared.jsonl").write_text("".join(lines[:2]) + lines[2][:9])
    (out / "labels.csv").unlink()
    read: list[Path] = []

    def counted(path: Path, bands: int, content: bytes | None) -> NDArray[Any]:
        read.append(path)
        return read_image(path, bands, content)

    monkeypatch.setattr("tag2mask.data.sources.record.read_image", counted)
    prepare(kind, tree.root, out, tree.settings)
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole
    assert len(set(read)) == len(tree.tags) - 2  # once or, where outlines are shares of the sides, twice
    with pytest.raises(DataError, match="prepared with a different plan"):
        prepare(kind, tree.root, out, tree.settings, PrepareSettings(limit=1))


def test_the_whole_way(kind: str, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    settings = [f"--set={key}={json.dumps(value)}" for key, value in tree.settings.items()]
    split = "train" if "train" in tree.splits else "all"
    assert call(monkeypatch, "prepare", kind, "--root", tree.root, "--out", data, *settings) == 0
    assert (
        call(monkeypatch, "train", data, "--out", run, "--epochs", 1, "--method", "attended", "--split", split, *TINY)
        == 0
    )
    assert call(monkeypatch, "masks", run, "--split", split) == 0
    code = call(monkeypatch, "evaluate", run / f"masks-{split}", "--truth", data / "masks")
    assert code == (0 if tree.truth else 2)


def test_lists_and_a_limit_make_it_smaller(tmp_path: Path) -> None:
    root = TREES["voc"](tmp_path / "tree").root
    done = prepare("voc", root, tmp_path / "a", {}, PrepareSettings(splits=("train", "val"), limit=1))
    assert (done.images, done.splits) == (2, {"train": 1, "val": 1})
    assert prepare("voc", root, tmp_path / "b", {}, PrepareSettings(splits=("val",))).images == 2
    with pytest.raises(DataError, match="split test is unknown; there are train_aug, train, val"):
        prepare("voc", root, tmp_path / "c", {}, PrepareSettings(splits=("test",)))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("link", ["hard", "symlink", "copy"])
def test_images_are_linked_or_copied(link: str, tmp_path: Path) -> None:
    tree = TREES["csv"](tmp_path / "tree")
    prepare("csv", tree.root, tmp_path / "out", tree.settings, PrepareSettings.parse({"link": link}))
    taken = tmp_path / "out/images/0007.jpg"
    assert taken.read_bytes() == tree.image.read_bytes()
    assert taken.is_symlink() == (link == "symlink")
    assert taken.samefile(tree.image) == (link != "copy")


def test_other_file_systems_get_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = TREES["csv"](tmp_path / "tree")

    def refuse(*paths: Path) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr("os.link", refuse)
    prepare("csv", tree.root, tmp_path / "out", tree.settings)
    assert (tmp_path / "out/images/b/0008.jpg").is_file()


def test_nothing_is_overwritten_and_nothing_lies_outside(tmp_path: Path) -> None:
    tree = TREES["csv"](tmp_path / "tree")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty and was not created by prepare"):
        prepare("csv", tree.root, tmp_path / "out", tree.settings)
    for name, part in (("../up.jpg", "points outside"), ("a.jpg", "none of 1 image could be used")):
        (tree.root / "list.tsv").write_text(f"file\twhat\n{name}\tcat\n")
        with pytest.raises(DataError, match=part):
            prepare("csv", tree.root, tmp_path / "none", {**tree.settings, "split": None})
        assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["a;b", "background"])
def test_class_names_that_the_folder_form_cannot_hold(name: str, tmp_path: Path) -> None:
    TREES["imagefolder"](tmp_path / "tree")
    (tmp_path / "tree/train/cat").rename(tmp_path / f"tree/train/{name}")
    with pytest.raises(DataError, match=f"class '{name}': "):
        prepare("imagefolder", tmp_path / "tree", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_truth_of_another_size_is_a_failure(tmp_path: Path) -> None:
    tree = TREES["ade20k"](tmp_path / "tree")
    Image.new("L", (4, 4)).save(tree.image.parents[2] / "annotations/training/ADE_train_00000001.png")
    done = prepare("ade20k", tree.root, tmp_path / "out")
    assert "is 32 x 32, but its truth is 4 x 4" in done.failures["ADE_train_00000001"]


def test_it_does_not_write_into_its_source(tmp_path: Path) -> None:
    tree = TREES["csv"](tmp_path / "tree")
    with pytest.raises(DataError, match=r"new is inside the source .*; choose a folder outside it"):
        prepare("csv", tree.root, tree.root / "new", tree.settings)
    assert not (tree.root / "new").exists()


def test_what_was_changed_since_is_not_overwritten(tmp_path: Path) -> None:
    tree = TREES["csv"](tmp_path / "tree")
    whole, out = tree.image.read_bytes(), tmp_path / "out"
    tree.image.write_bytes(whole[:60])
    assert prepare("csv", tree.root, out, tree.settings).failures
    (out / "labels.csv").write_text("mine")
    assert prepare("csv", tree.root, out, tree.settings).failures
    assert (out / "labels.csv").read_text() == "mine"
    tree.image.write_bytes(whole)
    with pytest.raises(DataError, match=r"labels\.csv was edited since it was prepared"):
        prepare("csv", tree.root, out, tree.settings)
    assert (out / "labels.csv").read_text() == "mine"


@pytest.mark.parametrize(("key", "value"), [("complete", None), ("complete", 3), ("files", 5), ("files", {"a": []})])
def test_a_damaged_manifest_is_one_line(key: str, value: object, tmp_path: Path) -> None:
    tree = TREES["csv"](tmp_path / "tree")
    prepare("csv", tree.root, tmp_path / "out", tree.settings)
    path = tmp_path / "out/prepared.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, key: value}))
    with pytest.raises(DataError, match=rf"prepared\.json is damaged \({key}"):
        prepare("csv", tree.root, tmp_path / "out", tree.settings)
