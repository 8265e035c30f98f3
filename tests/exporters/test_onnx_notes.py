"""A reader who has the file, its metadata, numpy, scipy and Pillow, and no tag2mask, paints the same masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

import tag2mask
from tag2mask.data import DataSettings
from tag2mask.data.reading import read_mask, scale_values
from tag2mask.exporters.onnx import export_onnx
from tag2mask.exporters.onnx_notes import value_note

runtime = pytest.importorskip("onnxruntime", reason="the extra is not there: pip install 'tag2mask[onnx]'")
pytest.importorskip("onnxscript", reason="the extra is not there: pip install 'tag2mask[onnx]'")

Floats = NDArray[np.float64]


class Reader:
    """What the metadata ask for, step by step."""

    def __init__(self, path: Path) -> None:
        self.session = runtime.InferenceSession(str(path))
        texts = self.session.get_modelmeta().custom_metadata_map
        names = ("preprocessing", "inputs", "outputs", "to_masks")
        self.before, self.inputs, self.outputs, self.after = (json.loads(texts[name]) for name in names)

    def images(self, path: Path) -> NDArray[np.float32]:
        """The input ``(1, bands, Y, X)``, not padded."""
        pixels = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
        factor = self.before["short_side"] / min(pixels.shape[:2])
        size = [round(side * factor) for side in pixels.shape[1::-1]]
        bands = [pixels[..., band] for band in range(self.before["bands"])]
        small = [np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BICUBIC)) for band in bands]
        return np.stack([new.clip(old.min(), old.max()) for new, old in zip(small, bands, strict=True)])[None]

    def run(self, images: NDArray[np.float32]) -> list[Any]:
        found: list[Any] = self.session.run(list(self.outputs), {"images": images})
        return found


def zoomed(maps: Floats, size: tuple[int, ...]) -> Floats:
    """Bilinear, corners not aligned: scipy's zoom with ``grid_mode``."""
    factors = [1.0] * (maps.ndim - 2) + [new / old for new, old in zip(size, maps.shape[-2:], strict=True)]
    return np.asarray(ndimage.zoom(maps, factors, order=1, mode="nearest", grid_mode=True))


def by_segmenter(reader: Reader, path: Path) -> NDArray[np.int64]:
    images = reader.images(path)
    crop = reader.after["window"]
    assert max(images.shape[2:]) <= 2 * crop
    total, covered = np.zeros((len(reader.outputs["logits"]["classes"]), *images.shape[2:])), np.zeros(images.shape[2:])
    spots = [sorted({0, side - min(crop, side)}) for side in images.shape[2:]]  # two windows overlap by more than asked
    for y in spots[0]:
        for x in spots[1]:
            part = (slice(y, y + crop), slice(x, x + crop))
            total[:, *part] += reader.run(images[:, :, *part])[0][0]
            covered[part] += 1
    shares = np.exp(total / covered)
    shares /= shares.sum(0)
    return zoomed(shares, Image.open(path).size[::-1]).argmax(0)


def by_run(reader: Reader, path: Path) -> NDArray[np.int64]:
    images = reader.images(path)
    Y, X = images.shape[2:]
    multiple = reader.before["multiple_of"]
    padded = np.pad(images, ((0, 0), (0, 0), (0, -Y % multiple), (0, -X % multiple)), mode="edge")
    logits, maps = (output[0].astype(float) for output in reader.run(padded))
    assert maps.shape[1:] == tuple(side // multiple for side in padded.shape[2:])
    classes = np.flatnonzero(logits > 0)
    size = Image.open(path).size[::-1]
    if reader.after["background"] is None:
        classes = classes if len(classes) else np.array([logits.argmax()])
        maps = maps / (maps.sum(0) + 1e-9)
    elif not len(classes):
        return np.zeros(size, np.int64)
    large = zoomed(zoomed(maps, padded.shape[2:])[classes, :Y, :X], size)
    low, high = (getattr(large, name)((1, 2), keepdims=True) for name in ("min", "max"))
    large = (large - low) / (high - low + 1e-8)
    labels = classes[large.argmax(0)] + reader.after["first_pixel_value"]
    threshold = reader.after["background_threshold"]
    return labels if threshold is None else np.where(large.max(0) > threshold, labels, 0)


@pytest.mark.parametrize("kind", ["segmenter", "run", "run without background"])
def test_the_metadata_are_enough_to_paint_the_same_masks(
    kind: str, trained: Path, student: Path, squares: Path, small: dict[str, object], tmp_path: Path
) -> None:
    data, source = (squares if kind == "run without background" else trained / "squares"), student
    if kind != "segmenter":  # one that is sure of its tags: else there is nothing to paint
        sure = {"method": "linear", "method_settings": {}, "epochs": 12}
        rates = {"lr_tokens": 0.02, "lr_backbone": 0.003}
        source = tag2mask.train(data, tmp_path / "run", **{**small, **sure, "optimiser": rates}).run
    export_onnx(source, tmp_path / "model.onnx")
    tag2mask.predict(tmp_path / "model.onnx", data / "images", tmp_path / "masks")
    reader = Reader(tmp_path / "model.onnx")
    assert reader.inputs["images"]["shape"][1] == reader.before["bands"] == 3
    assert reader.before["normalisation_is_inside"]
    found, painted = [], set()
    for path in sorted((data / "images").iterdir()):
        labels = (by_segmenter if kind == "segmenter" else by_run)(reader, path)
        painted.add(len(np.unique(labels)))
        found.append((labels == read_mask(tmp_path / f"masks/masks/{path.stem}.png")).ravel())
    assert np.concatenate(found).mean() > 0.99
    assert max(painted) > 1  # classes in an image


@pytest.mark.parametrize(
    ("settings", "note", "value"),
    [
        ({}, "largest value of their type", 0.2),
        ({"clip": [50, 150]}, "[[50.0, 150.0], [50.0, 150.0], [50.0, 150.0]], subtract low", 0.01),
        ({"scale": "maximum"}, "by its maximum in the image", 1.0),
    ],
)
def test_the_note_on_values_is_what_is_done(settings: dict[str, Any], note: str, value: float) -> None:
    chosen = DataSettings.parse(settings)
    assert note in value_note(chosen)
    assert scale_values(Path("a.png"), np.full((2, 2, 3), 51, np.uint8), chosen) == pytest.approx(value, abs=1e-3)
