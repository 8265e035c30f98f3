from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import tag2mask
from command import call
from squares import write_squares
from tag2mask.errors import DataError
from tag2mask.workflows import bench


def test_rates_and_hours_of_a_data_set(
    squares: Path, small: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path: path.read_bytes() for path in squares.rglob("*") if path.is_file()}
    given = ["method_settings.map_layers=2", "method_settings.attended_layers=2", "precision=fp32"]
    given += ["epochs=7", "more_epochs=7", *(f"backbone.{key}={value}" for key, value in small["backbone"].items())]
    assert call(monkeypatch, "bench", str(squares), "--json", *(f"--set={one}" for one in given)) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["images"], found["classes"], found["size"]) == (8, 3, [48, 48])
    assert list(found["rates"]) == ["train", "probe", "masks", "segment", "predict"]
    assert [rate["epochs"] for rate in found["rates"].values()] == [7, 1, 1, 50, 1]
    for rate in found["rates"].values():
        assert rate["hours"] == pytest.approx(8 * rate["epochs"] / rate["images_per_second"] / 3600)
    assert found["hours"] == pytest.approx(sum(rate["hours"] for rate in found["rates"].values()))
    assert found["hard_hours"] == pytest.approx(found["rates"]["train"]["hours"])
    assert found["largest_batch"]["gradient_checkpointing"] > found["largest_batch"]["plain"] > 8
    assert {path: path.read_bytes() for path in squares.rglob("*") if path.is_file()} == files


def test_without_data_it_measures_generated_images(small: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "VOC", (40, 64))
    found = tag2mask.bench(**{**small, "batch_size": 8})
    assert (found.images, found.classes, found.size) == (1000, 20, (40, 64))
    assert found.rates[0].epochs == 2
    assert "default settings" in found.shown()[0]
    assert found.shown()[1].columns[0] == "step"


def test_bands_are_those_of_the_data(tmp_path: Path, small: dict[str, object]) -> None:
    data = write_squares(tmp_path / "data", bands=5, background=True)
    (data / "dataset.yaml").write_text("bands: 5\nmean: [0.5, 0.5, 0.5, 0.5, 0.5]\nstd: [1, 1, 1, 1, 1]\n")
    assert tag2mask.bench(data, **small).images == 8


def test_what_cannot_be_measured_is_said(squares: Path) -> None:
    (squares / "labels.csv").write_text("image,labels\np11.png,red\n")  # an image of val
    with pytest.raises(DataError, match="no image has tags"):
        tag2mask.bench(squares)


def test_the_rate_leaves_out_the_first_items(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0, 16.0])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(times))
    watch = bench.Stopwatch()
    for count in (8, 8, 4):
        watch.see("masks", count)
    assert watch.rate("masks", images=20, each=1) == 2.0


def test_steps_of_several_batches_are_counted_in_images(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0, 16.0])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(times))
    watch = bench.Stopwatch()
    for _ in range(3):
        watch.see("train", 1)
    assert watch.rate("train", images=40, each=16) == (16 + 8) / 6


def test_three_steps_of_any_batch_are_measured(small: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "VOC", (40, 64))
    assert tag2mask.bench(**{**small, "batch_size": 24}).rates[0].images_per_second > 0


def test_generated_images_have_the_size_and_classes_wanted(tmp_path: Path) -> None:
    bench.write_photos(tmp_path / "data", 2, (40, 64), 3)
    with Image.open(tmp_path / "data/images/0000.jpg") as image:
        assert image.size == (64, 40)
    assert (tmp_path / "data/classes.txt").read_text().split() == ["background", "0", "1", "2"]
