"""The application: all addresses behind the guard."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from tag2mask.viewer.call import fail, refuse, route
from tag2mask.viewer.changes import CHANGES
from tag2mask.viewer.counting import COUNTING
from tag2mask.viewer.guard import Guard
from tag2mask.viewer.painting import PAINTING
from tag2mask.viewer.reading import READING
from tag2mask.viewer.session import Session

STATIC = Path(__file__).parent / "static"


def build_app(session: Session, host: str, port: int, token: str) -> ASGIApp:
    """Return the application of a session at this address."""
    routes = [
        *(route(session, *one) for one in (*READING, *CHANGES, *PAINTING, *COUNTING)),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]
    return Guard(
        Starlette(routes=routes, exception_handlers={HTTPException: refuse, Exception: fail}), host, port, token
    )
