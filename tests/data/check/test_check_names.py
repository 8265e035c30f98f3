from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from command import call
from tag2mask.data import DataSettings
from tag2mask.data.check.folder import check
from tag2mask.data.check.names import check_names


def test_it_counts_what_the_full_check_counts_and_opens_no_image(squares: Path) -> None:
    (squares / "images/note.txt").write_text("no image")
    whole = check(squares, DataSettings()).to_json()
    for path in (squares / "images").glob("*.png"):
        path.write_bytes(b"")
    assert check_names(squares, DataSettings()).to_json() == whole


def test_images_that_are_not_read_and_links_to_nothing(squares: Path) -> None:
    for name in ("a.gif", "deep/b.HEIC", "deep/c.gif"):
        (squares / "images" / name).parent.mkdir(exist_ok=True)
        (squares / "images" / name).write_bytes(b"")
    (squares / "images/gone.jpg").symlink_to(squares / "nowhere.jpg")
    quick, whole = (look(squares, DataSettings()) for look in (check_names, check))
    told = "images: not read: 3 images of unsupported formats (.gif 2, .heic 1); save them as .png or .jpg"
    for report in (quick, whole):
        assert [told in problem.message for problem in report.problems if problem.severity == "warning"] == [True]
        assert report.images == 13
    assert [problem.message for problem in whole.problems if problem.severity == "error"] == [
        f"{squares}/images/gone.jpg: the image is missing"
    ]


def test_what_is_wrong_is_counted_and_the_first_is_named(squares: Path) -> None:
    with (squares / "labels.csv").open("a") as file:
        file.write("gone.png,red\ngone2.png,red\np01.png,grene\np01.png,red\n")
    with (squares / "splits/val.txt").open("a") as file:
        file.write("p01\nnowhere\n")
    (squares / "splits/test.txt").write_text("")
    (squares / "images/p03.jpg").write_bytes(b"")
    report = check_names(squares, DataSettings())
    told = "\n".join(problem.message for problem in report.problems)
    for part in (
        "the images of 2 rows are not in",
        "gone first",
        "line 16: p01.png has a row already",
        "2 rows repeat an image of an earlier row",
        "line 16: tag 'grene' is not a class; did you mean green",
        "val.txt: 1 names have no image, nowhere first",
        "val.txt: 1 names are listed twice or in another list, p01 first",
        "test.txt: is empty",
        "another image has the same name",
    ):
        assert part in told
    assert report.fatal


def test_a_table_without_rows_is_one_problem(squares: Path) -> None:
    (squares / "labels.csv").write_text("image,labels\n")
    assert "has no rows" in check_names(squares, DataSettings()).problems[0].message


def test_the_command_needs_no_torch(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "check", squares, "--quick") == 0
    assert call(monkeypatch, "check", squares, "--quick", "--source", "voc") == 2
    code = f"import sys; sys.argv = ['tag2mask', 'check', {str(squares)!r}, '--quick']\nfrom tag2mask.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_class_folders_have_no_table_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat/a.png", "dog/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    assert call(monkeypatch, "check", tmp_path, "--quick") == 2
    assert "--quick reads a table of tags; remove it to check class folders" in capsys.readouterr().err
