from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import call
from tag2mask.data import DataSettings
from tag2mask.data.check.folder import check
from tag2mask.data.check.names import check_names
from tag2mask.data.check.report import CheckReport, hide
from tag2mask.errors import DataError


def messages(report: CheckReport, severity: str) -> str:
    return "\n".join(problem.message for problem in report.problems if problem.severity == severity)


def test_a_sound_folder_has_no_problems(squares: Path) -> None:
    ticks: list[int] = []
    report = check(squares, DataSettings(), lambda: ticks.append(1))
    assert not report.problems
    assert (report.images, report.tagged, report.masks, len(ticks)) == (12, 12, 12, 12)
    assert report.splits == {"train": 8, "val": 4}
    assert report.tags_per_image == {2: 12}
    assert sum(report.images_per_class.values()) == 24


def test_settings_of_the_data_may_have_their_name_in_train(
    squares: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (squares / "labels.csv").rename(squares / "other.csv")
    for key in ("labels", "data.labels"):
        assert call(monkeypatch, "check", squares, "--set", f"{key}=other.csv") == 0
        assert "12 images, 12 with tags" in capsys.readouterr().out


def test_counts_of_one_and_none_read_well() -> None:
    one = CheckReport(images=1, tagged=0)
    assert list(one.shown())[:2] == ["1 image, 0 with tags; splits: none", "tags per image: none; true masks: 0"]


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
        "tag 'grene' is not a class; did you mean green",
        "p03.png: is not an image",
        "val.txt, line 6: nowhere is not in",
    ):
        assert part in messages(report, "error")
    for part in (
        f"p00b.png: has the same content as {squares / 'images/p00.png'}",
        "p04.png: is 4 x 4, but its image is 48 x 48",
        "p05.png: holds the value 9, which is no class",
        "val.txt, line 5: p01 is also in train.txt",
    ):
        assert part in messages(report, "warning")


def test_a_class_nobody_has_is_a_warning(squares: Path) -> None:
    with (squares / "classes.txt").open("a") as file:
        file.write("violet\n")
    report = check(squares, DataSettings())
    assert not report.fatal
    assert "class violet: no image has this tag" in messages(report, "warning")


@pytest.mark.parametrize("look", [check, check_names])
def test_classes_that_always_come_together_are_named_and_single_tags_counted(
    squares: Path, look: Callable[..., CheckReport]
) -> None:
    rows = ["red;green;sky", "red;green", "blue", "blue;red;green", "sky;blue", "blue;lake;sea", "blue", "sky"]
    lines = [f"p{number:02d}.png,{tags}" for number, tags in enumerate(rows)]
    (squares / "labels.csv").write_text("\n".join(["image,labels", *lines]) + "\n")
    (squares / "classes.txt").write_text("red\ngreen\nblue\nsky\nlake\nsea\nnever\n")
    report = look(squares, DataSettings())
    assert report.to_json()["single_tag_images"] == report.single_tag_images == 3
    assert report.always_together == [("red", "green"), ("lake", "sea")]
    told = messages(report, "warning")
    assert "classes red, green: always occur together (3 images), so they cannot be told apart" in told
    assert "classes lake, sea: always occur together (1 image)" in told


