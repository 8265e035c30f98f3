"""Tiles of 13 bands through all verbs: the command line, in process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from command import SMALL, call
from tag2mask.data.reading import read_image, read_mask
from tag2mask.errors import DataError
from tag2mask.synthetic.landcover import CLASSES, write_landcover


@pytest.fixture
def world(tmp_path: Path) -> Path:
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    write_landcover(tmp_path / "land", {"train": 8, "val": 4}, side=32)
    return tmp_path / "land"


def test_the_whole_way(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import rasterio

    def go(*arguments: object) -> dict[str, Any]:
        assert call(monkeypatch, *arguments, "--json") == 0
        return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))

    run, student, out = tmp_path / "run", tmp_path / "student", tmp_path / "out"
    assert go("check", world)["images"] == 12
    go("train", world, "--out", run, "--epochs", 1, *SMALL)
    config = yaml.safe_load((run / "config.yaml").read_text())
    own = yaml.safe_load((world / "dataset.yaml").read_text())
    assert (config["mean"], config["std"]) == (own["mean"], own["std"])
    assert (config["settings"]["data"]["clip"], config["settings"]["backbone"]["bands"]) == ([[0, 1e4]], 13)
    (world / "dataset.yaml").unlink()  # a run knows how its images are read
    masks = call(monkeypatch, "masks", run, "--refine", "pamr,crf")
    assert masks == 0
    assert go("evaluate", run / "masks-train", "--truth", world / "masks")["images"] == 8
    assert go("convert", run / "masks-train", "--to", "geotiff", "--out", tmp_path / "geo")["without_crs"] == 0
    for name in ("train_0000", "train_0007"):
        with (
            rasterio.open(tmp_path / f"geo/{name}.tif") as mask,
            rasterio.open(world / f"images/{name}.tif") as tile,
        ):
            assert (mask.crs, mask.transform, mask.nodata) == (tile.crs, tile.transform, CLASSES.ignore)
            np.testing.assert_array_equal(mask.read(1), read_mask(run / f"masks-train/masks/{name}.png"))
    go("segment", run, "--masks", run / "masks-train", "--out", student, "--epochs", 1)
    assert yaml.safe_load((student / "config.yaml").read_text())["mean"] == own["mean"]
    assert call(monkeypatch, "predict", student, world / "images", "--out", out, "--overlay") == 0
    assert len(list((out / "overlays").glob("*.jpg"))) == 12
    go("report", run)
    assert "data:image/jpeg" in (run / "report.html").read_text()


def test_the_command_line_wins(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ones = "[" + ",".join(["1"] * 13) + "]"
    chosen = ["--set=data.clip=[0,5000]", f"--set=data.mean={ones}", "--set=backbone.patch_weights=fresh"]
    assert call(monkeypatch, "train", world, "--out", tmp_path / "run", "--epochs", 1, *SMALL, *chosen) == 0
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert (config["mean"], config["settings"]["data"]["clip"]) == ([1] * 13, [[0, 5000]])
    assert config["settings"]["data"]["rgb"] == [3, 2, 1]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("backbone.bands=3", "data.bands is 13, backbone.bands 3: set only data.bands"),
        ("data.bands=4", "mean has 13 values, bands is 4; give one per band"),
        ("data.rgb=[13,2,1]", "rgb names band 13, but the bands are 0 to 12"),
    ],
)
def test_contradictions_are_one_line(
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    chosen: str,
    message: str,
) -> None:
    assert call(monkeypatch, "train", world, "--out", tmp_path / "run", "--set", chosen, *SMALL) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_wrong_number_of_bands_names_the_setting_of_every_verb(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(DataError, match=r"--set bands=N for check and prepare, --set data\.bands=N for train"):
        read_image(tmp_path / "a.npy", 13)
