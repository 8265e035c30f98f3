"""One suite for all sources."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tree_parts import Tree
from trees import TREES

from command import call
from tag2mask.data.check.source import check_source
from tag2mask.data.sources import SOURCES, Source, open_source
from tag2mask.data.sources.prepare import prepare
from tag2mask.errors import DataError, SettingsError


@pytest.fixture
def source(kind: str, tree: Tree) -> Source:
    return open_source(kind, tree.root, tree.settings)


def test_every_source_has_a_tree_and_a_page() -> None:
    assert list(SOURCES) == list(TREES)
    for name in SOURCES:
        page = Path(__file__).parents[3] / f"src/tag2mask/data/sources/{name}.md"
        assert f"tag2mask prepare {name}" in page.read_text(encoding="utf-8")


def test_images_tags_and_lists(source: Source, tree: Tree) -> None:
    assert sorted(source.names()) == sorted(tree.tags)
    assert source.splits.keys() == tree.splits.keys()
    assert {split: tuple(names) for split, names in source.splits.items()} == dict(tree.splits)
    assert source.classes.background == tree.background
    for name, tags in tree.tags.items():
        record = source.record(name)
        assert record.content or record.image.is_file()
        found = None if record.tags is None else sorted(source.classes.names[tag] for tag in record.tags)
        assert found == (None if tags is None else sorted(tags)), name


def test_truth_to_the_last_pixel_with_ignore(source: Source, tree: Tree) -> None:
    for name in tree.tags:
        truth = source.record(name).truth
        if name in tree.truth:
            assert truth is not None
            np.testing.assert_array_equal(truth(), tree.truth[name], name)
        else:
            assert truth is None


def test_a_wrong_root_says_what_was_expected(kind: str, tree: Tree) -> None:
    with pytest.raises(DataError, match="expected: ") as error:
        open_source(kind, tree.root / "none", tree.settings)
    assert SOURCES[kind].layout in str(error.value)
    (tree.root / "other").mkdir()
    with pytest.raises(DataError) as error:
        open_source(kind, tree.root / "other", tree.settings)
    assert SOURCES[kind].layout in str(error.value)
    assert "\n" not in str(error.value)


def test_without_its_heart_a_tree_is_a_wrong_root(kind: str, tree: Tree) -> None:
    shutil.rmtree(tree.essential) if tree.essential.is_dir() else tree.essential.unlink()
    with pytest.raises(DataError) as error:
        open_source(kind, tree.root, tree.settings)
    assert str(tree.essential.name) in str(error.value)


def test_unknown_sources_and_settings_name_the_nearest(kind: str, tree: Tree) -> None:
    with pytest.raises(SettingsError, match=f"did you mean {kind}"):
        open_source(kind + "x", tree.root, {})
    with pytest.raises(SettingsError, match=f"source {kind}: unknown setting colour"):
        open_source(kind, tree.root, {"colour": 1})


def test_check_counts_and_finds_nothing_wrong(source: Source, tree: Tree) -> None:
    ticks: list[int] = []
    report = check_source(source, lambda: ticks.append(1))
    assert not report.fatal, report.problems
    assert (report.images, len(ticks), report.masks) == (len(tree.tags), len(tree.tags), len(tree.truth))
    assert report.splits == {split: len(names) for split, names in tree.splits.items()}
    used = Counter(tag for tags in tree.tags.values() for tag in tags or ())
    assert {name: count for name, count in report.images_per_class.items() if count} == used


def test_check_names_a_corrupt_image_and_the_command_exits_with_1(
    kind: str, tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"--set={key}={json.dumps(value)}" for key, value in tree.settings.items()]
    assert call(monkeypatch, "check", tree.root, "--source", kind, *settings) == 0
    tree.spoil(b"no image")
    assert call(monkeypatch, "check", tree.root, "--source", kind, *settings) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if tree.image.name in line]
    assert any(what in line for line in told for what in (": is not an image", ": cannot be read"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("csv", "list.tsv"),
        ("dfc2020", "validation_observations.csv"),
        ("endotect", "labeled-images/image-labels.csv"),
    ],
)
def test_a_table_that_is_no_text_is_one_line(kind: str, name: str, tmp_path: Path) -> None:
    tree = TREES[kind](tmp_path)
    for content, part in (
        ("Kühe,1,2\n".encode("latin-1"), "line 1: is not UTF-8"),
        (b"a" * 200_000, "is not valid CSV: "),
    ):
        (tree.root / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}.* {part}" if "line" in part else f"{name}: {part}") as error:
            open_source(kind, tree.root, tree.settings)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("kind", "name"), [("voc", "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"), ("csv", "")])
def test_a_name_too_long_for_the_system_is_one_failure(kind: str, name: str, tmp_path: Path) -> None:
    tree = TREES[kind](tmp_path / "tree")
    path = tree.root / (name or "list.tsv")
    first, *rest = path.read_text().splitlines(keepends=True)
    row = "\t".join(["x" * 300 + ".jpg", *rest[0].split("\t")[1:]]) if kind == "csv" else "x" * 300 + "\n"
    path.write_text("".join([first, row, *rest]))
    done = prepare(kind, tree.root, tmp_path / "out", tree.settings)
    assert [name.rpartition("/")[2] for name in done.failures] == ["x" * 300]
    assert done.images == len(tree.tags)
