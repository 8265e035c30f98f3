"""Answers that help to paint: superpixels, spread marks, and proposals for similar images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tag2mask.errors import DataError, Tag2MaskError
from tag2mask.masks.paint import Labels
from tag2mask.stored import Count, Stored
from tag2mask.viewer.call import FOREVER, Call, Endpoint, answer_json, answer_png
from tag2mask.viewer.masks import Item
from tag2mask.viewer.pictures import labels_png, picture_of_size, png
from tag2mask.viewer.session import Session
from tag2mask.viewer.spreading import Prototype, spread
from tag2mask.viewer.superpixels import SIDES, superpixels

MOST_MARKS, MOST_POINTS, MOST_PROPOSALS = 100, 5000, 50
PATIENCE = 5.0  # seconds for features of further images in one request


class Mark(Stored):
    """Pixels (x, y) of a class."""

    of: int = Field(alias="class")
    points: Annotated[list[tuple[Count, Count]], Field(min_length=1, max_length=MOST_POINTS)]


class SpreadBody(Stored):
    """The body of ``/api/spread``."""

    marks: Annotated[list[Mark], Field(max_length=MOST_MARKS)]


class SimilarBody(Stored):
    """The body of ``/api/similar``."""

    of: int = Field(alias="class")
    count: Annotated[int, Field(ge=1, le=MOST_PROPOSALS)] = 8


def get_superpixels(call: Call) -> Response:
    """Return the superpixels of an image in 16-bit gray."""
    session, item = call.session, call.item()
    size = int(call.query("size", "1", [str(index) for index in range(len(SIDES))]))

    def make() -> bytes:
        return png(superpixels(picture_of_size(item.image, session.data_settings, item.size), size))

    content = session.held.pictures.get(("superpixels", item.name, size), make)
    keep = FOREVER if call.query("v", "") == session.version else "no-store"
    return Response(content, media_type="image/png", headers={"cache-control": keep})


def post_spread(call: Call) -> Response:
    """Return a preview in which marked pixels spread over similar patches; touched pixels stay."""
    session, item = call.session, call.item()
    marks: dict[int, list[tuple[int, int]]] = {}
    for mark in call.json(SpreadBody).marks:
        for x, y in mark.points:
            if x >= item.size[1] or y >= item.size[0]:
                raise HTTPException(400, f"the point {x}, {y} is outside the image")
        marks.setdefault(call.class_value(mark.of), []).extend(mark.points)
    labels = session.current(item)
    found = spread(session.features(item), marks, labels) if marks else labels
    return answer_png(labels_png(with_touched(session, item, found), session.classes))


def with_touched(session: Session, item: Item, labels: Labels) -> Labels:
    """Return a mask in which touched pixels are as they were."""
    touched = session.corrections.touched(item.name)
    return labels if touched is None else np.where(touched, session.current(item), labels)


def post_similar(call: Call) -> Response:
    """List the open images that show a class most similarly, with the pixels that a proposal would change.

    Features are computed for a few seconds; asked again, more images are compared.
    """
    session, item, body = call.session, call.item(), call.json(SimilarBody)
    value = call.class_value(body.of)
    prototype = prototype_of(session, item, value)
    candidates = [
        (number, one)
        for number, one in enumerate(session.items)
        if one is not item and session.is_open(one) and (value in session.tags(one) or value < session.classes.offset)
    ]
    found = sorted(likened(session, candidates, prototype), key=lambda pair: -pair[0])
    proposals = []
    for _, number, one in [(*pair,) for pair in found[: body.count]]:
        changed = propose(session, one, prototype, value) != session.current(one)
        proposals.append({"id": number, "name": one.name, "pixels": int(changed.sum())})
    return answer_json({"proposals": proposals, "compared": len(found), "candidates": len(candidates)})


def likened(
    session: Session, candidates: list[tuple[int, Item]], prototype: Prototype
) -> Iterator[tuple[float, int, Item]]:
    """Yield likeness, number and image of the candidates that could be compared in time."""
    end = time.monotonic() + PATIENCE
    for number, one in candidates:
        if time.monotonic() > end and one.name not in session.held.features:
            continue
        try:
            yield prototype.likeness(session.features(one)), number, one
        except Tag2MaskError:
            continue


def prototype_of(session: Session, item: Item, value: int) -> Prototype:
    """Learn how an image shows a class.

    Raises:
        DataError: its mask does not show it.
    """
    try:
        return Prototype(session.features(item), session.current(item), value)
    except ValueError:
        name = session.classes.pixel_names[value]
        raise DataError(f"{item.name} shows no {name} to look for in other images; paint some first") from None


def propose(session: Session, item: Item, prototype: Prototype, value: int) -> Labels:
    """Return the mask that a prototype proposes for an image; touched pixels stay."""
    empty = 0 if session.classes.offset and value else None
    return with_touched(session, item, prototype.propose(session.features(item), session.current(item), value, empty))


def get_proposal(call: Call) -> Response:
    """Return a proposal for an image as a preview."""
    session, item, value = call.session, call.item(), call.class_value(call.number("value"))
    number = call.index("from")
    if number is None:
        raise HTTPException(400, "from is missing: the image to copy from")
    prototype = prototype_of(session, call.item_at(number), value)
    return answer_png(labels_png(propose(session, item, prototype, value), session.classes))


PAINTING: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/api/superpixels/{id:int}", get_superpixels),
    ("POST", "/api/spread/{id:int}", post_spread),
    ("POST", "/api/similar/{id:int}", post_similar),
    ("GET", "/api/proposal/{id:int}/{value:int}", get_proposal),
)
