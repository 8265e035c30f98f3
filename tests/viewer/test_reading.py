"""What the page reads."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tag2mask.data.reading import read_mask
from tag2mask.viewer.session import Session


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)))


def test_it_describes_the_masks(client: TestClient, session: Session) -> None:
    about = client.get("/api/about").json()
    assert [one["name"] for one in about["classes"]] == ["background", "red", "green", "blue"]
    assert about["classes"][0] == {"index": 0, "name": "background", "color": "#000000"}
    assert (about["count"], about["splits"], about["has_truth"]) == (8, ["train"], True)


def test_it_lists_images_by_name(client: TestClient, session: Session) -> None:
    rows = client.get("/api/images").json()
    assert [row["id"] for row in rows] == list(range(8))
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    assert (rows[1]["width"], rows[1]["height"]) == (56, 48)
    assert all(len(row["tags"]) == 2 and 0 not in row["tags"] for row in rows)


def test_pictures_have_the_size_of_the_mask(client: TestClient) -> None:
    for number in range(2):
        mask = decoded(client.get(f"/api/mask/{number}").content)
        assert decoded(client.get(f"/api/image/{number}").content).shape[:2] == mask.shape
        small = decoded(client.get(f"/api/thumb/{number}").content)
        assert decoded(client.get(f"/api/thumb-mask/{number}").content).shape[:2] == small.shape[:2]


def test_masks_hold_class_indices(client: TestClient, session: Session) -> None:
    item = session.items[0]
    original = decoded(client.get("/api/mask/0?which=original").content)
    np.testing.assert_array_equal(original, session.masks.labels(item.name))
    true = decoded(client.get("/api/mask/0?which=truth").content)
    assert item.truth is not None
    np.testing.assert_array_equal(true, read_mask(item.truth))
    assert not decoded(client.get("/api/mask/0?which=touched").content).any()


def test_a_known_version_is_not_sent_again(client: TestClient) -> None:
    for address in ("/api/mask/0", "/api/thumb-mask/0", "/api/thumb/0"):
        etag = client.get(address).headers["etag"]
        assert client.get(address, headers={"if-none-match": etag}).status_code == 304


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/api/mask/99", 404),
        ("/api/mask/-1", 404),
        ("/api/mask/p00", 404),
        ("/api/mask/0?which=../../etc/passwd", 400),
        ("/api/mask/0?which=compare", 400),
        ("/api/thumb/..%2f..%2fetc%2fpasswd", 404),
        ("/..%2f..%2f..%2f..%2fetc/passwd", 404),
        ("/%2e%2e/opening.py", 404),
        ("/../opening.py", 404),
        ("/api/nothing", 404),
    ],
)
def test_strange_addresses_are_refused(client: TestClient, address: str, status: int) -> None:
    answer = client.get(address)
    assert answer.status_code == status
    assert "root:" not in answer.text
    assert set(answer.json()) == {"error"}
