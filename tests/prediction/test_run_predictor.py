"""Tagged runs as predictors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tag2mask import make_masks
from tag2mask.data.reading import read_mask
from tag2mask.errors import SettingsError
from tag2mask.masks.write import open_mask_set
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings


def test_files_and_folders_get_what_masks_paints_with_predicted_tags(trained: Path, tmp_path: Path) -> None:
    run, images = trained / "run", trained / "squares/images"
    looks = {"flip": True, "scales": (1.0, 1.5), "refine": "affinity,crf"}
    make_masks(run, out=tmp_path / "wanted", split="all", tags="predicted", crf="weaktr-voc", **looks)
    settings = PredictSettings.parse({**looks, "overlay": True, "crf": "weaktr-voc"})
    summary = predict(run, [images], tmp_path / "found", settings)
    assert (summary.images, summary.failures) == (12, {})
    wanted, found = open_mask_set(tmp_path / "wanted"), open_mask_set(tmp_path / "found")
    assert found.names() == wanted.names()
    for name in wanted.names():
        assert np.array_equal(read_mask(found.mask(name)), read_mask(wanted.mask(name)))
        assert (tmp_path / f"found/overlays/{name}.jpg").is_file()
    for key in ("settings", "image_tags", "checkpoint_sha256", "labels_used", "truth_used"):
        assert found.manifest[key] == wanted.manifest[key]
    assert found.manifest["photographs"] == [str(images.resolve())]


def test_a_split_of_its_own_data(trained: Path, tmp_path: Path) -> None:
    assert predict(trained / "run", [], tmp_path / "out", PredictSettings(), "val").images == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masks": {"tags": "given"}}, "unknown setting masks"),
        ({"paint": {"treshold": 0.5}}, "unknown setting paint.treshold; did you mean paint.threshold"),
        ({"masks": {"background": {"value": "agreement"}}}, "agreement needs a whole split: use tag2mask masks"),
        ({"refine": "sharpen"}, "refiner 'sharpen' is unknown"),
    ],
)
def test_settings_that_make_no_sense(trained: Path, tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        predict(trained / "run", [trained / "squares/images"], tmp_path / "out", PredictSettings.parse(settings))
    assert not (tmp_path / "out").exists()
