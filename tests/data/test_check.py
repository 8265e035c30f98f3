from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tag2mask.data import DataSettings
from tag2mask.data.check import CheckReport, check
from tag2mask.data.digits import NAMES, write_scenes


def messages(report: CheckReport, severity: str) -> str:
    return "\n".join(problem.message for problem in report.problems if problem.severity == severity)


def test_a_sound_folder_has_no_problems(squares: Path) -> None:
    ticks: list[int] = []
    report = check(squares, DataSettings(), lambda: ticks.append(1))
    assert not report.problems
    assert (report.photographs, report.tagged, report.masks, len(ticks)) == (12, 12, 12, 12)
    assert report.splits == {"train": 8, "val": 4}
    assert report.tags_per_image == {2: 12}
    assert sum(report.images_per_class.values()) == 24


def test_everything_that_is_wrong_is_found_in_one_pass(squares: Path) -> None:
    with (squares / "labels.csv").open("a") as file:
        file.write("gone.png,red\np00b.png,grene\n")
    shutil.copy(squares / "images/p00.png", squares / "images/p00b.png")
    (squares / "images/p03.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(squares / "masks/p04.png")
    Image.fromarray(np.full((48, 56), 9, np.uint8)).save(squares / "masks/p05.png")
    with (squares / "splits/val.txt").open("a") as file:
        file.write("p01\nnowhere\n")
    report = check(squares, DataSettings())
    assert report.fatal
    for part in (
        "gone.png is not in",
        "tag 'grene' is not among the classes; did you mean green",
        "p03.png: is no image",
        "val.txt, line 6: nowhere is not in",
    ):
        assert part in messages(report, "error")
    for part in (
        "p00b.png: is the same file as p00.png",
        "p04.png: is 4 x 4, its photograph 48 x 48",
        "p05.png: holds 9, which is no class",
        "val.txt, line 5: p01 is in train.txt too",
    ):
        assert part in messages(report, "warning")


def test_a_class_nobody_has_is_a_warning(squares: Path) -> None:
    with (squares / "classes.txt").open("a") as file:
        file.write("violet\n")
    report = check(squares, DataSettings())
    assert not report.fatal
    assert "class violet: no photograph has this tag" in messages(report, "warning")


def test_a_table_that_cannot_be_read_is_fatal(squares: Path) -> None:
    (squares / "labels.csv").write_text("")
    assert check(squares, DataSettings()).fatal


def test_digit_scenes_are_a_sound_folder_with_exact_tags(tmp_path: Path) -> None:
    write_scenes(tmp_path, {"train": 12, "val": 4}, side=64)
    report = check(tmp_path, DataSettings())
    assert (report.problems == [], report.background, report.splits) == (
        all(count > 0 for count in report.images_per_class.values()),
        "background",
        {"train": 12, "val": 4},
    )
    rows = dict(line.split(",") for line in (tmp_path / "labels.csv").read_text().splitlines()[1:])
    for name, tags in rows.items():
        values = np.unique(np.asarray(Image.open(tmp_path / "masks" / name)))
        assert tags.split(";") == [NAMES[value - 1] for value in values if value > 0]
