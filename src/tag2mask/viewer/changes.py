"""Answers to requests that change something: masks, states, tags and thresholds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from email.parser import BytesParser
from email.policy import HTTP
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tag2mask.masks.corrections import STATES, Row, State, Touched
from tag2mask.masks.paint import Labels
from tag2mask.stored import Number, Stored
from tag2mask.viewer.call import Call, Endpoint, answer_json, answer_png, quoted
from tag2mask.viewer.judging import read_again
from tag2mask.viewer.masks import Item
from tag2mask.viewer.pictures import labels_png, read_labels_png
from tag2mask.viewer.session import Session

FORM = "multipart/form-data"

Share = Annotated[Number, Field(ge=0, le=1)]


class StateBody(Stored):
    """The body of ``/api/state``."""

    state: State


class TagsBody(Stored):
    """The body of ``/api/tags``."""

    tags: list[int]


class ThresholdBody(Stored):
    """The body of ``/api/threshold``; ``class`` is a word of Python."""

    value: Share
    of: int = Field(alias="class")


class PaintBody(Stored):
    """The body of ``/api/paint``."""

    thresholds: dict[int, Share] = Field(default_factory=dict)
    tags: list[int] | None = None


def put_mask(call: Call) -> Response:
    """Save a mask that a person changed."""
    item, session, expected = call.item(), call.session, call.expected()
    parts = read_form(call)
    if "mask" not in parts:
        raise HTTPException(400, "the part mask is missing")
    labels = read_labels_png(parts["mask"], item.size, "the mask")
    touched = touched_of(call, item, parts, labels)
    state = read_state(parts.get("state"))
    tags = read_tags(call, parts.get("tags"))
    row = session.corrections.save_mask(item.name, labels, touched, expected, state, tags)
    read_again(session, item)
    if state in ("accepted", "rejected"):
        session.pace.note(time.monotonic())
    return answer_row(call.session, item, row, labels)


def touched_of(call: Call, item: Item, parts: Mapping[str, bytes], labels: Labels) -> Touched:
    """Return the touched pixels that were sent; without them, the stored ones and those that change now."""
    stored = call.session.corrections.touched(item.name)
    before: Touched = np.zeros(item.size, bool) if stored is None else stored
    if "touched" in parts:
        return read_labels_png(parts["touched"], item.size, "the touched pixels") > 0
    if call.request.headers.get("x-touched") == "keep":
        return before
    return np.asarray(before | (labels != call.session.current(item)))


def read_form(call: Call) -> dict[str, bytes]:
    """Return the parts of a form by name.

    Raises:
        HTTPException: the body is not a form.
    """
    kind = call.request.headers.get("content-type", "")
    if not kind.startswith(FORM):
        raise HTTPException(415, f"expected {FORM}")
    message = BytesParser(policy=HTTP).parsebytes(f"content-type: {kind}\r\n\r\n".encode() + call.body)
    if not message.is_multipart():
        raise HTTPException(400, "the form is damaged")
    parts: dict[str, bytes] = {}
    for part in message.iter_parts():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            parts[name] = content
    return parts


def read_state(given: bytes | None) -> State | None:
    """Return the state in a part of a form, None if it is not there.

    Raises:
        HTTPException: it is no state.
    """
    found = [state for state in STATES if given is not None and given.decode(errors="replace") == state]
    if given is not None and not found:
        raise HTTPException(400, f"state: expected {' or '.join(STATES)}")
    return found[0] if found else None


def read_tags(call: Call, given: bytes | None) -> list[str] | None:
    """Return the names of the tags in a part of a form, None if it is not there.

    Raises:
        HTTPException: one is no class.
    """
    if given is None:
        return None
    try:
        values = json.loads(given)
    except ValueError:
        raise HTTPException(400, "tags: expected a JSON list of classes") from None
    if not isinstance(values, list) or not all(isinstance(value, int) for value in values):
        raise HTTPException(400, "tags: expected a JSON list of classes")
    return tag_names(call, values)


def tag_names(call: Call, values: Sequence[int]) -> list[str]:
    """Return the names of tags, given as pixel values.

    Raises:
        HTTPException: one is no class, or the background.
    """
    classes = call.session.classes
    for value in values:
        if call.class_value(value) < classes.offset:
            raise HTTPException(400, "the background is not a tag")
    return [classes.pixel_names[value] for value in sorted(set(values))]


def answer_row(session: Session, item: Item, row: Row, labels: Labels) -> Response:
    """Answer a save with the new version of the image."""
    etag = quoted(row.etag)
    content = {"etag": etag, "state": row.state, "tags": list(session.tags(item)), "present": session.present(labels)}
    return answer_json(content, etag=etag)


def post_state(call: Call) -> Response:
    """Accept, reject or reopen an image."""
    item = call.item()
    state, expected = call.json(StateBody).state, call.expected()
    row = call.session.corrections.save_state(item.name, state, expected)
    if state != "open":
        call.session.pace.note(time.monotonic())
    return answer_json({"etag": quoted(row.etag), "state": row.state}, etag=quoted(row.etag))


def post_tags(call: Call) -> Response:
    """Change the tags of an image and repaint it."""
    item, session, expected = call.item(), call.session, call.expected()
    values = call.json(TagsBody).tags
    names = tag_names(call, values)
    labels = session.repaint(item, sorted(set(values)), {})
    stored = session.corrections.touched(item.name)
    touched: Touched = np.zeros(item.size, bool) if stored is None else stored
    row = session.corrections.save_mask(item.name, labels, touched, expected, tags=names)
    read_again(session, item)
    return answer_row(session, item, row, labels)


def post_paint(call: Call) -> Response:
    """Return a preview of a mask with other thresholds or tags."""
    item, session, body = call.item(), call.session, call.json(PaintBody)
    for value in body.thresholds:
        call.class_value(value)
    values = session.tags(item) if body.tags is None else body.tags
    tag_names(call, values)
    return answer_png(labels_png(session.repaint(item, sorted(set(values)), body.thresholds), session.classes))


def post_threshold(call: Call) -> Response:
    """Start to repaint all open images of a class with another threshold."""
    session, body = call.session, call.json(ThresholdBody)
    (name,) = tag_names(call, [body.of])
    session.corrections.save_threshold(name, body.value)
    items = [one for one in session.items if body.of in session.tags(one) and session.is_open(one)]
    return answer_json({"job": session.jobs.start(items, partial(repaint_open, session))})


def repaint_open(session: Session, item: Item) -> None:
    """Repaint an image with the saved thresholds, if it is still open."""
    if not session.is_open(item):
        return
    expected = session.corrections.etag(item.name)
    labels = session.repaint(item, session.tags(item), {})
    if (labels != session.current(item)).any():
        stored = session.corrections.touched(item.name)
        touched: Touched = np.zeros(item.size, bool) if stored is None else stored
        session.corrections.save_mask(item.name, labels, touched, expected)
        read_again(session, item)


def get_job(call: Call) -> Response:
    """Return the progress of a job."""
    job = call.session.jobs.jobs.get(call.number("job"))
    if job is None:
        raise HTTPException(404, "there is no such job")
    return answer_json({"total": job.total, "done": job.done, "failed": job.failed})


CHANGES: tuple[tuple[str, str, Endpoint], ...] = (
    ("PUT", "/api/mask/{id:int}", put_mask),
    ("POST", "/api/state/{id:int}", post_state),
    ("POST", "/api/tags/{id:int}", post_tags),
    ("POST", "/api/paint/{id:int}", post_paint),
    ("POST", "/api/threshold", post_threshold),
    ("GET", "/api/job/{job:int}", get_job),
)
