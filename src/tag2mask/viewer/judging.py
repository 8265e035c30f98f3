"""Judging the masks of a session: signs that need no truth, and facts about the current masks.

Shapes: S competing labels, Y X pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tag2mask.data.resizing import resize_bilinear
from tag2mask.errors import DataError
from tag2mask.inference.arrays import Floats
from tag2mask.masks.paint import Labels, label_shares, normalise
from tag2mask.viewer.maps import ClassMaps
from tag2mask.viewer.masks import Item
from tag2mask.viewer.pictures import Size
from tag2mask.viewer.queue import Facts
from tag2mask.viewer.ranking import Ranked, Signs, agreement, order, painted_probability, soft_minimum
from tag2mask.viewer.session import Session, of_size

SIDE = 512  # longest side at which pixels are judged
CENTRE = 0.8  # part of each side that the enlarged view shows


def signs_of(session: Session, item: Item) -> Signs:
    """Judge the original mask of an image.

    Raises:
        DataError: something cannot be read.
    """
    labels, names = session.original(item), session.classes.pixel_names
    details: dict[str, str] = {}
    unpainted = [value for value in item.tags if not (labels == value).any()]
    if unpainted:
        details["painted"] = ", ".join(names[value] for value in unpainted)
    painted = 1 - len(unpainted) / len(item.tags) if item.tags else None
    sure = other = views = None
    if item.tags and (session.shares is not None or session.model is not None):
        sure, value = sureness(labels, session.maps(item, item.tags), item.size)
        if value is not None:
            details["sure"] = names[value]
    opinion = other_opinion(session, item)
    if opinion is not None:
        other, value = agreement(labels, opinion, session.classes.ignore)
        if value is not None:
            details["other"] = names[value]
    if session.model is not None and item.tags:
        views = views_agreement(session, item, labels)
    return Signs(sure, other, views, painted, details or None)


def other_opinion(session: Session, item: Item) -> Labels | None:
    """Return another mask of an image: the compared one, or that of a segmenter that learned from these masks."""
    if item.name in session.compare_names:
        return session.compared(item)
    if session.student is None:
        return None
    tags = [value - session.classes.offset for value in item.tags]
    return of_size(session.student.labels(session.student.read(item.image), tags), item, "the segmenter's mask")


def sureness(labels: Labels, maps: ClassMaps, size: Size) -> tuple[float | None, int | None]:
    """Soft minimum of the painted classes' probabilities, and the class with the lowest mean; None without pixels."""
    step = math.ceil(max(size) / SIDE)
    small = labels[::step, ::step]
    values, shares_SYX = shares_of(maps, (small.shape[0], small.shape[1]))
    likely = painted_probability(small, shares_SYX, values)
    if not likely.size:
        return None, None
    means = {
        value: float(shares_YX[small == value].mean())
        for value, shares_YX in zip(values, shares_SYX, strict=True)
        if (small == value).any()
    }
    return soft_minimum(likely), min(means, key=lambda value: means[value])


def shares_of(maps: ClassMaps, size: Size) -> tuple[tuple[int, ...], Floats]:
    """Probability of each competing label, ``(S, Y, X)``, the background's first if it competes, and their values."""
    grown_KYX = resize_bilinear(maps.maps_Khw, size)
    if maps.relative:
        grown_KYX = normalise(grown_KYX)
    if maps.kind == "probability":
        grown_KYX = grown_KYX / (1 - grown_KYX).clip(1e-6)  # odds against the background, which has 1
        return (0, *maps.values), label_shares(np.concatenate([np.ones((1, *size), np.float32), grown_KYX]), True)
    if not maps.cuts:
        return maps.values, label_shares(grown_KYX, not maps.relative)
    cuts_YX = np.asarray(maps.cuts, np.float32)[grown_KYX.argmax(0)]
    return (0, *maps.values), label_shares(np.concatenate([cuts_YX[None], grown_KYX]), False)


def views_agreement(session: Session, item: Item, labels: Labels) -> float:
    """Mean agreement of a mask with those of the mirrored image and of its enlarged centre."""
    model = session.require_model()
    image, ignore = model.read(item.image), session.classes.ignore
    if image.shape[1:] != item.size:
        raise DataError(f"{item.name}: the image is {image.shape[1:]}, but its mask is {item.size}")
    tags = [value - session.classes.offset for value in item.tags]
    mirrored = model.labels(np.ascontiguousarray(image[:, :, ::-1]), tags)[:, ::-1]
    rows, columns = (centre(side) for side in item.size)
    enlarged = model.labels(np.ascontiguousarray(image[:, rows, columns]), tags)
    first, _ = agreement(labels, mirrored, ignore)
    second, _ = agreement(labels[rows, columns], enlarged, ignore)
    return (first + second) / 2


def centre(side: int) -> slice:
    """Return the middle part of a side."""
    margin = round(side * (1 - CENTRE) / 2)
    return slice(margin, side - margin)


def facts_of(session: Session, item: Item) -> Facts:
    """Return the facts about the current mask of an image.

    Raises:
        DataError: it or its truth cannot be read.
    """
    mask, labels = session.corrections.mask_key(item.name), session.current(item)
    others = {} if item.truth is None else {"truth": session.truth(item)}
    if item.name in session.compare_names:
        others["compare"] = session.compared(item)
    iou = agreement(labels, others["truth"], session.classes.ignore)[0] if "truth" in others else None
    pixels = {name: count_pairs(other, labels, len(session.classes.pixel_names)) for name, other in others.items()}
    return Facts(mask, tuple(session.present(labels)), iou, pixels)


def count_pairs(other: Labels, labels: Labels, classes: int) -> dict[tuple[int, int], int]:
    """Count pixels by their class in two masks; those without one in either do not count."""
    counted = (other < classes) & (labels < classes)
    pairs, counts = np.unique(other[counted] * classes + labels[counted], return_counts=True)
    return {(int(pair // classes), int(pair % classes)): int(n) for pair, n in zip(pairs, counts, strict=True)}


def current_facts(session: Session, item: Item) -> Facts | None:
    """Return the facts about the current mask, None if it was not read yet."""
    known = session.queue.facts.get(item.name)
    return known if known is not None and known.mask == session.corrections.mask_key(item.name) else None


def read_again(session: Session, item: Item) -> None:
    """Note the facts about a mask that was just saved; forget them if it cannot be compared."""
    try:
        session.queue.facts[item.name] = facts_of(session, item)
    except DataError:
        session.queue.facts.pop(item.name, None)


def rank_images(session: Session, names: Sequence[str] | None = None) -> dict[str, Ranked]:
    """Rank the masks of a session, or those of ``names``, without the viewer: the highest rank is the worst mask.

    Raises:
        DataError: an image cannot be read.
    """
    items = [item for item in session.items if names is None or item.name in set(names)]
    return dict(zip([item.name for item in items], order([signs_of(session, item) for item in items]), strict=True))
