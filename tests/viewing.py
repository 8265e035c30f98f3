"""A browser for a session of the viewer."""

from __future__ import annotations

from starlette.testclient import TestClient

from tag2mask.viewer.app import build_app
from tag2mask.viewer.session import Session

PORT, TOKEN = 8123, "secret-of-the-test"


def browser(session: Session, host: str = "127.0.0.1") -> TestClient:
    """A client that has opened the printed address."""
    app = build_app(session, host, PORT, TOKEN)
    client = TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)
    assert client.get(f"/?token={TOKEN}").status_code == 303
    return client
