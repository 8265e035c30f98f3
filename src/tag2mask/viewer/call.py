"""One request to the viewer, and its errors as answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tag2mask.errors import Tag2MaskError
from tag2mask.masks.corrections import StaleError
from tag2mask.notation import from_json
from tag2mask.stored import validate
from tag2mask.viewer.masks import Item
from tag2mask.viewer.session import Session

MOST_BODY = 2**26  # bytes
FOREVER = "private, max-age=31536000, immutable"

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A request, with its whole body."""

    session: Session
    request: Request
    body: bytes

    def number(self, name: str) -> int:
        """Return an integer from the path."""
        return int(self.request.path_params[name])

    def query(self, name: str, default: str, allowed: Sequence[str] | None = None) -> str:
        """Return a text from the query.

        Raises:
            HTTPException: it is not allowed.
        """
        given = self.request.query_params.get(name, default)
        if allowed is not None and given not in allowed:
            raise HTTPException(400, f"{name}={given[:50]}: expected {' or '.join(allowed)}")
        return given

    def index(self, name: str) -> int | None:
        """Return an integer from the query, None if it is not there.

        Raises:
            HTTPException: it is not an integer.
        """
        given = self.request.query_params.get(name)
        if given is not None and not (given.isascii() and given.isdigit() and len(given) < 10):
            raise HTTPException(400, f"{name}={given[:50]}: expected a number")
        return None if given is None else int(given)

    def item_at(self, number: int) -> Item:
        """Return the image of a number.

        Raises:
            HTTPException: there is none.
        """
        if number >= len(self.session.items):
            raise HTTPException(404, f"there is no image {number}")
        return self.session.items[number]

    def item(self) -> Item:
        """Return the image of the path's ``id``."""
        return self.item_at(self.number("id"))

    def json(self, kind: type[T]) -> T:
        """Return the JSON body as ``kind``.

        Raises:
            HTTPException: it is something else.
        """
        try:
            return validate(kind, from_json(self.body))
        except ValueError as error:
            raise HTTPException(400, f"the body is not as expected: {' '.join(str(error).split())[:300]}") from None

    def class_value(self, value: int) -> int:
        """Return a pixel value if it is that of a class.

        Raises:
            HTTPException: it is not.
        """
        if not 0 <= value < len(self.session.classes.pixel_names):
            raise HTTPException(400, f"there is no class {value}")
        return value

    def expected(self) -> str:
        """Return the version of the image that a change is based on.

        Raises:
            HTTPException: the header If-Match is missing.
        """
        given = self.request.headers.get("if-match")
        if given is None:
            raise HTTPException(428, "the header If-Match is missing: send the etag of the image")
        return given.strip().strip('"')

    def is_known(self, etag: str) -> bool:
        """Whether the browser already holds this version."""
        return self.request.headers.get("if-none-match") == etag


Endpoint = Callable[[Call], Response]


def quoted(etag: str) -> str:
    """Return a version as the header ETag has it."""
    return f'"{etag}"'


def route(session: Session, method: str, path: str, function: Endpoint) -> Route:
    """Return a route that calls ``function`` in a thread."""

    async def answer(request: Request) -> Response:
        body = await read_body(request)
        try:
            return await run_in_threadpool(function, Call(session, request, body))
        except StaleError as error:
            return JSONResponse({"error": str(error)}, 412, {"etag": quoted(error.current)})
        except Tag2MaskError as error:
            raise HTTPException(400, " ".join(str(error).split())) from None

    return Route(path, answer, methods=[method])


async def read_body(request: Request) -> bytes:
    """Return the body.

    Raises:
        HTTPException: it is too large.
    """
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > MOST_BODY:
            raise HTTPException(413, f"the body has more than {MOST_BODY} bytes")
        parts.append(part)
    return b"".join(parts)


async def refuse(request: Request, error: Exception) -> Response:
    """Answer an error of the client as JSON."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def fail(request: Request, error: Exception) -> Response:
    """Answer an error of ours; its traceback goes to stderr."""
    return JSONResponse({"error": "the viewer failed; the terminal says more"}, 500)


def answer_json(content: Mapping[str, Any] | Sequence[Any], **headers: str) -> Response:
    """Answer JSON."""
    return Response(json.dumps(content), media_type="application/json", headers=headers)


def answer_png(content: bytes, etag: str | None = None) -> Response:
    """Answer a PNG; with ``etag``, the browser asks whether it is still current."""
    headers = {} if etag is None else {"etag": etag, "cache-control": "private, no-cache"}
    return Response(content, media_type="image/png", headers=headers)
