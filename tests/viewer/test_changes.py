"""What the page saves, and what is refused."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tag2mask.viewer.call import MOST_BODY
from tag2mask.viewer.session import Session

Files = dict[str, tuple[str, bytes, str]]


def encoded(pixels: Any) -> bytes:
    content = BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(content, "PNG")
    return content.getvalue()


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)))


def form(**parts: bytes) -> Files:
    return {name: (name, content, "image/png") for name, content in parts.items()}


def etag_of(client: TestClient, number: int = 0) -> str:
    return str(client.get("/api/images").json()[number]["etag"])


def put(client: TestClient, labels: Any, touched: Any = None, **headers: str) -> Any:
    """Save a mask of the first image, based on its current version unless ``headers`` say otherwise."""
    parts = {"mask": encoded(labels), **({} if touched is None else {"touched": encoded(touched)})}
    headers = {"if-match": etag_of(client), **{name.replace("_", "-"): text for name, text in headers.items()}}
    return client.put("/api/mask/0", files=form(**parts), headers=headers)


@pytest.fixture
def size(session: Session) -> tuple[int, int]:
    return session.items[0].size


def files_below(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_correction_is_saved_beside_the_masks(client: TestClient, session: Session, painted: Path) -> None:
    before = files_below(painted)
    size, etag = session.items[0].size, etag_of(client)
    labels, touched = np.full(size, 2), np.zeros(size)
    labels[:5], touched[:5] = 1, 255
    answer = client.put(
        "/api/mask/0", files=form(mask=encoded(labels), touched=encoded(touched)), headers={"if-match": etag}
    )
    assert answer.json() == {
        "etag": etag_of(client),
        "state": "open",
        "tags": list(session.items[0].tags),
        "present": [1, 2],
    }
    assert answer.headers["etag"] == etag_of(client) != etag
    np.testing.assert_array_equal(decoded(client.get("/api/mask/0").content), labels)
    np.testing.assert_array_equal(decoded(client.get("/api/mask/0?which=touched").content), touched)
    assert files_below(painted) == before
    record = json.loads((painted.parent / "masks-train-corrections/corrections.json").read_text())
    assert record["images"][session.items[0].name]["touched"] == 5 * size[1]


def test_any_bytes_of_a_png_survive_the_form(client: TestClient, session: Session) -> None:
    """A PNG holds every kind of line end."""
    generator = np.random.default_rng(0)
    size = session.items[0].size
    for _ in range(20):
        labels = generator.integers(0, 4, size)
        assert put(client, labels).status_code == 200
        np.testing.assert_array_equal(decoded(client.get("/api/mask/0").content), labels)


def test_without_touched_pixels_those_that_changed_are(client: TestClient, session: Session) -> None:
    labels = session.current(session.items[0]).copy()
    labels[3, 4] = (labels[3, 4] + 1) % 4
    put(client, labels)
    assert np.argwhere(decoded(client.get("/api/mask/0?which=touched").content)).tolist() == [[3, 4]]
    client.put(
        "/api/mask/0", files=form(mask=encoded(labels + 0)), headers={"if-match": etag_of(client), "x-touched": "keep"}
    )
    assert np.argwhere(decoded(client.get("/api/mask/0?which=touched").content)).tolist() == [[3, 4]]


def test_two_tabs_cannot_overwrite_each_other(client: TestClient, size: tuple[int, int]) -> None:
    etag = etag_of(client)
    first, second = np.full(size, 1), np.full(size, 2)
    saved, late = put(client, first), put(client, second, if_match=etag)
    assert (late.status_code, late.headers["etag"]) == (412, saved.headers["etag"])
    assert (decoded(client.get("/api/mask/0").content) == 1).all()
    for address, body in (("/api/state/0", {"state": "accepted"}), ("/api/tags/0", {"tags": [1]})):
        assert client.post(address, json=body, headers={"if-match": etag}).status_code == 412
        assert client.post(address, json=body).status_code == 428
    assert client.put("/api/mask/0", files=form(mask=encoded(first))).status_code == 428


def test_a_state_is_saved(client: TestClient) -> None:
    answer = client.post("/api/state/0", json={"state": "rejected"}, headers={"if-match": etag_of(client)})
    row = client.get("/api/images").json()[0]
    assert answer.json() == {"etag": row["etag"], "state": "rejected"}
    assert (row["state"], row["corrected"]) == ("rejected", False)


def test_changed_tags_repaint_all_but_touched_pixels(client: TestClient, session: Session) -> None:
    item = session.items[0]
    labels = session.current(item).copy()
    labels[:2] = item.tags[0]
    touched = np.zeros(item.size)
    touched[:2] = 255
    put(client, labels, touched)
    answer = client.post("/api/tags/0", json={"tags": [item.tags[1]]}, headers={"if-match": etag_of(client)})
    now = decoded(client.get("/api/mask/0").content)
    assert (now[:2] == item.tags[0]).all()
    assert item.tags[0] not in now[2:]
    assert answer.json()["tags"] == [item.tags[1]] == client.get("/api/images").json()[0]["tags"]


def test_thresholds_grow_and_shrink_a_class(client: TestClient, session: Session) -> None:
    value = session.items[0].tags[0]

    def painted(threshold: float) -> int:
        answer = client.post("/api/paint/0", json={"thresholds": {value: threshold}})
        return int((decoded(answer.content) == value).sum())

    sizes = [painted(threshold) for threshold in (0.0, 0.3, 0.6, 1.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1] == 0


def test_maps_are_those_that_painted(client: TestClient, session: Session) -> None:
    content = client.get("/api/maps/0").content
    (length,) = struct.unpack("<I", content[:4])
    header = json.loads(content[4 : 4 + length])
    assert header["classes"] == list(session.items[0].tags)
    assert len(content) == 4 + length + len(header["classes"]) * header["height"] * header["width"]
    everything = client.get("/api/maps/0?tags=all").content
    (length,) = struct.unpack("<I", everything[:4])
    assert json.loads(everything[4 : 4 + length])["classes"] == [1, 2, 3]


def test_attention_is_shown_by_layer_and_head(client: TestClient) -> None:
    about = client.get("/api/about").json()
    assert (about["layers"], about["heads"]) == (2, 3)
    seen = {client.get(f"/api/maps/0?layer={layer}&head={head}").content for layer in range(2) for head in range(3)}
    assert len(seen) == 6
    assert client.get("/api/maps/0?layer=2").status_code == 400
    assert client.get("/api/maps/0?layer=x").status_code == 400


def test_repainting_with_the_stored_scores_is_the_mask(client: TestClient, session: Session) -> None:
    """Up to rounding at the borders, at the resolution of patches."""
    for number, item in enumerate(session.items):
        preview = decoded(client.post(f"/api/paint/{number}", json={}).content)
        assert (preview == session.original(item)).mean() > 0.9


def bomb(width: int, height: int) -> bytes:
    """A small file that says it is a large image."""
    content = bytearray(encoded(np.zeros((8, 8))))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


WRONG: dict[str, tuple[dict[str, Any], int]] = {
    "too small": ({"files": form(mask=encoded(np.zeros((3, 3))))}, 400),
    "no class": ({"files": "77"}, 400),
    "colour": ({"files": form(mask=encoded(np.zeros((48, 48, 3))))}, 400),
    "no image": ({"files": form(mask=b"GIF89a")}, 400),
    "cut off": ({"files": form(mask=encoded(np.zeros((48, 48)))[:60])}, 400),
    "no mask": ({"files": form(other=b"1")}, 400),
    "json": ({"json": {"mask": 1}}, 415),
    "no boundary": ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400),
    "state": ({"files": form(mask=encoded(np.zeros((48, 48))), state=b"done")}, 400),
    "tags": ({"files": form(mask=encoded(np.zeros((48, 48))), tags=b'["cow"]')}, 400),
    "tag background": ({"files": form(mask=encoded(np.zeros((48, 48))), tags=b"[0]")}, 400),
    "touched": ({"files": form(mask=encoded(np.zeros((48, 48))), touched=encoded(np.zeros((1, 1))))}, 400),
    "bomb": ({"files": form(mask=bomb(2**15, 2**15))}, 400),
    "huge": ({"content": b"0" * (MOST_BODY + 1)}, 413),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_masks_are_refused(client: TestClient, session: Session, painted: Path, case: str) -> None:
    given, status = WRONG[case]
    if given.get("files") == "77":
        given = {"files": form(mask=encoded(np.full(session.items[0].size, 77)))}
    headers = {"if-match": etag_of(client), **given.get("headers", {})}
    answer = client.put("/api/mask/0", **{**given, "headers": headers})
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert "Traceback" not in answer.text
    assert not (painted.parent / "masks-train-corrections/masks").exists()


@pytest.mark.parametrize(
    ("address", "content"),
    [
        ("/api/state/0", b'{"state": "done"}'),
        ("/api/state/0", b"{"),
        ("/api/state/0", b"[" * 100_000),
        ("/api/tags/0", b'{"tags": [99]}'),
        ("/api/tags/0", b'{"tags": [-1]}'),
        ("/api/tags/0", b'{"tags": [0]}'),
        ("/api/tags/0", b'{"tags": ["red"]}'),
        ("/api/paint/0", b'{"thresholds": {"9": 0.5}}'),
        ("/api/paint/0", b'{"thresholds": {"1": "high"}}'),
        ("/api/paint/0", b'{"thresholds": {"1": NaN}}'),
    ],
)
def test_wrong_bodies_are_refused(client: TestClient, address: str, content: bytes) -> None:
    answer = client.post(address, content=content, headers={"if-match": etag_of(client)})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def test_a_saved_mask_is_counted_at_once(client: TestClient, session: Session) -> None:
    item = session.items[0]
    put(client, session.truth(item))
    row = client.get("/api/images").json()[0]
    assert (row["iou"], row["present"], row["corrected"]) == (1, sorted(item.tags), True)
    read = client.get("/api/confusion").json()
    assert read["read"] >= 1


def test_a_threshold_repaints_all_open_images_of_a_class(client: TestClient, session: Session) -> None:
    value = session.items[0].tags[0]
    with_class = [number for number, item in enumerate(session.items) if value in item.tags]
    accepted = with_class[1]
    client.post(f"/api/state/{accepted}", json={"state": "accepted"}, headers={"if-match": etag_of(client, accepted)})
    labels = session.current(session.items[0]).copy()
    labels[0] = value
    put(client, labels)
    before = {number: session.current(item) for number, item in enumerate(session.items)}
    job = client.post("/api/threshold", json={"class": value, "value": 1.0}).json()["job"]
    session.jobs.pool.submit(int).result()  # the jobs before it are done
    found = client.get(f"/api/job/{job}").json()
    assert found == {"total": len(with_class) - 1, "done": len(with_class) - 1, "failed": 0}
    for number, item in enumerate(session.items):
        now = session.current(item)
        if number in with_class and number != accepted:
            assert (now[1:] != value).all()
        else:
            np.testing.assert_array_equal(now, before[number])
    assert (session.current(session.items[0])[0] == value)[labels[0] != session.original(session.items[0])[0]].all()
    preview = decoded(client.post(f"/api/paint/{with_class[2]}", json={}).content)
    assert (preview != value).all()  # the threshold is remembered
    assert client.get("/api/job/99").status_code == 404
    for body in ({"class": value, "value": 2.0}, {"class": 0, "value": 0.5}, {"class": 99, "value": 0.5}, {"value": 1}):
        assert client.post("/api/threshold", json=body).status_code == 400


def test_no_tag_is_all_background(client: TestClient, session: Session) -> None:
    assert (decoded(client.post("/api/paint/0", json={"tags": []}).content) == 0).all()
    without_scores = replace(session, shares=None)
    assert (without_scores.repaint(session.items[0], [], {}) == 0).all()


@pytest.mark.parametrize(("tags", "found"), [("2", [2]), ("3,1", [1, 3]), ("0,2", [2])])
def test_maps_of_some_classes(client: TestClient, tags: str, found: list[int]) -> None:
    content = client.get(f"/api/maps/0?tags={tags}").content
    (length,) = struct.unpack("<I", content[:4])
    classes = json.loads(content[4 : 4 + length])["classes"]
    assert set(found) <= set(classes)


@pytest.mark.parametrize("tags", ["9", "x", "", "1,", "-1", "1e3", "999999"])
def test_maps_of_unknown_classes_are_refused(client: TestClient, tags: str) -> None:
    assert client.get(f"/api/maps/0?tags={tags}").status_code == 400


def test_a_mask_is_saved_even_if_its_truth_has_another_size(client: TestClient, session: Session) -> None:
    item = session.items[0]
    assert item.truth is not None
    Image.new("L", (3, 5)).save(item.truth)
    etag = client.get("/api/images").json()[0]["etag"]
    answer = client.post("/api/tags/0", json={"tags": []}, headers={"if-match": etag})
    assert answer.status_code == 200
    assert session.corrections.is_corrected(item.name)
    assert item.name not in session.queue.facts
