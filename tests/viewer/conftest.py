"""A session on painted masks, and a browser for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra view is not installed")

from starlette.testclient import TestClient

from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.make import make_masks
from tag2mask.viewer.app import build_app
from tag2mask.viewer.opening import opened_session
from tag2mask.viewer.session import Session

PORT, TOKEN = 8123, "secret-of-the-test"


@pytest.fixture
def painted(run: Path) -> Path:
    """A mask set that a run painted of its training images, with scores."""
    make_masks(run, settings=MaskSettings.parse({"scores": True}))
    return run / "masks-train"


def browser(session: Session, host: str = "127.0.0.1") -> TestClient:
    """A client that has opened the printed address."""
    app = build_app(session, host, PORT, TOKEN)
    client = TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)
    assert client.get(f"/?token={TOKEN}").status_code == 303
    return client


@pytest.fixture
def session(painted: Path) -> Iterator[Session]:
    with opened_session(painted) as opened:
        yield opened


@pytest.fixture
def client(session: Session) -> TestClient:
    return browser(session)
