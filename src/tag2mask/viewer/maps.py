"""Class maps in the form that the browser repaints masks from, and painting with them.

Shapes: K classes, S competing shares, h w patch grid, Y X pixels.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tag2mask.data import Classes
from tag2mask.data.resizing import resize_bilinear
from tag2mask.inference.arrays import Floats
from tag2mask.masks.paint import Labels, cut_value, normalise
from tag2mask.masks.settings import PaintSettings
from tag2mask.viewer.pictures import Size

EVEN = 0.5  # share against the background at which both are equally likely
STEPS = 60  # of a bisection


@dataclass(frozen=True)
class ClassMaps:
    """Maps of the classes with these pixel values, ``(K, h, w)``.

    A pixel gets the class with the highest map, or the background if that map is not above the class's ``cut``. There
    are no cuts if no background competes. ``relative`` maps are first stretched to [0, 1], each over its own range.
    ``kind`` is ``threshold`` (of stretched maps), ``probability`` (against the background) or ``none``.
    """

    values: tuple[int, ...]
    maps_Khw: Floats
    cuts: tuple[float, ...]
    kind: str
    relative: bool

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return int(self.maps_Khw.nbytes)

    def only(self, places: Sequence[int]) -> ClassMaps:
        """Return the maps at these places."""
        values = tuple(self.values[place] for place in places)
        cuts = tuple(self.cuts[place] for place in places) if self.cuts else ()
        return replace(self, values=values, maps_Khw=self.maps_Khw[list(places)], cuts=cuts)


def maps_of_shares(
    shares_Shw: Floats, values: Sequence[int], background: bool, settings: PaintSettings | None
) -> ClassMaps:
    """Return maps from the shares of competing labels; the first are the background's if there is one.

    ``settings`` are those of a threshold on normalised maps, None if the shares are probabilities. For a threshold b,
    shares are y_c = m_c^2 / s and y_0 = b^2 / s, so the maps were m_c = b sqrt(y_c / y_0). Otherwise the maps are
    y_c / (y_c + y_0), with a cut of 1/2.
    """
    if not background or not shares_Shw[0].any():
        return ClassMaps(tuple(values), shares_Shw[int(background) :], (), "none", False)
    empty_hw, others_Khw = shares_Shw[0], shares_Shw[1:]
    tiny = 0.5 / 255  # stored shares are rounded
    if settings is not None and settings.background.policy == "threshold":
        value = settings.background.value
        if isinstance(value, float) and not settings.class_thresholds:
            maps_Khw = (value * np.sqrt(others_Khw / empty_hw.clip(tiny))).astype(np.float32)
            return ClassMaps(tuple(values), maps_Khw, (value,) * len(values), "threshold", False)
    maps_Khw = others_Khw / (others_Khw + empty_hw).clip(np.finfo(np.float32).tiny)
    return ClassMaps(tuple(values), maps_Khw.astype(np.float32), (EVEN,) * len(values), "probability", False)


def maps_of_run(
    maps_Khw: Floats, values: Sequence[int], names: Sequence[str], paint: PaintSettings | None
) -> ClassMaps:
    """Return raw maps with the cuts of these settings; None means that no background competes."""
    if paint is None:
        return ClassMaps(tuple(values), maps_Khw, (), "none", True)
    cuts = [paint.class_thresholds.get(name, paint.background.value) for name in names]
    if paint.background.policy == "power":
        cuts = [power_cut(float(paint.background.value))] * len(names)
    stretched = normalise(maps_Khw) if maps_Khw.size else maps_Khw
    numbers = (cut_value(one, cut) for one, cut in zip(stretched, cuts, strict=True))  # type: ignore[arg-type]
    return ClassMaps(tuple(values), maps_Khw, tuple(map(float, numbers)), "threshold", True)


def power_cut(power: float) -> float:
    """Solve t = (1 - t)^power: above t, a map beats the background's score (1 - map)^power."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if middle > (1 - middle) ** power else (middle, high)
    return low


def paint_maps(maps: ClassMaps, size: Size, thresholds: Mapping[int, float], classes: Classes) -> Labels:
    """Paint a label image; ``thresholds`` replace the cuts of the classes with these pixel values."""
    if not maps.values:
        return np.full(size, classes.ignore if classes.background is None else 0, np.int64)
    grown_KYX = resize_bilinear(maps.maps_Khw, size)
    if maps.relative:
        grown_KYX = normalise(grown_KYX)
    best_YX = grown_KYX.argmax(0)
    labels = np.asarray(maps.values, np.int64)[best_YX]
    if not maps.cuts:
        return np.asarray(labels)
    cuts_K = np.array([thresholds.get(value, cut) for value, cut in zip(maps.values, maps.cuts, strict=True)])
    return np.asarray(np.where(grown_KYX.max(0) > cuts_K[best_YX], labels, 0))


def packed_maps(maps: ClassMaps) -> bytes:
    """Encode for the browser: the length of a JSON header, the header, and each map in 8 bits over its maximum."""
    peaks_K = maps.maps_Khw.max((1, 2), initial=0)
    scaled_Khw = 255 * maps.maps_Khw / np.where(peaks_K > 0, peaks_K, 1)[:, None, None]
    header: dict[str, Any] = {
        "classes": list(maps.values),
        "height": maps.maps_Khw.shape[1],
        "width": maps.maps_Khw.shape[2],
        "max": peaks_K.tolist(),
        "background": {"value": maps.cuts[0] if maps.cuts else 0.0, "kind": maps.kind},
        "thresholds": list(maps.cuts),
        "relative": maps.relative,
    }
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + scaled_Khw.round().clip(0, 255).astype(np.uint8).tobytes()
