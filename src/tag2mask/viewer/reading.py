"""Answers to GET: what there is, pictures and masks."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tag2mask.viewer.call import FOREVER, Call, Endpoint, answer_json, answer_png, quoted
from tag2mask.viewer.judging import current_facts
from tag2mask.viewer.maps import packed_maps
from tag2mask.viewer.masks import Item
from tag2mask.viewer.pictures import labels_png, picture_jpeg, png, thumb_jpeg, thumb_mask_png
from tag2mask.viewer.ranking import Ranked
from tag2mask.viewer.session import Session

MOST_MAPS = 100  # in one answer
WHICH = ("current", "original", "truth", "compare", "touched")


def about(call: Call) -> Response:
    """Describe the session."""
    session, classes = call.session, call.session.classes
    colours = classes.colours(len(classes.pixel_names))
    return answer_json(
        {
            "title": session.title,
            "kind": session.kind,
            "version": session.version,
            "set": session.masks.origin.mask_set,
            "compare": None if session.compare is None else session.compare.origin.mask_set,
            "who": session.corrections.who,
            "corrections": str(session.corrections.path),
            "classes": [
                {"index": value, "name": name, "color": "#{:02x}{:02x}{:02x}".format(*colours[value])}
                for value, name in enumerate(classes.pixel_names)
            ],
            "background": classes.background is not None,
            "ignore": classes.ignore,
            "splits": sorted({item.split for item in session.items} - {""}),
            "has_truth": any(item.truth is not None for item in session.items),
            "has_maps": session.shares is not None or session.model is not None,
            "no_model": session.no_model,
            "has_compare": session.compare is not None,
            "first_layer": 0 if session.model is None else session.model.first,
            "layers": 0 if session.model is None else session.model.layers,
            "heads": 0 if session.model is None else session.model.heads,
            "count": len(session.items),
        }
    )


def images(call: Call) -> Response:
    """List all images."""
    session = call.session
    ranks = session.queue.ranked()
    items = enumerate(session.items)
    return answer_json([describe(session, number, item, ranks.get(item.name)) for number, item in items])


def describe(session: Session, number: int, item: Item, ranked: Ranked | None) -> dict[str, object]:
    """Return the entry of an image in the list."""
    corrections, facts = session.corrections, current_facts(session, item)
    tags = list(session.tags(item))
    return {
        "id": number,
        "name": item.name,
        "width": item.size[1],
        "height": item.size[0],
        "split": item.split,
        "tags": tags,
        "present": tags if facts is None else list(facts.present),
        "state": corrections.state(item.name),
        "corrected": corrections.is_corrected(item.name),
        "rank": None if ranked is None else ranked.rank,
        "reason": "" if ranked is None else ranked.reason,
        "iou": None if facts is None else facts.iou,
        "etag": quoted(corrections.etag(item.name)),
    }


def ranking(call: Call) -> Response:
    """Return how many masks are ranked."""
    queue = call.session.queue
    return answer_json({"done": queue.done(), "total": queue.total, "read": len(queue.facts)})


def thumb(call: Call) -> Response:
    """Return the thumbnail of an image; with the session's version in the address, the browser may keep it."""
    session, item = call.session, call.item()
    etag = quoted(f"{session.version}-{item.name.encode().hex()[-40:]}")
    headers = {"cache-control": FOREVER if call.query("v", "") == session.version else "private, no-cache"}
    if call.is_known(etag):
        return Response(status_code=304, headers={**headers, "etag": etag})
    content = session.held.pictures.get(
        ("thumb", item.name), lambda: thumb_jpeg(item.image, session.data_settings, item.size)
    )
    return Response(content, media_type="image/jpeg", headers={**headers, "etag": etag})


def thumb_mask(call: Call) -> Response:
    """Return the thumbnail of the current mask."""
    session, item = call.session, call.item()
    etag = quoted(session.corrections.etag(item.name))
    if call.is_known(etag):
        return Response(status_code=304, headers={"etag": etag})
    content = session.held.pictures.get(
        ("thumb-mask", item.name, etag), lambda: thumb_mask_png(session.current(item), session.classes)
    )
    return answer_png(content, etag)


def image(call: Call) -> Response:
    """Return an image at the size of its mask."""
    session, item = call.session, call.item()
    content = picture_jpeg(item.image, session.data_settings, item.size)
    keep = FOREVER if call.query("v", "") == session.version else "no-store"
    return Response(content, media_type="image/jpeg", headers={"cache-control": keep})


def mask(call: Call) -> Response:
    """Return a mask: the current, the original, the true or the compared one, or the touched pixels."""
    session, item = call.session, call.item()
    which = call.query("which", "current", WHICH)
    if which == "touched":
        touched = session.corrections.touched(item.name)
        pixels = np.zeros(item.size, np.uint8) if touched is None else touched.astype(np.uint8) * 255
        return answer_png(png(pixels), quoted(session.corrections.etag(item.name)))
    if which != "current":
        labels = {"original": session.original, "truth": session.truth, "compare": session.compared}[which](item)
        return answer_png(labels_png(labels, session.classes))
    etag = quoted(session.corrections.etag(item.name))
    if call.is_known(etag):
        return Response(status_code=304, headers={"etag": etag})
    return answer_png(labels_png(session.current(item), session.classes), etag)


def maps(call: Call) -> Response:
    """Return class maps of the image's tags, of all or of some classes, or the attention in a layer."""
    session, item = call.session, call.item()
    layer, head = call.index("layer"), call.index("head")
    values = asked_values(call, session.tags(item))
    if layer is not None:
        return answer_bytes(packed_maps(session.attention(item, values, layer, head)))
    return answer_bytes(packed_maps(session.maps(item, values)))


def asked_values(call: Call, tags: Sequence[int]) -> list[int]:
    """Return the pixel values of the classes that ``tags`` in the query asks for: ``given``, ``all`` or ``3,7``.

    Raises:
        HTTPException: one is no class, or there are too many.
    """
    session, asked = call.session, call.query("tags", "given")
    values = list(tags)
    if asked == "all":
        values = list(range(session.classes.offset, len(session.classes.pixel_names)))
    elif asked != "given":
        if not re.fullmatch(r"\d{1,5}(,\d{1,5})*", asked, re.ASCII):
            raise HTTPException(400, "tags: expected given, all, or numbers of classes such as 3,7")
        values = sorted({call.class_value(int(word)) for word in asked.split(",")} - set(range(session.classes.offset)))
    if len(values) > MOST_MAPS:
        raise HTTPException(400, f"{len(values)} maps are too many at once: ask for some, as in tags=3,7")
    return values


def answer_bytes(content: bytes) -> Response:
    """Answer bytes that only our page reads."""
    return Response(content, media_type="application/octet-stream")


READING: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/api/about", about),
    ("GET", "/api/images", images),
    ("GET", "/api/ranking", ranking),
    ("GET", "/api/thumb/{id:int}", thumb),
    ("GET", "/api/thumb-mask/{id:int}", thumb_mask),
    ("GET", "/api/image/{id:int}", image),
    ("GET", "/api/mask/{id:int}", mask),
    ("GET", "/api/maps/{id:int}", maps),
)
