"""The queue: computed in the background, kept, and used by the list."""

from __future__ import annotations

import errno
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tag2mask.masks.write import open_mask_set
from tag2mask.viewer.jobs import Jobs
from tag2mask.viewer.judging import facts_of, rank_images
from tag2mask.viewer.masks import Item
from tag2mask.viewer.opening import opened_session
from tag2mask.viewer.queue import Queue
from tag2mask.viewer.session import Session
from viewing import browser


def wait_for_ranks(client: TestClient, seconds: float = 600) -> None:
    """Wait until all images are ranked."""
    end = time.monotonic() + seconds
    while client.get("/api/ranking").json()["done"] < 8:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_all_masks_get_a_rank_and_a_reason(client: TestClient, session: Session) -> None:
    wait_for_ranks(client)
    rows = client.get("/api/images").json()
    assert all(0 <= row["rank"] <= 1 and row["reason"] and 0 <= row["iou"] <= 1 for row in rows)
    assert all(
        row["present"] == session.present(session.original(item)) for row, item in zip(rows, session.items, strict=True)
    )
    assert {name: one.rank for name, one in rank_images(session).items()} == {row["name"]: row["rank"] for row in rows}


def test_the_iou_follows_a_correction(client: TestClient, session: Session) -> None:
    wait_for_ranks(client)
    item = session.items[0]
    session.corrections.save_mask(
        item.name, session.truth(item), np.ones(item.size, bool), session.corrections.etag(item.name)
    )
    session.queue.facts[item.name] = facts_of(session, item)
    row = client.get("/api/images").json()[0]
    client.post("/api/state/0", json={"state": "accepted"}, headers={"if-match": row["etag"]})
    row = client.get("/api/images").json()[0]
    assert (row["iou"], row["state"]) == (1, "accepted")
    assert sorted(row["present"]) == sorted(item.tags)


def test_ranks_are_kept_beside_the_corrections(painted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened_session(painted) as session:
        wait_for_ranks(browser(session))
        before = session.queue.ranked()
    monkeypatch.setattr("tag2mask.viewer.opening.signs_of", print)  # nothing is judged again
    with opened_session(painted) as session:
        assert session.queue.ranked() == before
    path = painted.parent / "masks-train-corrections/queue.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "key": "of other masks"}))
    with opened_session(painted, judged=False) as session:
        assert session.queue.ranked() == {}


def test_a_spoiled_mask_comes_first(painted: Path) -> None:
    masks = open_mask_set(painted)
    spoiled = masks.names()[3]
    path = painted / f"masks/{spoiled}.png"
    labels = np.array(Image.open(path))
    noise = np.random.default_rng(0).integers(0, 4, labels.shape).astype(np.uint8)
    image = Image.fromarray(noise)
    image.putpalette(masks.classes.palette().ravel().tolist())
    image.save(path)
    with opened_session(painted, judged=False) as session:
        ranked = rank_images(session)
    assert max(ranked, key=lambda name: ranked[name].rank) == spoiled


def test_masks_to_compare_with_count(painted: Path, masks: Path) -> None:
    """The compared masks are as good as truth."""
    with opened_session(painted, compare=masks, judged=False) as session:
        client = browser(session)
        assert client.get("/api/about").json()["compare"] == "masks"
        assert client.get("/api/mask/0?which=compare").content == client.get("/api/mask/0?which=truth").content
        with_other = rank_images(session)
    with opened_session(painted, judged=False) as session:
        without = rank_images(session)
    assert all(with_other[name].rank >= without[name].rank for name in without)


def test_an_image_that_fails_for_any_reason_does_not_stop_the_others(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(item: Item) -> None:
        if item is session.items[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    jobs = Jobs()
    number = jobs.start(session.items, work)
    jobs.pool.shutdown()
    job = jobs.jobs[number]
    assert (job.done, job.failed) == (len(session.items), 1)
    queue = Queue(tmp_path / "queue.json", "key", 2)
    queue.note(session.items[0], work, {})
    assert queue.failed == {session.items[0].name}
    assert capsys.readouterr().err.count("No space left on device") == 2
