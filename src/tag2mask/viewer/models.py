"""The model behind masks: its class maps, its patch features, and its answer for changed views of an image.

Shapes: C classes, K classes, D width of features, h w patch grid, Y X pixels.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from tag2mask.data import Sample
from tag2mask.data.reading import read_scaled
from tag2mask.data.resizing import resize_bilinear, scaled_size
from tag2mask.errors import SettingsError
from tag2mask.inference.arrays import Floats
from tag2mask.inference.look import sum_maps
from tag2mask.inference.method_network import MethodNetwork, attention_of
from tag2mask.inference.settings import LookSettings
from tag2mask.masks.paint import Labels, label_shares
from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.painter import Painter
from tag2mask.prediction.segmenter import SegmenterPredictor
from tag2mask.prediction.settings import PredictSettings
from tag2mask.probe.probe import look
from tag2mask.refine.on_image import finished_maps
from tag2mask.training.run import Run
from tag2mask.viewer.maps import ClassMaps, maps_of_run, maps_of_shares

FINEST = 128  # rows and columns of maps that are pixels at the model


class Model(Protocol):
    """A run or a segmenter. Only one thread uses it at a time."""

    first: int  # layer with class tokens
    layers: int
    heads: int

    def maps(self, image: Path, tags: Sequence[int]) -> ClassMaps:
        """Return the maps of ``tags``, indices into the names of the classes."""

    def attention(self, image: Path, tags: Sequence[int], layer: int, head: int | None) -> ClassMaps:
        """Return what the tokens of ``tags`` attend to in one layer.

        Raises:
            SettingsError: the model has no such layer or head.
        """

    def features(self, image: Path) -> Floats:
        """Return the features of patches, ``(h, w, D)``."""

    def labels(self, image: Floats, tags: Sequence[int]) -> Labels:
        """Paint an image ``(bands, Y, X)`` in [0, 1] with ``tags``: ``(Y, X)``."""

    def read(self, image: Path) -> Floats:
        """Read an image ``(bands, Y, X)`` in [0, 1]."""


class RunModel:
    """A tagged run that paints with the settings of a mask set."""

    def __init__(self, run: Run, settings: MaskSettings) -> None:
        """Load the weights of the run and of its refiners.

        Raises:
            Tag2MaskError: they are not there, or do not fit.
        """
        self.run = run
        self.painter = Painter(run, settings.model_copy(update={"tags": "given", "scores": False}))
        self.lock = threading.Lock()
        vit = self.painter.localizer.method.vit
        has_tokens = len(vit.class_CD) == len(run.classes)
        self.first = vit.enter or 0
        self.layers = len(vit.attentions) - self.first if has_tokens else 0
        self.heads = vit.attentions[0].heads if has_tokens else 0

    def read(self, image: Path) -> Floats:
        """Read an image ``(bands, Y, X)`` in [0, 1]."""
        return read_scaled(image, self.run.settings.data)

    def maps(self, image: Path, tags: Sequence[int]) -> ClassMaps:
        """Return the maps of ``tags`` at about the resolution of patches, with the cuts of the settings."""
        painter, pixels = self.painter, torch.from_numpy(self.read(image))
        sample = Sample("", image, tuple(tags))
        classes, offset = self.run.classes, self.run.classes.offset
        values = [tag + offset for tag in tags]
        with self.lock:
            found = painter.look([(sample, pixels)])[0]
            grid = painter.grid(*pixels.shape[1:])
            if painter.settings.refine.probable and tags:
                shares = label_shares(painter.scores(found, tags, pixels), True).astype(np.float32)
                return maps_of_shares(shrunk(shares, grid), values, len(shares) > len(tags), None)
            maps_KYX = finished_maps(found.maps_CYX, tags, pixels, painter.settings.refine)
        small = F.interpolate(maps_KYX[None], grid, mode="bilinear", align_corners=False)[0].numpy()
        paint = painter.settings.paint if painter.brush.keeps_background else None
        return maps_of_run(small, values, [classes.names[tag] for tag in tags], paint)

    def attention(self, image: Path, tags: Sequence[int], layer: int, head: int | None) -> ClassMaps:
        """Return what the tokens of ``tags`` attend to, by one head or all; ``layer`` 0 is the first with tokens."""
        if not 0 <= layer < self.layers or not (head is None or 0 <= head < self.heads):
            raise SettingsError(f"layer {layer}, head {head}: there are {self.layers} layers of {self.heads} heads")
        localizer, offset = self.painter.localizer, self.run.classes.offset
        see = attention_of(localizer.method, self.first + layer, head)
        network = MethodNetwork(localizer.method, localizer.side, self.run.mean, self.run.std, see)
        pixels = torch.from_numpy(self.read(image))
        with self.lock:
            maps_CYX = sum_maps(network, [pixels], LookSettings()).maps[0].cpu()
        grid = self.painter.grid(*pixels.shape[1:])
        small = F.interpolate(maps_CYX[None, list(tags)], grid, mode="bilinear", align_corners=False)[0].numpy()
        return ClassMaps(tuple(tag + offset for tag in tags), small, (), "none", True)

    def features(self, image: Path) -> Floats:
        """Return the features of patches after the backbone's last norm, ``(h, w, D)``."""
        localizer = self.painter.localizer
        pixels = torch.from_numpy(self.read(image))
        with self.lock:
            seen = look(self.run, localizer.method, pixels, localizer.side)
        return np.asarray(seen.features_hwD.cpu().numpy())

    def labels(self, image: Floats, tags: Sequence[int]) -> Labels:
        """Paint an image ``(bands, Y, X)`` in [0, 1] with ``tags``."""
        with self.lock:
            return self.painter.paint([(Sample("", Path(), tuple(tags)), torch.from_numpy(image))])[0].labels


