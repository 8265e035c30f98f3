"""Closed forms of reference_methods.md section 8.5, and the bootstrap and chance beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from command import call
from tag2mask.data import Classes, DataSettings, open_dataset
from tag2mask.data.reading import read_mask
from tag2mask.evaluation.chance import random_counts
from tag2mask.evaluation.confusion import confusion
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.evaluation.iou import mean_known, miou_interval, score_table
from tag2mask.masks.write import MaskSetWriter, Painted, write_mask

TRUTH = np.array([[0, 0, 1, 1], [0, 255, 1, 2], [2, 2, 2, 255]])
PREDICTION = np.array([[0, 1, 1, 1], [0, 1, 0, 2], [2, 0, 2, 2]])


def test_vectors() -> None:
    table = score_table(confusion(TRUTH, PREDICTION, 3, 255))
    assert table.iou == pytest.approx([0.4, 0.5, 0.75])
    assert table.fp == pytest.approx([0.4, 0.25, 0])
    assert table.fn == pytest.approx([0.2, 0.25, 0.25])
    assert table.miou == pytest.approx(0.55)
    assert mean_known(table.fp) == pytest.approx(0.216667, abs=1e-6)
    assert mean_known(table.fn) == pytest.approx(0.233333, abs=1e-6)
    assert mean_known(table.precision) == pytest.approx(0.722222, abs=1e-6)
    assert mean_known(table.recall) == pytest.approx(0.694444, abs=1e-6)
    assert table.pixel_accuracy == pytest.approx(0.7)


def test_a_class_in_neither_is_left_out_and_counted() -> None:
    table = score_table(confusion(TRUTH, PREDICTION, 4, 255))
    assert table.miou == pytest.approx(0.55)
    assert table.averaged == 3
    assert np.isnan(table.iou[3])


def test_counts_are_int64_and_do_not_wrap() -> None:
    counts = confusion(TRUTH, PREDICTION, 3, 255) * 2**33
    assert counts.dtype == np.int64
    assert score_table(counts).miou == pytest.approx(0.55)


def test_a_prediction_that_is_no_class_is_a_miss() -> None:
    counts = confusion(np.array([[0, 0]]), np.array([[0, 255]]), 1, 255)
    assert counts.tolist() == [[1, 1]]
    assert score_table(counts).iou == pytest.approx([0.5])


def test_shapes_and_foreign_values_are_errors() -> None:
    with pytest.raises(ValueError, match=r"truth is \(1, 2\), prediction is \(2, 1\)"):
        confusion(np.zeros((1, 2)), np.zeros((2, 1)), 2, 255)
    with pytest.raises(ValueError, match="value 7, which is neither one of 2 classes nor 255"):
        confusion(np.array([[7]]), np.array([[0]]), 2, 255)


def test_random_painting_is_the_expectation_of_drawing() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, (200, 200))
    values = [0, 2]
    drawn = confusion(truth, generator.choice(values, truth.shape), 3, 255)
    expected = random_counts(confusion(truth, truth, 3, 255), values)
    assert expected.sum() == drawn.sum()
    assert np.abs(expected - drawn).max() < 0.02 * truth.size
    assert random_counts(confusion(truth, truth, 3, 255), [])[:, -1].sum() == truth.size


def test_the_interval_holds_the_score_and_narrows_with_more_images() -> None:
    generator = np.random.default_rng(0)

    def interval(images: int) -> tuple[float, float]:
        truth = generator.integers(0, 3, (images, 8, 8))
        noisy = np.where(generator.random(truth.shape) < generator.random((images, 1, 1)), 0, truth)
        counts = np.stack([confusion(t, p, 3, 255) for t, p in zip(truth, noisy, strict=True)])
        low, high = miou_interval(counts)
        assert low < score_table(counts.sum(0)).miou < high
        return low, high

    few, many = interval(10), interval(160)
    assert many[1] - many[0] < few[1] - few[0]


@pytest.mark.real
def test_random_painting_on_the_shared_images(shared_data: Path) -> None:
    """The issue's figure for painting at random among the given tags: 31."""
    dataset = open_dataset(shared_data, DataSettings(), "train")
    expected = np.zeros((21, 22))
    for sample in dataset:
        truth = read_mask(sample.truth)
        expected += random_counts(confusion(truth, truth, 21, 255), sample.tags)
    assert 100 * score_table(expected).miou == pytest.approx(31, abs=0.5)


def test_precision_and_recall_stand_beside_iou_by_class_in_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = Classes(("cow", "grass", "sky"))
    writer = MaskSetWriter(tmp_path / "set", classes, {"settings": {"tags": "given"}})
    writer.add("a", Painted(PREDICTION.astype(np.int64), ["cow", "grass"], fallback=False))
    writer.finish({})
    write_mask(tmp_path / "truth/a.png", TRUTH.astype(np.int64), classes)
    scores = evaluate(tmp_path / "set", tmp_path / "truth").to_json()
    assert scores["precision_per_class"] == {"cow": 50.0, "grass": 66.67, "sky": 100.0}
    assert scores["recall_per_class"] == {"cow": 66.67, "grass": 66.67, "sky": 75.0}
    assert call(monkeypatch, "evaluate", tmp_path / "set", "--truth", tmp_path / "truth") == 0
    printed = capsys.readouterr().out
    assert "mIoU 55.0, precision 72.2, recall 69.4 (" in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["class", "IoU", "precision", "recall"] in rows
    assert ["sky", "75.0", "100.0", "75.0"] in rows
