"""From class maps to a label image. Pure functions that open no files.

Shapes: K classes to paint, S scores that compete for a pixel, Y X pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tag2mask.data.resizing import resize_bilinear
from tag2mask.masks.settings import BackgroundSettings, PaintSettings, Threshold

Maps = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
BARE = -1
DEFAULTS = PaintSettings()
EPS = 1e-8


def predicted_tags(
    scores_C: NDArray[np.floating[Any]], has_background: bool, threshold: float
) -> tuple[list[int], bool]:
    """Return the tags with a probability above ``threshold``, from logits ``(C,)``.

    If there are none and no background, return the highest one and True.
    """
    tags = np.flatnonzero(scores_C > math.log(threshold / (1 - threshold))).tolist()
    if tags or has_background:
        return tags, False
    return [int(scores_C.argmax())], True


def normalise(maps_KYX: Maps) -> Maps:
    """Scale each map to [0, 1]: (x - min) / (max - min + 1e-8). A constant map becomes 0."""
    low = maps_KYX.min((-2, -1), keepdims=True)
    high = maps_KYX.max((-2, -1), keepdims=True)
    scaled: Maps = (maps_KYX - low) / (high - low + EPS)
    return scaled


def paint(
    maps_KYX: Maps,
    values: Sequence[int] | None = None,
    logits: Sequence[float] | None = None,
    has_background: bool = True,
    settings: PaintSettings = DEFAULTS,
    own: Sequence[Threshold | None] = (),
) -> Labels:
    """Paint a label image ``(Y, X)`` from raw maps ``(K, Y, X)`` of classes with these pixel values and logits.

    With a background (value 0), bare pixels become background; without one, every pixel gets a class. Without any
    class, all pixels become background, or stay bare if there is none. By default ``values`` are 1, 2, ..., or
    0, 1, ... without a background. ``logits`` are used only by the rule ``ordered``. ``own`` are the classes'
    thresholds; None stands for the general one in ``settings``. Maps may be a tensor.

    Raises:
        ValueError: the maps are not of that shape or not finite, or there is not one value for each.

    Example:
        >>> maps = np.array([[[0.0, 0.2, 1.0]], [[0.0, 0.9, 0.1]]])
        >>> paint(maps)
        array([[0, 2, 1]])
    """
    maps_KYX = np.asarray(maps_KYX, np.float32)
    if maps_KYX.ndim != 3 or not np.isfinite(maps_KYX).all():
        raise ValueError(f"paint: expected finite maps (K, Y, X), got shape {maps_KYX.shape}")
    if values is None:
        values = range(int(has_background), int(has_background) + len(maps_KYX))
    values, logits = list(values), [0.0] * len(values) if logits is None else list(logits)
    if len(values) != len(maps_KYX):
        raise ValueError(f"paint: {len(maps_KYX)} maps have {len(values)} values; give one for each")
    scores_SYX = competing(maps_KYX, has_background, settings, own)
    return decide(scores_SYX, values, logits, has_background, settings, own)


def competing(
    maps_KYX: Maps, has_background: bool, settings: PaintSettings, own: Sequence[Threshold | None] = ()
) -> Maps:
    """Scores that compete for each pixel, ``(S, Y, X)``: the background's, if it competes, then the normalised maps.

    For an image without any class, only the background remains, with a score of 1.
    """
    if not len(maps_KYX):
        return np.ones((int(has_background), *maps_KYX.shape[-2:]), maps_KYX.dtype)
    maps_KYX = normalise(maps_KYX)
    if settings.rule == "ordered" or not keeps_background(has_background, settings):
        return maps_KYX
    return np.concatenate([background_score(maps_KYX, settings.background, own)[None], maps_KYX])


def keeps_background(has_background: bool, settings: PaintSettings) -> bool:
    """Whether pixels may stay background in images that show a class."""
    return has_background and settings.background.policy != "none"


def decide(
    scores_SYX: Maps,
    values: Sequence[int],
    logits: Sequence[float],
    has_background: bool,
    settings: PaintSettings,
    own: Sequence[Threshold | None] = (),
) -> Labels:
    """Label image ``(Y, X)`` of competing scores, refined or not; the other arguments are as for ``paint``."""
    if not values:
        return np.full(scores_SYX.shape[-2:], 0 if has_background else BARE, np.int64)
    if settings.rule == "ordered":
        labels = paint_ordered(scores_SYX, values, logits, thresholds_by_class(own, settings.threshold, len(values)))
        kept = keeps_background(has_background, settings)
        return np.where(labels == BARE, 0, labels) if kept else fill_nearest(labels)
    if len(scores_SYX) > len(values):  # the background comes first, so it wins ties
        values = [0, *values]
    labels_of: NDArray[np.int64] = np.asarray(values, np.int64)
    return np.asarray(labels_of[scores_SYX.argmax(0)])


def most_probable(probabilities_KYX: NDArray[np.float32], size: Sequence[int]) -> Labels:
    """Label image ``(Y, X)`` of another size, one class at a time, since all at once may not fit into memory."""
    best_YX = np.full(tuple(size), -1, np.float32)
    labels_YX = np.zeros(tuple(size), np.int64)
    for value, small_YX in enumerate(probabilities_KYX):
        share_YX = resize_bilinear(small_YX, size)
        labels_YX[share_YX > best_YX] = value
        np.maximum(best_YX, share_YX, out=best_YX)
    return labels_YX


def label_shares(scores_SYX: Maps, probable: bool) -> Maps:
    """Likelihood of each competing label, ``(S, Y, X)``; at each pixel the shares y sum to 1.

    If ``probable``, the scores s are probabilities: y_k = s_k / sum_l s_l. Otherwise they are meant for comparison with
    a threshold, and small ones mean little: y_k = s_k^2 / sum_l s_l^2. Where all are 0, all labels are equally likely.
    """
    weights_SYX = scores_SYX if probable else scores_SYX**2
    total_YX = weights_SYX.sum(0)
    weights_SYX = np.where(total_YX > 0, weights_SYX, 1.0)
    shares_SYX: Maps = weights_SYX / np.where(total_YX > 0, total_YX, len(scores_SYX))
    return shares_SYX


def thresholds_by_class(own: Sequence[Threshold | None], general: Threshold, count: int) -> list[Threshold]:
    """Thresholds of ``count`` classes: the class's own, or the general one."""
    return [general if threshold is None else threshold for threshold in own or [None] * count]


