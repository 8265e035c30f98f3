"""Sliding windows, and mask sets for new photographs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import tag2mask
from tag2mask.data.reading import read_mask
from tag2mask.data.transforms import eval_resize
from tag2mask.errors import DataError, MaskSetError, RunError, SettingsError
from tag2mask.masks.write import open_mask_set
from tag2mask.segmentation.model import Segmenter
from tag2mask.segmentation.predict import predict
from tag2mask.segmentation.settings import PredictSettings, SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.segmentation.windows import by_windows, most_probable, probabilities

FIRST = PredictSettings()


class Pointwise(Segmenter):
    """Logits of a pixel from that pixel alone, so that windows cannot matter."""

    patch = 8

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 4, 1)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(images.shape))
        return self.mix(images)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"encoder": [], "decoder": list(self.parameters())}


@pytest.fixture(scope="module")
def student(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter after one epoch."""
    out = tmp_path_factory.mktemp("student") / "student"
    settings = SegmentSettings.parse({"epochs": 1, "batch_size": 4, "precision": "fp32"})
    segment(trained / "run", None, out, settings, trained / "squares/masks", fully_supervised=True)
    return out


@pytest.mark.parametrize("size", [(32, 32), (33, 71), (20, 50)])
def test_windows_cover_every_pixel_and_average(size: tuple[int, int]) -> None:
    segmenter, images = Pointwise(), torch.randn(2, 3, *size)
    with torch.no_grad():
        found = by_windows(segmenter, images, 32, FIRST)
        torch.testing.assert_close(found, segmenter.mix(images), atol=1e-5, rtol=1e-5)
    assert all(shape[2] == min(32, size[0]) and shape[3] == min(32, size[1]) for shape in segmenter.seen)


def test_as_many_windows_at_once_as_fit() -> None:
    segmenter = Pointwise()
    with torch.no_grad():
        by_windows(segmenter, torch.randn(3, 3, 32, 74), 32, PredictSettings(max_patches=70))
    assert [shape[0] for shape in segmenter.seen] == [4, 4, 1]  # 16 patches a window, 9 windows


def test_scales_and_flips_are_a_mean_of_softmaxes() -> None:
    torch.manual_seed(0)
    segmenter, image = Pointwise(), torch.rand(3, 40, 56)
    settings = PredictSettings(scales=(1.0, 0.5), flip=True)
    mean, std = (0.5,) * 3, (0.2,) * 3
    found = probabilities(segmenter, [image, image], 40, 32, mean, std, settings)
    assert found.shape == (2, 4, 40, 56)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 40, 56))
    wanted = []
    with torch.no_grad():
        for side in (40, 20):
            logits = segmenter.mix(eval_resize(image, side, 1, mean, std)[0][None])
            for mirrored in (False, True):
                turned = logits.flip(-1) if mirrored else logits
                wanted.append(F.interpolate(turned, (40, 56), mode="bilinear").softmax(1))
    wanted[1], wanted[3] = wanted[1].flip(-1), wanted[3].flip(-1)
    torch.testing.assert_close(found[0], torch.stack(wanted).mean(0)[0], atol=1e-5, rtol=1e-4)


def test_labels_of_another_size_are_the_arg_max_of_the_resized_probabilities() -> None:
    torch.manual_seed(0)
    shares = torch.rand(5, 13, 17).softmax(0)
    wanted = F.interpolate(shares[None], (31, 29), mode="bilinear")[0].argmax(0)
    assert np.array_equal(most_probable(shares, (31, 29)), wanted.numpy())


def test_photographs_of_any_size_in_sub_folders(student: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    sizes = {"a/one": (33, 71), "a/b/two": (5, 9), "three": (90, 40), "four": (33, 71)}
    for name, size in sizes.items():
        path = tmp_path / f"new/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (*size, 3), np.uint8)).save(path)
    settings = PredictSettings(scales=(1.0, 1.5), flip=True, overlay=True)
    summary = predict(student, [tmp_path / "new"], tmp_path / "out", settings)
    assert (summary.images, summary.failures) == (4, {})
    made = open_mask_set(tmp_path / "out")
    assert made.names() == sorted(sizes)
    for name, size in sizes.items():
        labels = read_mask(made.mask(name))
        assert labels.shape == size
        assert labels.max() < 4
        assert Image.open(tmp_path / f"out/overlays/{name}.jpg").size == size[::-1]
        shown = {made.classes.pixel_names[value] for value in np.unique(labels)}
        assert set(made.manifest["image_tags"][name]) == shown - {"background"}
    assert made.manifest["complete"]
    assert made.manifest["settings"]["tags"] == "predicted"


def test_single_files_and_what_cannot_be_read(student: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    given = [trained / "squares/images/p00.png", tmp_path / "bad.png"]
    summary = predict(student, given, tmp_path / "out", FIRST)
    assert (summary.images, list(summary.failures)) == (1, ["bad"])
    shutil.copy(given[0], tmp_path / "bad.png")
    assert predict(student, given, tmp_path / "out", FIRST).images == 2  # the same call goes on


def test_a_split_of_the_runs_own_data(student: Path, tmp_path: Path) -> None:
    summary = tag2mask.predict(str(student), [], tmp_path / "out", split="val", flip=True)
    assert summary.images == 4
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["photographs"].startswith("split val of ")


def test_what_is_wrong_is_one_line(student: Path, trained: Path, tmp_path: Path) -> None:
    photograph, out = trained / "squares/images/p00.png", tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    for given, split, error, message in (
        ([], None, SettingsError, "no photographs: name files or a folder"),
        ([photograph], "val", SettingsError, "give photographs or a split, not both"),
        ([tmp_path / "none.png"], None, DataError, "there is no such file or folder"),
        ([tmp_path / "empty"], None, DataError, "holds no photograph"),
        ([tmp_path / "full/mine.txt"], None, DataError, "is no photograph by its name"),
        ([photograph, photograph], None, DataError, "has the same name"),
        ([], "none", DataError, "there is no such split"),
    ):
        with pytest.raises(error, match=message):
            predict(student, given, out, FIRST, split)
        assert not out.exists()
    with pytest.raises(MaskSetError, match="full is not empty"):
        predict(student, [photograph], tmp_path / "full", FIRST)
    with pytest.raises(RunError, match="is not a segmenter"):
        predict(tmp_path, [photograph], out, FIRST)
    (student / "model.safetensors").rename(tmp_path / "hidden")
    with pytest.raises(RunError, match=r"model\.safetensors is missing: the first epoch was never finished"):
        predict(student, [photograph], out, FIRST)
    (tmp_path / "hidden").rename(student / "model.safetensors")
