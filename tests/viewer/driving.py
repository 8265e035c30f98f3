"""A real server in a thread, and a real browser that looks at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from playwright.sync_api import BrowserContext, Page, expect

from tag2mask.viewer.app import build_app
from tag2mask.viewer.serve import listening
from tag2mask.viewer.session import Session

HOST, TOKEN = "127.0.0.1", "secret-of-the-test"
PATIENCE = 30  # seconds: other work may share the cores
expect.set_options(timeout=PATIENCE * 1000)


@contextmanager
def served(session: Session) -> Iterator[str]:
    """Serve a session; yield its address without the token."""
    with listening(HOST, 0) as bound:
        bound.listen()  # so that a browser that is faster than the server waits
        port = bound.getsockname()[1]
        app = build_app(session, HOST, port, TOKEN)
        config = uvicorn.Config(app, log_level="error", lifespan="off")  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{port}/"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


@dataclass
class Viewer:
    """A tab with the viewer, and what it must not do."""

    session: Session
    address: str
    page: Page
    problems: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    @classmethod
    def open(cls, session: Session, address: str, context: BrowserContext) -> Viewer:
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        viewer = cls(session, address, page)
        page.on("console", lambda message: viewer.note(message.type == "error", message.text))
        page.on("pageerror", lambda error: viewer.note(True, str(error)))
        page.on("request", lambda request: viewer.note(not request.url.startswith((address, "blob:")), request.url))
        page.goto(f"{address}?token={TOKEN}")
        page.wait_for_selector(".tile, [data-empty]")  # not the page before its program has started
        return viewer

    def note(self, bad: bool, text: str) -> None:
        if bad:
            self.problems.append(text)

    def check(self) -> None:
        """Nothing external was asked for, no policy was violated, no error was logged."""
        found = [text for text in self.problems if not any(part in text for part in self.expected)]
        assert not found, found

    def open_image(self, number: int) -> None:
        self.page.evaluate(f"location.hash = '#/image/{number}'")
        expect(self.page.locator(".panel h1")).to_have_text(self.name(number))
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_selector("canvas.stage[data-ready]")

    def name(self, number: int) -> str:
        return self.session.items[number].name

    def labels(self, number: int) -> np.ndarray[Any, Any]:
        return np.array(self.session.current(self.session.items[number]))

    def place(self, number: int, x: float, y: float) -> tuple[float, float]:
        """Return where a pixel of the image lies on the screen."""
        box = self.page.locator("canvas.stage").bounding_box()
        assert box is not None
        height, width = self.session.items[number].size
        scale = min(box["width"] / width, box["height"] / height)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def drag(self, number: int, *points: tuple[float, float], button: str = "left") -> None:
        places = [self.place(number, *point) for point in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down(button=button)  # type: ignore[arg-type]
        for place in places:
            self.page.mouse.move(*place, steps=3)
        self.page.mouse.up(button=button)  # type: ignore[arg-type]

    def saved_when(self, holds: Callable[[], Any]) -> None:
        """Wait until the server has what the page shows."""
        until(self.page, holds)
        self.page.wait_for_selector('.saved[data-state="saved"]')


def until(page: Page, holds: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        page.wait_for_timeout(50)
