"""From class maps to a label image. Pure functions; nothing here opens a file.

Shapes: K classes to paint, S scores that compete for a pixel, Y X pixels.
"""

from __future__ import annotations

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


def predicted_tags(scores_C: NDArray[np.floating[Any]], has_background: bool) -> tuple[list[int], bool]:
    """Tags with a logit above 0; where there are none and no background, the highest alone, and True."""
    tags = np.flatnonzero(scores_C > 0).tolist()
    if tags or has_background:
        return tags, False
    return [int(scores_C.argmax())], True


def normalise(maps_KYX: Maps) -> Maps:
    """Each map to [0, 1]: (x - min) / (max - min + 1e-8). A constant map becomes 0."""
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
    """A label image ``(Y, X)`` from raw maps ``(K, Y, X)`` of the classes with these pixel values and logits.

    With a background (value 0) bare pixels are background; without one every pixel gets a class. No class at all
    leaves background, or bare pixels where there is none. ``values`` are 1, 2, ... unless they are given, or 0, 1, ...
    without a background; ``logits`` matter where classes are painted in order. ``own`` are the thresholds of classes
    that have one; the others take the settings'.

    Example:
        >>> maps = np.array([[[0.0, 0.2, 1.0]], [[0.0, 0.9, 0.1]]])
        >>> paint(maps)
        array([[0, 2, 1]])
    """
    if values is None:
        values = range(int(has_background), int(has_background) + len(maps_KYX))
    scores_SYX = competing(maps_KYX, has_background, settings, own)
    return decide(scores_SYX, values, logits or [0.0] * len(values), has_background, settings, own)


def competing(
    maps_KYX: Maps, has_background: bool, settings: PaintSettings, own: Sequence[Threshold | None] = ()
) -> Maps:
    """The scores that compete for a pixel, ``(S, Y, X)``: normalised maps, before them the background's if it competes.

    Of an image without any class the background alone is left, with a score of 1.
    """
    if not len(maps_KYX):
        return np.ones((int(has_background), *maps_KYX.shape[-2:]), maps_KYX.dtype)
    maps_KYX = normalise(maps_KYX)
    if settings.rule == "ordered" or not keeps_background(has_background, settings):
        return maps_KYX
    return np.concatenate([background_score(maps_KYX, settings.background, own)[None], maps_KYX])


def keeps_background(has_background: bool, settings: PaintSettings) -> bool:
    """Whether pixels may stay background where the image shows a class."""
    return has_background and settings.background.policy != "none"


def decide(
    scores_SYX: Maps,
    values: Sequence[int],
    logits: Sequence[float],
    has_background: bool,
    settings: PaintSettings,
    own: Sequence[Threshold | None] = (),
) -> Labels:
    """The label image ``(Y, X)`` of scores that compete, refined or not; all else as for ``paint``."""
    if not values:
        return np.full(scores_SYX.shape[-2:], 0 if has_background else BARE, np.int64)
    if settings.rule == "ordered":
        labels = paint_ordered(scores_SYX, values, logits, thresholds_by_class(own, settings.threshold, len(values)))
        kept = keeps_background(has_background, settings)
        return np.where(labels == BARE, 0, labels) if kept else fill_nearest(labels)
    if len(scores_SYX) > len(values):  # the background stands first: a tie is background
        values = [0, *values]
    labels_of: NDArray[np.int64] = np.asarray(values, np.int64)
    return np.asarray(labels_of[scores_SYX.argmax(0)])


def most_probable(probabilities_KYX: NDArray[np.float32], size: Sequence[int]) -> Labels:
    """Label image ``(Y, X)`` of another size, one class at a time: all at once may not fit into memory."""
    best_YX = np.full(tuple(size), -1, np.float32)
    labels_YX = np.zeros(tuple(size), np.int64)
    for value, small_YX in enumerate(probabilities_KYX):
        share_YX = resize_bilinear(small_YX, size)
        labels_YX[share_YX > best_YX] = value
        np.maximum(best_YX, share_YX, out=best_YX)
    return labels_YX


def label_shares(scores_SYX: Maps, probable: bool) -> Maps:
    """How likely each of the competing labels is, ``(S, Y, X)``; at each pixel the shares y add up to 1.

    ``probable`` scores s are probabilities: y_k = s_k / sum_l s_l. Others were made to be compared with a threshold,
    of which small ones mean next to nothing: y_k = s_k^2 / sum_l s_l^2. Where all are 0, all are equally likely.
    """
    weights_SYX = scores_SYX if probable else scores_SYX**2
    total_YX = weights_SYX.sum(0)
    weights_SYX = np.where(total_YX > 0, weights_SYX, 1.0)
    shares_SYX: Maps = weights_SYX / np.where(total_YX > 0, total_YX, len(scores_SYX))
    return shares_SYX


def thresholds_by_class(own: Sequence[Threshold | None], general: Threshold, count: int) -> list[Threshold]:
    """A threshold for each of ``count`` classes: its own, or the general one."""
    return [general if threshold is None else threshold for threshold in own or [None] * count]


def background_score(maps_KYX: Maps, settings: BackgroundSettings, own: Sequence[Threshold | None] = ()) -> Maps:
    """What the background sets against the best of the normalised maps, ``(Y, X)``."""
    if settings.policy == "power":
        return np.asarray((1 - maps_KYX.max(0)) ** settings.value)
    assert settings.value != "agreement"  # it became a number before anything is painted
    thresholds = thresholds_by_class(own, settings.value, len(maps_KYX))
    cuts_K = np.array([cut_value(*pair) for pair in zip(maps_KYX, thresholds, strict=True)], maps_KYX.dtype)
    return np.asarray(cuts_K[maps_KYX.argmax(0)])


def paint_ordered(
    maps_KYX: Maps, values: Sequence[int], logits: Sequence[float], thresholds: Sequence[Threshold]
) -> Labels:
    """Paint classes from the lowest to the highest logit (the highest wins); pixels below every threshold stay bare.

    A map without any mass is skipped.
    """
    labels = np.full(maps_KYX.shape[-2:], BARE, np.int64)
    for index in np.argsort(np.asarray(logits), kind="stable"):
        map_YX = maps_KYX[index]
        if map_YX.mean() > 0:
            labels[map_YX >= cut_value(map_YX, thresholds[index])] = values[index]
    return labels


def cut_value(map_YX: Maps, threshold: Threshold) -> float:
    """The value that a map is cut at."""
    match threshold:
        case "mean":
            return float(map_YX.mean())
        case "otsu":
            return otsu(map_YX)
        case _:
            return threshold


def otsu(map_YX: Maps, bins: int = 256) -> float:
    """Otsu's threshold: the cut that makes the variance between the two sides largest."""
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
    """Bare pixels get the label that is nearest by taxicab distance; an image without any label stays bare."""
    bare = labels == BARE
    if not bare.any() or bare.all():
        return labels
    nearest = ndimage.distance_transform_cdt(bare, "taxicab", return_distances=False, return_indices=True)
    return np.asarray(labels[tuple(nearest)])
