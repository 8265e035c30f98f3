"""Names as long as a file system takes them, and what is called like a file and is none."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
from trials import run

from tag2mask.data import DataSettings
from tag2mask.data.check.folder import check
from tag2mask.data.check.names import check_names


@pytest.fixture
def data(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root / "data", tmp_path / "data"))


def test_a_name_of_255_bytes_goes_all_the_way(root: Path, data: Path, tmp_path: Path) -> None:
    name = "é" * 125 + "x"
    (data / "images/p00.png").rename(data / f"images/{name}.png")
    (data / "masks/p00.png").rename(data / f"masks/{name}.png")
    for table in (data / "labels.csv", data / "splits/train.txt"):
        table.write_text(table.read_text().replace("p00", name))
    masks, out = tmp_path / "masks", tmp_path / "out"
    geotiff = ["convert", masks, "--to", "geotiff", "--images", data / "images"]
    for words in (
        ["check", data],
        ["masks", root / "run", "--data", data, "--out", masks],
        ["predict", root / "segmenter", data / "images", "--out", tmp_path / "predicted", "--overlay"],
        ["prepare", "csv", "--root", data, "--set=images=images", "--set=separator=;", "--out", out, "--link=copy"],
        [*geotiff, "--out", tmp_path / "geotiff"],
        ["convert", masks, "--to", "yolo", "--out", tmp_path / "yolo"],
        ["convert", masks, "--to", "npz", "--out", tmp_path / "npz"],
    ):
        child = run(*words)
        assert child.code == 0, child.said
    assert (masks / f"masks/{name}.png").is_file()
    assert (tmp_path / f"predicted/overlays/{name}.jpg").is_file()
    assert (tmp_path / f"geotiff/{name}.tif").is_file()


def test_what_is_called_like_an_image_and_is_no_file_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(data / "images/pipe.png")
    (data / "images/folder.png").mkdir()
    monkeypatch.chdir(data / "images")  # the path of a socket has 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        told = "images: 3 entries are named like images but are not files, pipe.png first; remove them"
        for report in (check(data, DataSettings()), check_names(data, DataSettings(), lambda count: None)):
            assert [problem.message.endswith(told) for problem in report.problems] == [True]
            assert report.images == 12


READ = ["labels.csv", "classes.txt", "splits/train.txt", "dataset.yaml"]


@pytest.mark.parametrize(
    ("verb", "name"), [*(("train", name) for name in READ), *(("check", name) for name in (*READ, "masks/p00.png"))]
)
def test_a_pipe_is_named_and_not_waited_for(name: str, verb: str, data: Path, tmp_path: Path) -> None:
    (data / name).unlink(missing_ok=True)
    os.mkfifo(data / name)
    child = run(verb, data, *(["--out", tmp_path / "run", "--weights=none"] if verb == "train" else []))
    assert child.code in ((1, 2) if name in READ else (0,)), child.said  # a mask is a warning
    assert "Traceback" not in child.said
    words = "is not a file" if name == "dataset.yaml" else "it is a pipe, a socket or a device, not a file"
    assert any(str(data / name) in line and words in line for line in child.said.splitlines()), child.said
