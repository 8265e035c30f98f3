"""Crops of images and label images, transformed together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tag2mask.data import Classes, DataSettings
from tag2mask.errors import DataError, SettingsError
from tag2mask.masks.scores import ScoreFile, write_scores
from tag2mask.segmentation.crops import LabelledCrops, LabelledImage, choose_corner, distort
from tag2mask.segmentation.settings import CropSettings

CLASSES = Classes(tuple("abcdefgh"))


def write(tmp_path: Path, labels: np.ndarray, truth: np.ndarray | None = None, bands: int = 3) -> LabelledImage:
    """An image whose brightness tells its label."""
    pixels = np.repeat((labels[..., None] * 30).astype(np.uint8), bands, axis=2)
    np.save(tmp_path / "image.npy", pixels)
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels.png")
    if truth is not None:
        Image.fromarray(truth.astype(np.uint8)).save(tmp_path / "truth.png")
    where = None if truth is None else tmp_path / "truth.png"
    return LabelledImage("image", tmp_path / "image.npy", tmp_path / "labels.png", where)


def crops(one: LabelledImage, crop: int, bands: int = 3, **settings: object) -> LabelledCrops:
    data = DataSettings(bands=bands)
    return LabelledCrops([one], CLASSES, crop, data, (0.0,) * bands, (1.0,) * bands, CropSettings.parse(settings))


def blocks(shape: tuple[int, int]) -> np.ndarray:
    """Label images of large blocks."""
    y, x = np.indices(shape)
    return (y // 12 + 3 * (x // 12)) % 8


@pytest.mark.parametrize("shape", [(48, 60), (37, 25), (90, 31)])
@pytest.mark.parametrize("bands", [1, 3, 13])
def test_image_and_labels_go_through_the_same_changes(tmp_path: Path, shape: tuple[int, int], bands: int) -> None:
    labels = blocks(shape)
    items = crops(write(tmp_path, labels, labels, bands), 40, bands, distort=0.0)
    for seed in range(8):
        image, label, size, shares, values = items[seed, 0]
        assert (image.shape, label.shape) == ((bands, 40, 40), (3, 40, 40))
        assert torch.equal(label[0], label[1])
        inside = label[0] != CLASSES.ignore
        assert inside[: size[0], : size[1]].all()
        assert inside.sum() == size.prod()
        assert (shares.shape, values.shape) == ((0, 40, 40), (0,))
        told = (image[0] * 255 / 30).round()
        assert (told[inside] == label[0][inside]).float().mean() > 0.75  # edges are blurred
        assert (image[:, ~inside] == 0).all()


def test_an_item_is_a_function_of_its_seed_and_leaves_the_generator_alone(tmp_path: Path) -> None:
    items = crops(write(tmp_path, blocks((48, 60))), 32)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = items[3, 0], items[3, 0], items[4, 0]
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert (first[1][1] == CLASSES.ignore).all()  # no truth was given


def test_the_short_side_is_scaled(tmp_path: Path) -> None:
    labels = np.zeros((20, 20), int)
    labels[:, 10:] = 1
    items = crops(write(tmp_path, labels), 48, distort=0.0)
    sides = [int((items[seed, 0][1][0] != CLASSES.ignore).any(0).sum()) for seed in range(40)]
    assert CropSettings().base_for(480) == 520
    assert min(sides) in range(39, 44)  # 52 x 0.75
    assert max(sides) == 48


def test_a_crop_of_nearly_one_class_is_drawn_anew() -> None:
    torch.manual_seed(0)
    labels = torch.zeros(40, 40, dtype=torch.int64)
    labels[:, 20:] = 1

    def largest(cat_max_ratio: float) -> list[float]:
        shares = []
        for _ in range(60):
            top, left = choose_corner(labels, 16, cat_max_ratio, 255)
            counts = labels[top : top + 16, left : left + 16].flatten().bincount()
            shares.append((counts.max() / counts.sum()).item())
        return shares

    assert sum(share >= 0.75 for share in largest(0.75)) < 10  # ten tries each, more than a quarter of them good
    assert sum(share >= 0.75 for share in largest(1.0)) > 20
    ignored = torch.full((40, 40), 255)
    assert all(0 <= place <= 24 for place in choose_corner(ignored, 16, 0.75, 255))
    assert choose_corner(labels, 64, 0.75, 255) == (0, 0)


def test_distortion_changes_colours_and_stays_in_range() -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 8, 8)
    changed = [distort(image, 1.0) for _ in range(20)]
    assert len({round(other.mean().item(), 4) for other in changed}) > 10
    assert all(other.min() >= 0 and other.max() <= 1 for other in changed)


def test_labels_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    one = write(tmp_path, np.full((20, 20), 8))
    with pytest.raises(DataError, match=r"labels\.png: holds the value 8, which is neither one of 8 classes nor 255"):
        crops(one, 16)[0, 0]
    Image.fromarray(np.zeros((20, 21), np.uint8)).save(one.labels)
    with pytest.raises(DataError, match=r"labels\.png: its size is \(20, 21\), but the image's is \(20, 20\)"):
        crops(one, 16)[0, 0]


def soft(one: LabelledImage, planes: np.ndarray, values: tuple[int, ...]) -> LabelledImage:
    """The same with scores."""
    path = one.labels.with_name("scores.png")
    if values:
        write_scores(path, planes.astype(np.uint8))
    return dataclasses.replace(one, scores=ScoreFile(path, values))


@pytest.mark.parametrize("shape", [(48, 60), (36, 24), (84, 36)])
def test_soft_labels_go_through_the_same_changes_as_the_image(tmp_path: Path, shape: tuple[int, int]) -> None:
    """Scores at a sixth of the size, sure of the label: resampled, they still are, but at the edges of blocks."""
    labels = blocks(shape)
    planes = 255 * (labels[None, 3::6, 3::6] == np.arange(8)[:, None, None])
    items = crops(soft(write(tmp_path, labels), planes, tuple(range(8))), 40, distort=0.0)
    for seed in range(8):
        crop = items[seed, 0]
        inside = crop.labels[0] != CLASSES.ignore
        assert (crop.shares.shape, crop.shares.dtype, crop.values.tolist()) == ((8, 40, 40), torch.uint8, [*range(8)])
        assert (crop.shares.sum(0)[inside] - 255).abs().max() <= 4
        assert (crop.shares[:, ~inside] == 0).all()
        assert (crop.shares.argmax(0) == crop.labels[0])[inside].float().mean() > 0.9
        assert inside.sum() == crop.size.prod()


def test_all_crops_have_as_many_planes(tmp_path: Path) -> None:
    labels = np.full((20, 20), 5)
    few = soft(write(tmp_path, labels), np.full((1, 2, 2), 255), (5,))
    many = dataclasses.replace(few, scores=ScoreFile(tmp_path / "many.png", (2, 5, 7)))
    write_scores(tmp_path / "many.png", np.full((3, 3, 3), 85, np.uint8))
    none = soft(few, labels, ())
    items = LabelledCrops([few, many, none], CLASSES, 16, DataSettings(), (0.0,) * 3, (1.0,) * 3, CropSettings())
    found = [items[0, index] for index in range(3)]
    assert [crop.values.tolist() for crop in found] == [[5, 0, 0], [2, 5, 7], [0, 0, 0]]
    assert [crop.shares.amax((1, 2)).tolist() for crop in found] == [[255, 0, 0], [85, 85, 85], [0, 0, 0]]
    assert [(crop.labels[0] == 5).any().item() for crop in found] == [True, True, False]  # no share is no label


def test_many_classes_take_the_memory_of_those_of_the_image(tmp_path: Path) -> None:
    one = soft(write(tmp_path, np.zeros((20, 20))), np.full((2, 4, 4), 127), (0, 299))
    classes = Classes(tuple(f"c{i}" for i in range(300)))
    crop = LabelledCrops([one], classes, 16, DataSettings(), (0.0,) * 3, (1.0,) * 3, CropSettings())[0, 0]
    assert crop.shares.nbytes == 2 * 16 * 16


def test_scales_in_the_wrong_order_are_an_error() -> None:
    with pytest.raises(SettingsError, match="min_scale is above max_scale"):
        CropSettings.parse({"min_scale": 2.0, "max_scale": 1.0})
