"""Tables that have to fit into a terminal of 80 columns."""

from __future__ import annotations

import pytest

from tag2mask.shown import say
from tag2mask.workflows.run import whole_shown


def test_the_scores_of_run_fit_with_precision_and_recall(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    scores = {"miou": 77.4, "precision": 88.8, "recall": None, "miou_interval_95": [75.1, 100.0], "random_miou": 30.7}
    rows = [{**scores, "mask_set": name, "images": 11788, "tags": "predicted"} for name in ("run/masks-train", "b")]
    say(whole_shown({"run": "r", "masks": "m", "segmenter": "s", "predicted": {}, "report": "p", "scores": rows}))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mask", "set", "images", "tags", "mIoU", "precision", "recall", "95", "%", "random"] in lines
    assert ["run/masks-train", "11788", "predicted", "77.4", "88.8", "-", "75.1-100.0", "30.7"] in lines
