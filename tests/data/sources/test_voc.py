"""What only VOC has: three kinds of tags, published counts, a pickle that must not run."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from trees_published import VOC, write_voc

from command import call
from tag2mask.data.check.source import check_source
from tag2mask.data.sources import open_source
from tag2mask.data.sources.safe_npy import read_label_vectors
from tag2mask.errors import DataError


@pytest.mark.parametrize("tags", ["xml", "npy", "masks"])
@pytest.mark.parametrize("inner", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_tags_agree_wherever_they_come_from(tags: str, inner: str, tmp_path: Path) -> None:
    root = write_voc(tmp_path).root
    settings = {"tags": tags, "npy": str(root / "cls_labels.npy")}
    source = open_source("voc", root / inner, settings)
    for name, expected in VOC.items():
        found = source.record(name).tags
        assert found is not None
        assert {source.classes.names[tag] for tag in found} == set(expected)


def test_check_compares_with_the_published_counts(tmp_path: Path) -> None:
    report = check_source(open_source("voc", write_voc(tmp_path).root, {}))
    told = "\n".join(problem.message for problem in report.problems)
    assert "split train_aug: images per class differ from the published numbers: aeroplane 1 (published 590)" in told
    assert "split val: images per class differ from the published numbers: aeroplane 1 (published 90)" in told
    assert "2 images both in split train_aug and in split train, 2007_000032 first" in told
    assert not report.fatal


def test_the_published_counts_are_those_of_the_lists(tmp_path: Path) -> None:
    published = open_source("voc", write_voc(tmp_path).root, {}).published()
    assert round(sum(published["train_aug"]) / 10582, 4) == 1.5553
    assert round(sum(published["val"]) / 1449, 4) == 1.4817


def test_an_image_without_xml_or_with_a_foreign_mask_is_named(tmp_path: Path) -> None:
    folder = write_voc(tmp_path).root / "VOCdevkit/VOC2012"
    source = open_source("voc", tmp_path, {})
    (folder / "Annotations/2007_000032.xml").write_text("<annotation>")
    with pytest.raises(DataError, match=r"2007_000032\.xml: is not valid XML"):
        source.record("2007_000032")
    for encoding in ("bogus", "utf-32", "idna"):
        (folder / "Annotations/2007_000032.xml").write_text(f'<?xml version="1.0" encoding="{encoding}"?><annotation/>')
        with pytest.raises(DataError, match=r"2007_000032\.xml: is not valid XML"):
            source.record("2007_000032")
    (folder / "Annotations/2007_000032.xml").unlink()
    with pytest.raises(DataError, match=r"cannot be read .*use --set tags"):
        source.record("2007_000032")
    (folder / "SegmentationClassAug/2007_000039.png").write_bytes(
        (folder / "SegmentationClassAug/2007_000039.png").read_bytes()[:50]
    )
    truth = source.record("2007_000039").truth
    assert truth is not None
    with pytest.raises(DataError, match=r"2007_000039\.png"):
        truth()


VECTORS = {"2007_000032": np.array([1, 0, 1], np.float32), "0001": np.array([0, 1, 0], np.float32)}


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_vectors_of_every_pickle_protocol(protocol: int, module: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cls_labels.npy"
    np.save(path, VECTORS)  # type: ignore[arg-type]
    header = path.read_bytes().split(b"\n")[0] + b"\n"
    pickled = pickle.dumps(np.array(VECTORS, object), protocol)
    if protocol < 4:  # text of any length; protocol 4 tells the length
        pickled = pickled.replace(b"numpy._core.multiarray", module)
    path.write_bytes(header + pickled)
    found = read_label_vectors(path)
    assert found.keys() == VECTORS.keys()
    for name, vector in VECTORS.items():
        np.testing.assert_array_equal(found[name], vector)


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.mark,))


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "cls_labels.npy", tmp_path / "mark"
    np.save(path, {"2007_000032": Evil(mark)})  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"only texts and numeric arrays are read; .*--set tags=xml"):
        read_label_vectors(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [VECTORS["0001"], {1: VECTORS["0001"]}, {"a": "b"}, {"a": np.array([None])}, [1]])
def test_anything_else_is_one_clear_error(content: object, tmp_path: Path) -> None:
    path = tmp_path / "cls_labels.npy"
    np.save(path, content)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="--set tags=xml or --set tags=masks"):
        read_label_vectors(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="--set tags=xml or --set tags=masks"):
        read_label_vectors(path)


def test_an_incomplete_tree_is_told_in_a_few_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_voc(tmp_path).root
    folder = root / "VOCdevkit/VOC2012"
    names = [f"2011_{number:06d}" for number in range(200)]
    with (folder / "ImageSets/Segmentation/train_aug.txt").open("a") as file:
        file.write("".join(f"{name}\n" for name in names))
    for name in names[:100]:  # an annotation without image; the others have neither
        (folder / f"Annotations/{name}.xml").write_text("<annotation/>")
    assert call(monkeypatch, "check", root, "--source", "voc") == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error: ")]
    assert len(lines) == 8
    assert sum(" more like " in line for line in lines) == 2
    assert call(monkeypatch, "check", root, "--source", "voc", "--json") == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {name for problem in report["problems"] for name in problem["images"]} >= set(names)
