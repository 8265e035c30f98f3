"""Superpixels, spreading of marks, similar images, confusion and progress."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tag2mask.viewer.judging import read_again
from tag2mask.viewer.pace import Pace
from tag2mask.viewer.session import Session
from tag2mask.viewer.spreading import Prototype, cells_of, spread
from tag2mask.viewer.superpixels import superpixels


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)))


def two_halves(height: int, width: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, width // 2 :] = 200
    return picture


@pytest.mark.parametrize("shape", [(96, 128), (900, 1400), (1, 1), (3, 200)])
def test_superpixels_cover_the_image_and_keep_to_edges(shape: tuple[int, int]) -> None:
    counts = []
    for size in range(3):
        labels = superpixels(two_halves(*shape), size)
        assert labels.shape == shape
        counts.append(len(np.unique(labels)))
        if min(shape) > 50:
            left, right = labels[:, : shape[1] // 2 - 2], labels[:, shape[1] // 2 + 2 :]
            assert not set(np.unique(left)) & set(np.unique(right))
    assert counts == sorted(counts, reverse=True)


def test_superpixels_are_sent_in_16_bits(client: TestClient, session: Session) -> None:
    found = decoded(client.get("/api/superpixels/1?size=0").content)
    assert found.shape == session.items[1].size
    assert found.dtype.kind in "iu"
    assert client.get("/api/superpixels/1?size=3").status_code == 400


FEATURES = np.zeros((4, 6, 2), np.float32)
FEATURES[:, :3, 0], FEATURES[:, 3:, 1] = 1, 1  # two halves


def test_a_mark_spreads_to_what_resembles_it() -> None:
    before = np.zeros((40, 60), np.int64)
    after = spread(FEATURES, {2: [(5, 5)]}, before)
    assert (after[:, :25] == 2).all()
    assert (after[:, 35:] == 0).all()
    both = spread(FEATURES, {2: [(5, 5)], 1: [(59, 39)]}, before)
    assert (both[:, :25] == 2).all()
    assert (both[:, 35:] == 1).all()
    assert (before == 0).all()


def test_points_fall_into_their_patch() -> None:
    assert cells_of([(0, 0), (59, 39), (30, 9)], (40, 60), (4, 6)).tolist() == [[0, 0], [3, 5], [0, 3]]


def test_a_class_is_found_in_another_image() -> None:
    labels = np.where(np.arange(60) < 30, 2, 0) * np.ones((40, 1), np.int64)
    prototype = Prototype(FEATURES, labels, 2)
    mirrored = np.ascontiguousarray(FEATURES[:, ::-1])
    proposed = prototype.propose(mirrored, labels, 2, 0)
    assert (proposed[:, 35:] == 2).all()
    assert (proposed[:, :25] == 0).all()
    assert (prototype.propose(mirrored, labels, 2, None)[:, :25] == 2).all()
    assert prototype.likeness(FEATURES) > prototype.likeness(FEATURES * [0, 1]) == 0
    with pytest.raises(ValueError, match="no patch"):
        Prototype(FEATURES, labels, 1)


def test_marks_spread_in_a_preview(client: TestClient, session: Session) -> None:
    before = decoded(client.get("/api/mask/0").content)
    answer = client.post("/api/spread/0", json={"marks": [{"class": 3, "points": [[0, 0], [1, 0]]}]})
    found = decoded(answer.content)
    assert found[0, 0] == 3
    assert set(np.unique(found[found != before])) <= {3}
    assert not session.corrections.rows


@pytest.mark.parametrize(
    "marks",
    [
        [{"class": 9, "points": [[0, 0]]}],
        [{"class": 1, "points": [[0, 48]]}],
        [{"class": 1, "points": [[-1, 0]]}],
        [{"class": 1, "points": []}],
        [{"class": 1, "points": [[0]]}],
        [{"class": 1, "points": [[0, 0]] * 5001}],
        "all",
    ],
)
def test_wrong_marks_are_refused(client: TestClient, marks: object) -> None:
    assert client.post("/api/spread/0", json={"marks": marks}).status_code == 400


def test_a_correction_is_proposed_to_similar_images(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tag2mask.viewer.painting.PATIENCE", 600)
    item = session.items[0]
    value, store = item.tags[0], session.corrections
    store.save_mask(item.name, session.truth(item), np.ones(item.size, bool), store.etag(item.name))
    found = client.post("/api/similar/0", json={"class": value, "count": 3}).json()
    assert found["compared"] == found["candidates"] > 0
    assert len(found["proposals"]) == min(found["candidates"], 3)
    for one in found["proposals"]:
        other = session.items[one["id"]]
        assert value in other.tags
        proposed = decoded(client.get(f"/api/proposal/{one['id']}/{value}?from=0").content)
        assert (proposed != session.current(other)).sum() == one["pixels"]
    assert client.get(f"/api/proposal/1/{value}").status_code == 400
    assert client.get(f"/api/proposal/1/{value}?from=99").status_code == 404


def test_the_confusion_opens_the_images_behind_it(client: TestClient, session: Session) -> None:
    session.queue.close()
    for item in session.items:  # as good as truth, but for one image
        store, labels = session.corrections, session.truth(item).copy()
        if item.name == session.items[2].name:
            labels[labels == item.tags[0]] = 0
        store.save_mask(item.name, labels, np.ones(item.size, bool), store.etag(item.name))
        read_again(session, item)
    found = client.get("/api/confusion").json()
    assert found["read"] == found["total"] == 8
    value = session.items[2].tags[0]
    matrix, place = np.array(found["matrix"]), found["classes"].index
    assert matrix.sum() == sum(item.size[0] * item.size[1] for item in session.items)
    assert matrix.trace() + matrix[place(value), place(0)] == matrix.sum()
    assert client.get(f"/api/confusion/{value}/0").json() == [2]
    assert client.get("/api/confusion/0/1").json() == []
    assert client.get("/api/confusion/77/1").status_code == 400


def test_progress_counts_decisions(client: TestClient) -> None:
    assert client.get("/api/progress").json() == {"total": 8, "done": 0, "seconds_left": None}
    for number, state in enumerate(("accepted", "rejected", "open")):
        etag = client.get("/api/images").json()[number]["etag"]
        client.post(f"/api/state/{number}", json={"state": state}, headers={"if-match": etag})
    found = client.get("/api/progress").json()
    assert (found["done"], found["seconds_left"] >= 0) == (2, True)


def test_a_break_does_not_change_the_pace() -> None:
    pace = Pace()
    assert pace.seconds() is None
    for now in (0, 10, 20, 3000, 3010):
        pace.note(now)
    assert pace.seconds() == 10
