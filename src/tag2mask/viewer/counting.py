"""Answers that count over all images: confusion of classes, and progress."""

from __future__ import annotations

from collections import Counter

from starlette.responses import Response

from tag2mask.viewer.call import Call, Endpoint, answer_json
from tag2mask.viewer.judging import current_facts

AGAINST = ("truth", "compare")


def confusion(call: Call) -> Response:
    """Count pixels by class in the true or compared mask (rows) and in the current mask (columns), as far as read."""
    session, against = call.session, call.query("with", "truth", AGAINST)
    total: Counter[tuple[int, int]] = Counter()
    read = 0
    for item in session.items:
        facts = current_facts(session, item)
        read += facts is not None
        total.update({} if facts is None else facts.pixels.get(against, {}))
    classes = sorted({value for pair in total for value in pair})
    matrix = [[total[row, column] for column in classes] for row in classes]
    return answer_json({"classes": classes, "matrix": matrix, "read": read, "total": len(session.items)})


def confused(call: Call) -> Response:
    """List the images behind a cell of the confusion, those with most pixels first."""
    session, against = call.session, call.query("with", "truth", AGAINST)
    cell = (call.class_value(call.number("row")), call.class_value(call.number("column")))
    found = []
    for number, item in enumerate(session.items):
        facts = current_facts(session, item)
        pixels = 0 if facts is None else facts.pixels.get(against, {}).get(cell, 0)
        if pixels:
            found.append((-pixels, number))
    return answer_json([number for _, number in sorted(found)])


def progress(call: Call) -> Response:
    """Return how many images are accepted or rejected, and the seconds that the rest will take at this pace."""
    session = call.session
    done = sum(not session.is_open(item) for item in session.items)
    pace = session.pace.seconds()
    left = None if pace is None else round(pace * (len(session.items) - done))
    return answer_json({"total": len(session.items), "done": done, "seconds_left": left})


COUNTING: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/api/confusion", confusion),
    ("GET", "/api/confusion/{row:int}/{column:int}", confused),
    ("GET", "/api/progress", progress),
)
