"""A session on painted masks, and a browser for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.make import make_masks
from tag2mask.viewer.opening import opened_session
from tag2mask.viewer.session import Session
from viewing import browser


@pytest.fixture
def painted(run: Path) -> Path:
    """A mask set that a run painted of its training images, with scores."""
    make_masks(run, settings=MaskSettings.parse({"scores": True}))
    return run / "masks-train"


@pytest.fixture
def session(painted: Path) -> Iterator[Session]:
    with opened_session(painted) as opened:
        yield opened


@pytest.fixture
def client(session: Session) -> TestClient:
    return browser(session)
