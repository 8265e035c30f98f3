from __future__ import annotations

from pathlib import Path

import pytest

from tag2mask.errors import RunError
from tag2mask.workflows import demo


def test_the_demo_ends_with_scores_and_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SCENES", {"train": 8, "val": 4, "test": 4})
    monkeypatch.setitem(demo.TRAIN, "epochs", 1)
    with monkeypatch.context() as patch:
        patch.setattr(demo, "train", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            demo.run_demo(tmp_path / "demo")
    result = demo.run_demo(tmp_path / "demo")  # goes on
    assert Path(result["report"]).read_text().startswith("<!doctype html>")
    assert result["scores"]["images"] == 4
    assert 0 < result["scores"]["random_miou"] < 50
    assert len(result["scores"]["per_class"]) == 11


def test_a_folder_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(RunError, match="is not empty"):
        demo.run_demo(tmp_path)
    assert (tmp_path / "mine.txt").exists()