def background_score(maps_KYX: Maps, settings: BackgroundSettings, own: Sequence[Threshold | None] = ()) -> Maps:
    """Score of the background that competes with the normalised maps, ``(Y, X)``."""
    if settings.policy == "power":
        return np.asarray((1 - maps_KYX.max(0)) ** settings.value)
    assert settings.value != "agreement"  # replaced by a number before painting
    thresholds = thresholds_by_class(own, settings.value, len(maps_KYX))
    cuts_K = np.array([cut_value(*pair) for pair in zip(maps_KYX, thresholds, strict=True)], maps_KYX.dtype)
    return np.asarray(cuts_K[maps_KYX.argmax(0)])


def paint_ordered(
    maps_KYX: Maps, values: Sequence[int], logits: Sequence[float], thresholds: Sequence[Threshold]
) -> Labels:
    """Paint classes from the lowest to the highest logit (the highest wins); pixels below all thresholds stay bare.

    Maps that are 0 everywhere are skipped.
    """
    labels = np.full(maps_KYX.shape[-2:], BARE, np.int64)
    for index in np.argsort(np.asarray(logits), kind="stable"):
        map_YX = maps_KYX[index]
        if map_YX.mean() > 0:
            labels[map_YX >= cut_value(map_YX, thresholds[index])] = values[index]
    return labels


def cut_value(map_YX: Maps, threshold: Threshold) -> float:
    """Value at which a map is cut."""
    match threshold:
        case "mean":
            return float(map_YX.mean())
        case "otsu":
            return otsu(map_YX)
        case _:
            return threshold


def otsu(map_YX: Maps, bins: int = 256) -> float:
    """Otsu's threshold: the cut that maximises the variance between the two sides."""
    counts, edges = np.histogram(map_YX, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)[:-1]
    total = float((counts * centres).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (total - sums) / above) ** 2
    return float(edges[1:-1][np.nan_to_num(between).argmax()])


def fill_nearest(labels: Labels) -> Labels:
    """Give bare pixels the nearest label by taxicab distance; an image without any label stays bare."""
    bare = labels == BARE
    if not bare.any() or bare.all():
        return labels
    nearest = ndimage.distance_transform_cdt(bare, "taxicab", return_distances=False, return_indices=True)
    return np.asarray(labels[tuple(nearest)])
