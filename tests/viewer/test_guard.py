"""Who may talk to the viewer."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tag2mask.viewer.guard import Guard


def test_the_token_becomes_a_cookie_and_leaves_the_address(client: TestClient) -> None:
    stranger = TestClient(client.app, base_url=client.base_url, follow_redirects=False)
    assert stranger.get("/api/about").status_code == 403
    answer = stranger.get("/?token=secret-of-the-test")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.get("/api/about").status_code == 200


@pytest.mark.parametrize(
    "address", ["/?token=wrong", "/?token=", "/", "/api/about?token=secret-of-the-test", "/?token=é"]
)
def test_another_token_is_refused(client: TestClient, address: str) -> None:
    stranger = TestClient(client.app, base_url=client.base_url, follow_redirects=False)
    answer = stranger.get(address)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:8123", "127.0.0.1", "127.0.0.1:80", "", "localhost:8123.evil.com"]
)
def test_another_host_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/about", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8123", "localhost:8123", "LOCALHOST:8123"])
def test_own_names_are_accepted(client: TestClient, host: str) -> None:
    assert client.get("/api/about", headers={"host": host}).status_code == 200


def test_pages_of_other_origins_change_nothing(client: TestClient) -> None:
    for headers in ({"origin": "http://127.0.0.1:9999"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post("/api/state/0", json={"state": "accepted"}, headers={"if-match": "x", **headers})
        assert answer.status_code == 403
    assert client.get("/api/images").json()[0]["state"] == "open"


def test_every_answer_has_the_policy(client: TestClient) -> None:
    for address in ("/api/about", "/api/thumb/0", "/icon.svg", "/nothing", "/api/mask/77"):
        policy = client.get(address).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("bound", "given", "own"),
    [
        ("0.0.0.0", "192.168.3.4:80", True),
        ("0.0.0.0", "evil.com:80", False),
        ("10.0.0.5", "10.0.0.5:80", True),
        ("10.0.0.5", "192.168.3.4:80", False),
        ("::1", "[::1]:80", True),
    ],
)
def test_hosts_of_other_addresses(bound: str, given: str, own: bool) -> None:
    async def app(*_: object) -> None:
        """Never called."""

    assert Guard(app, bound, 80, "token").is_own_host(given) == own