class SegmenterModel:
    """A segmenter with the settings that its masks were predicted with."""

    first = layers = heads = 0

    def __init__(self, path: Path, settings: PredictSettings) -> None:
        """Load the weights.

        Raises:
            Tag2MaskError: they are not there, or do not fit.
        """
        self.predictor = SegmenterPredictor(path, settings)
        self.lock = threading.Lock()

    def read(self, image: Path) -> Floats:
        """Read an image ``(bands, Y, X)`` in [0, 1]."""
        return read_scaled(image, self.predictor.data_settings)

    def maps(self, image: Path, tags: Sequence[int]) -> ClassMaps:
        """Return the probabilities of ``tags`` against the background, or of all tags if there is none."""
        with self.lock:
            answer = self.predictor.answer([self.read(image)], tuple(tags))[0]
        height, width = answer.labels.shape
        size = scaled_size(height, width, min(FINEST, height, width), 1.0)
        offset = self.predictor.classes.offset
        values = [tag + offset for tag in tags]
        return maps_of_shares(shrunk(answer.shares_SYX, size), values, bool(offset), None)

    def attention(self, image: Path, tags: Sequence[int], layer: int, head: int | None) -> ClassMaps:
        """A segmenter has no class tokens."""
        raise SettingsError("a segmenter has no attention of classes to show")

    def features(self, image: Path) -> Floats:
        """Return the features of patches, ``(h, w, D)``."""
        with self.lock:
            return self.predictor.embed(self.read(image))

    def labels(self, image: Floats, tags: Sequence[int]) -> Labels:
        """Paint an image ``(bands, Y, X)`` in [0, 1] with ``tags``."""
        with self.lock:
            return self.predictor.answer([image], tuple(tags))[0].labels


def shrunk(shares_SYX: Floats, size: tuple[int, int]) -> Floats:
    """Resize shares to about the resolution of patches."""
    return resize_bilinear(np.asarray(shares_SYX, np.float32), size)
