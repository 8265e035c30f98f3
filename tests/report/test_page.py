from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tag2mask import make_masks, train
from tag2mask.errors import MaskSetError
from tag2mask.report.charts import line_chart, nice_step
from tag2mask.report.page import write_report


def test_the_page_stands_alone_and_shows_everything(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained / "run", tmp_path / "run"))
    made = make_masks(run, split="val")
    page = write_report(run, made.path, trained / "squares/masks").read_text()
    HTMLParser().feed(page)
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "<script" not in page
    assert page.count("<img") == 4 * 5  # photograph, mask, truth and two maps for each of four photographs
    for part in ("Training loss", "painted at random", "backbone.image_size", "checkpoint_sha256", "green"):
        assert part in page


def test_names_are_escaped(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    evil = "<script>alert(1)</script>"
    for name in ("classes.txt", "labels.csv"):
        path = squares / name
        path.write_text(path.read_text().replace("red", evil))
    train(squares, tmp_path / "run", **small)
    make_masks(tmp_path / "run")
    page = write_report(tmp_path / "run").read_text()
    assert evil not in page
    assert "&lt;script&gt;" in page


def test_without_masks_it_says_how_to_make_some(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained / "run", tmp_path / "run"))
    with pytest.raises(MaskSetError, match="has no mask set yet: make one with tag2mask masks"):
        write_report(run)


@pytest.mark.parametrize(("rough", "step"), [(0.1, 0.1), (0.17, 0.2), (0.3, 0.5), (7, 10), (12, 20), (0.012, 0.02)])
def test_steps_are_round(rough: float, step: float) -> None:
    assert nice_step(rough) == pytest.approx(step)


def test_a_chart_of_one_epoch() -> None:
    chart = line_chart("t", "y", [1], {"a": [0.0]})
    assert len(chart.lines[0].points) == 1
    assert chart.y_ticks[0].label == "0"