def test_the_verb_prints_both(
    squares: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (squares / "labels.csv").write_text("image,labels\np00.png,red;green\np01.png,blue\np02.png,blue\n")
    assert call(monkeypatch, "check", squares, "--quick") == 0
    printed = capsys.readouterr().out
    assert "images with a single tag: 2 of 3; groups of tags that always occur together: 1" in printed


def test_many_groups_of_classes_are_counted_and_the_first_ones_named(squares: Path) -> None:
    pairs = [(f"a{number}", f"b{number}") for number in range(12)]
    lines = [f"p{number:02d}.png,{';'.join(pair)}" for number, pair in enumerate(pairs)]
    (squares / "labels.csv").write_text("\n".join(["image,labels", *lines]) + "\n")
    (squares / "classes.txt").write_text("".join(f"{one}\n{other}\n" for one, other in pairs))
    report = check(squares, DataSettings())
    assert report.always_together == pairs
    assert messages(report, "warning").count("always occur together (1 image)") == 10
    assert "2 more groups of classes always occur together; --json lists them" in messages(report, "warning")


def test_without_images_only_the_problems_are_printed(
    squares: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (squares / "labels.csv").unlink()
    assert call(monkeypatch, "check", squares) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert "the table of tags is missing" in first
    assert last == "errors: 1, warnings: 0"


def test_a_table_that_cannot_be_read_is_fatal(squares: Path) -> None:
    (squares / "labels.csv").write_text("")
    assert check(squares, DataSettings()).fatal


def test_the_same_file_across_splits_is_called_out(squares: Path) -> None:
    shutil.copy(squares / "images/p00.png", squares / "images/p09.png")
    found = messages(check(squares, DataSettings()), "warning")
    assert "p09.png: has the same content as" in found
    assert "one in split val, one in split train (splits must not share images)" in found


def test_masks_without_image_are_counted(squares: Path) -> None:
    (squares / "images/p00.png").rename(squares / "images/q00.png")
    text = (squares / "labels.csv").read_text().replace("p00", "q00")
    (squares / "labels.csv").write_text(text)
    (squares / "splits/train.txt").write_text("q00\n")
    assert "1 mask without an image of the same name, p00.png first" in messages(
        check(squares, DataSettings()), "warning"
    )


def test_a_training_split_without_tags_is_fatal(squares: Path) -> None:
    (squares / "labels.csv").write_text("image,labels\np08.png,red\n")
    assert "no image of split train has tags" in messages(check(squares, DataSettings()), "error")
    (squares / "labels.csv").write_text("image,labels\np00.png,red\n")
    report = check(squares, DataSettings())
    assert not report.fatal
    assert "not used: 7 images of split train without tags, p01 first" in messages(report, "warning")


def test_rows_and_columns_are_checked_like_opening_does(squares: Path) -> None:
    (squares / "labels.csv").write_text("image,labels\np00.png,red\np00,blue\n")
    assert "line 3: p00 is already on line 2" in messages(check(squares, DataSettings()), "error")
    (squares / "labels.csv").write_text("image,red,violet\np00.png,1,0\n")
    assert "line 1: tag 'violet' is not a class" in messages(check(squares, DataSettings()), "error")


def test_lists_that_are_no_text_are_one_problem(squares: Path) -> None:
    (squares / "splits/train.txt").write_bytes(b"p00\np\xe9\n")
    report = check(squares, DataSettings())
    assert [problem.severity for problem in report.problems] == ["error"]
    assert "train.txt, line 2: is not UTF-8" in report.problems[0].message


def test_class_folders_are_counted_by_split(tmp_path: Path) -> None:
    for index, name in enumerate(("train/cat/a.png", "train/dog/a.png", "val/dog/a.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / name)
    report = check(tmp_path, DataSettings())
    assert not report.problems
    assert (report.splits, report.images_per_class) == ({"train": 2, "val": 1}, {"cat": 1, "dog": 2})


@pytest.mark.parametrize("look", [check, check_names])
def test_a_missing_folder_is_an_error_and_no_report(tmp_path: Path, look: Callable[..., CheckReport]) -> None:
    with pytest.raises(DataError, match="none: the folder does not exist; give the one that holds images/"):
        look(tmp_path / "none", DataSettings())


def test_lists_that_are_all_empty_are_fatal(squares: Path) -> None:
    (squares / "labels.csv").write_text("image,labels\np00.png,\np01.png,\n")
    found = messages(check(squares, DataSettings()), "error")
    assert found.count("\n") == 0
    assert "all lists of tags are empty" in found


def test_a_validation_split_without_tags_and_a_late_background_are_warnings(squares: Path) -> None:
    (squares / "labels.csv").write_text("image,labels\np00.png,red\np01.png,blue\n")
    (squares / "classes.txt").write_text("red\nbackground\nblue\n")
    report = check(squares, DataSettings())
    assert not report.fatal
    assert "no image of split val has tags" in messages(report, "warning")
    assert "class background is treated like any other class" in messages(report, "warning")


@pytest.mark.real
@pytest.mark.parametrize(("kind", "names"), [("", 21), ("_things", 16)])
def test_the_shared_images_are_sound(shared_data: Path, kind: str, names: int) -> None:
    settings = DataSettings(labels=f"labels{kind}.csv", classes=f"classes{kind}.txt", masks=f"masks{kind}")
    report = check(shared_data, settings)
    assert not report.fatal
    assert (report.images, report.tagged, report.masks, len(report.classes)) == (591, 472, 472, names)


@pytest.mark.parametrize("look", [check, check_names])
def test_splits_that_no_path_may_be_made_of(squares: Path, look: Callable[..., CheckReport]) -> None:
    (squares / "splits/train.txt").rename(squares / "splits/my train.txt")
    assert "'my train' cannot name a split; use letters, digits" in messages(look(squares, DataSettings()), "error")


def test_problems_that_are_alike_are_counted(squares: Path) -> None:
    for number in range(5):
        (squares / f"images/p{number:02d}.png").unlink()
    for number in (5, 6):
        (squares / f"images/p{number:02d}.png").write_bytes(b"no image")
    report = check(squares, DataSettings())
    lines = [line for line in report.lines() if line.startswith("error: ")]
    rows, names, damaged = (
        [line for line in lines if part in line] for part in ("remove the row", "remove the line", "is not an image")
    )
    assert (len(rows), len(names), len(damaged)) == (4, 4, 2)
    assert rows[0].startswith(f"error: {squares}/labels.csv, line 2: p00.png is not in")
    assert rows[3].startswith(f"error: 2 more like {squares}/labels.csv, line 6: p04.png is not in")
    assert len(messages(report, "error").splitlines()) == 5 + 5 + 2


def test_a_problem_is_told_whole_where_it_would_only_be_counted() -> None:
    report = CheckReport()
    for name in "abcd":
        report.error(f"{name}.jpg: is no image", name)
    assert list(report.lines()) == [f"error: {name}.jpg: is no image" for name in "abcd"]


@pytest.mark.parametrize(
    ("name", "message", "hidden"),
    [
        ("p1", "d/p1.jpg: p1 is damaged", "d/NAME.jpg: NAME is damaged"),
        ("p1", "p10.jpg, xp1, _p1, p1_: p1", "p10.jpg, xp1, _p1, p1_: NAME"),
        ("a.b", "a-b.jpg", "a-b.jpg"),
    ],
)
def test_a_name_is_hidden_where_it_is_a_word(name: str, message: str, hidden: str) -> None:
    assert hide(name, message) == hidden


def test_many_rows_of_many_classes_take_seconds(squares: Path) -> None:
    (squares / "classes.txt").write_text("".join(f"class number {number}\n" for number in range(10_000)))
    rows = (f"{number}.png,clas number {number % 10_000};class number 7\n" for number in range(50_000))
    (squares / "labels.csv").write_text("image,labels\n" + "".join(rows))
    before = time.process_time()
    lines = list(check(squares, DataSettings()).lines())
    assert time.process_time() - before < 30  # a hint a row takes hours, a pattern a name most of a minute
    assert any("nor are 9989 others" in line for line in lines)
    assert any(line.startswith("error: 49998 more like") or "49997 more like" in line for line in lines)
