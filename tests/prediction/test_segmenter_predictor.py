"""Segmenters' folders as predictors: the CRF after them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tag2mask.data import Classes, DataSettings
from tag2mask.data.reading import read_mask
from tag2mask.errors import SettingsError
from tag2mask.masks.paint import most_probable
from tag2mask.masks.write import open_mask_set
from tag2mask.prediction.predict import predict
from tag2mask.prediction.predictor import answer_of_segmenter, labels_of_segmenter
from tag2mask.prediction.settings import PredictSettings
from tag2mask.refine.settings import CRF, RefineSettings


@pytest.mark.parametrize("side", [640, 24])
def test_the_crf_moves_an_edge_to_where_the_colours_change(side: int) -> None:
    image = np.zeros((3, 32, 48), np.float32)
    image[:, :, 24:] = 0.9
    shares = np.zeros((5, 16, 24), np.float32)
    shares[2], shares[4] = 0.6, 0.4
    shares[2, :, 14:], shares[4, :, 14:] = 0.2, 0.8  # class 4 starts at column 28 of 48
    before, after = (
        most_probable(shares, (32, 48)),
        labels_of_segmenter(image, shares, RefineSettings(side=side, names=(CRF,)), DataSettings()),
    )
    right = np.where(np.arange(48) < 24, 2, 4)
    assert (before == right).mean() < (after == right).mean()
    assert after.shape == (32, 48)
    assert set(np.unique(after)) == {2, 4}
    answer = answer_of_segmenter(
        image, shares, None, Classes(tuple("abcde")), RefineSettings(side=side, names=(CRF,)), DataSettings()
    )
    assert (answer.labels == after).all()
    assert (answer.tags, answer.shares_SYX.shape) == ((2, 4), (5, 32, 48))


def test_one_class_everywhere_stays() -> None:
    shares = np.array([0.1, 0.9], np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32)
    refine = RefineSettings(names=(CRF,))
    assert (labels_of_segmenter(np.zeros((3, 9, 7), np.float32), shares, refine, DataSettings()) == 1).all()


def test_refined_masks_are_whole(student: Path, trained: Path, tmp_path: Path) -> None:
    images = [trained / "squares/images/p00.png"]
    settings = PredictSettings.parse({"refine": "crf", "crf": "segmenter-coco"})
    assert predict(student, images, tmp_path / "out", settings).images == 1
    made = open_mask_set(tmp_path / "out")
    assert made.manifest["settings"]["refine"]["names"] == ["crf"]
    assert made.manifest["settings"]["refine"]["crf"]["colour_place"] == 67
    assert read_mask(made.mask("p00")).max() < 4
    for setting, message in (
        ({"refine": "pamr"}, "supports crf or none"),
        ({"crf": True}, "refine.crf: expected settings or a name, mctformer, .*; --refine crf applies the CRF"),
        ({"crf_engine": "densecrf"}, "refine.crf_engine: expected 'torch' or 'pydensecrf2'"),
        ({"paint": {"rule": "ordered"}}, "paint cannot be set: it is for tagged runs"),
        ({"method": {"map_layers": 2}}, "method cannot be set: it is for tagged runs"),
    ):
        with pytest.raises(SettingsError, match=message):
            predict(student, images, tmp_path / "other", PredictSettings.parse(setting))
