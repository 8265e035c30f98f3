"""Corrections: versions, atomic saves, and what a kill leaves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tag2mask.data import Classes
from tag2mask.errors import DataError, MaskSetError
from tag2mask.masks.corrections import PENDING, RECORD, Corrections, Origin, StaleError, beside

CLASSES = Classes(("cow", "grass"), "background")
ORIGIN = Origin("masks-train", "key", CLASSES)
LABELS = np.array([[0, 1, 2], [255, 1, 1]])
TOUCHED = LABELS == 1


@pytest.fixture
def store(tmp_path: Path) -> Corrections:
    return Corrections(tmp_path / "masks-train-corrections", ORIGIN, "ann")


def again(store: Corrections) -> Corrections:
    return Corrections(store.path, ORIGIN)


def test_nothing_is_written_before_the_first_change(store: Corrections) -> None:
    assert store.labels("a") is None
    assert store.state("a") == "open"
    assert not store.path.exists()


def test_a_saved_mask_is_there_when_opened_again(store: Corrections) -> None:
    store.save_mask("sub/a", LABELS, TOUCHED, store.etag("sub/a"), "accepted", ["cow"])
    found = again(store)
    labels, touched = found.labels("sub/a"), found.touched("sub/a")
    assert labels is not None
    assert touched is not None
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(touched, TOUCHED)
    row = found.rows["sub/a"]
    assert (row.state, row.tags, row.who, row.touched) == ("accepted", ["cow"], "ann", 3)
    assert row.when.startswith("20")


def test_a_state_keeps_the_mask(store: Corrections) -> None:
    first = store.save_mask("a", LABELS, TOUCHED, store.etag("a"))
    store.save_state("a", "rejected", first.etag)
    assert again(store).state("a") == "rejected"
    np.testing.assert_array_equal(again(store).labels("a"), LABELS)


def test_the_second_of_two_tabs_is_refused(store: Corrections) -> None:
    both = store.etag("a")
    first = store.save_mask("a", LABELS, TOUCHED, both)
    with pytest.raises(StaleError) as stale:
        store.save_mask("a", np.zeros_like(LABELS), ~TOUCHED, both)
    assert stale.value.current == first.etag
    np.testing.assert_array_equal(store.labels("a"), LABELS)


def test_the_same_content_saved_again_is_a_new_version(store: Corrections) -> None:
    etags = {store.etag("a")}
    for _ in range(3):
        etags.add(store.save_mask("a", LABELS, TOUCHED, store.etag("a")).etag)
    assert len(etags) == 4


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/../../../b"])
def test_a_name_stays_in_the_folder(store: Corrections, name: str) -> None:
    store.path.mkdir()
    with pytest.raises(DataError):
        store.save_mask(name, LABELS, TOUCHED, store.etag(name))
    assert list(store.path.iterdir()) == []


def test_a_foreign_class_is_refused(store: Corrections) -> None:
    with pytest.raises(MaskSetError, match="holds the value 3"):
        store.save_mask("a", LABELS + 2, TOUCHED, store.etag("a"))
    assert not store.path.exists()


class Killed(BaseException):
    """A kill."""


STEPS = range(12)


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_leaves_the_old_or_the_new_version(
    store: Corrections, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Every replacement of a file may be the last thing that happens."""
    old = store.save_mask("a", LABELS, TOUCHED, store.etag("a"))
    count = 0
    replace: Callable[..., Any] = os.replace

    def until_killed(source: Any, target: Any) -> Any:
        nonlocal count
        count += 1
        if count > step:
            raise Killed
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", until_killed)
    try:
        new = store.save_mask("a", LABELS[:, ::-1], ~TOUCHED, old.etag).etag
    except Killed:
        new = None
    monkeypatch.undo()
    assert (new is None) == (step < 6)  # three files are prepared, two are moved, one records it
    found = again(store)
    labels, touched = found.labels("a"), found.touched("a")
    is_new = found.etag("a") != old.etag
    np.testing.assert_array_equal(labels, LABELS[:, ::-1] if is_new else LABELS)
    np.testing.assert_array_equal(touched, ~TOUCHED if is_new else TOUCHED)
    assert is_new == (step >= 3)
    assert not (store.path / PENDING).exists()


def test_other_folders_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(MaskSetError, match="is not empty"):
        Corrections(tmp_path, ORIGIN)


def test_corrections_of_other_classes_are_refused(store: Corrections) -> None:
    store.save_state("a", "accepted", store.etag("a"))
    with pytest.raises(MaskSetError, match="other classes"):
        Corrections(store.path, Origin("masks", "key", Classes(("cow",), None)))


@pytest.mark.parametrize("content", [b"", b"{}", b'{"images": 3}', b"\xff", b"[" * 100000])
def test_a_damaged_record_is_one_line(store: Corrections, content: bytes) -> None:
    store.save_state("a", "accepted", store.etag("a"))
    (store.path / RECORD).write_bytes(content)
    with pytest.raises(MaskSetError, match="damaged"):
        again(store)


def test_they_lie_beside_the_mask_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "masks").mkdir()
    monkeypatch.chdir(tmp_path / "masks")
    assert beside(Path()) == tmp_path / "masks-corrections"


def test_a_copy_of_the_folder_opens(store: Corrections, tmp_path: Path) -> None:
    store.save_mask("a", LABELS, TOUCHED, store.etag("a"))
    shutil.copytree(store.path, tmp_path / "copy")
    np.testing.assert_array_equal(Corrections(tmp_path / "copy", ORIGIN).labels("a"), LABELS)


def test_of_many_tabs_exactly_one_wins(store: Corrections) -> None:
    etag, won, lost = store.etag("a"), [], []

    def save(value: int) -> None:
        try:
            store.save_mask("a", np.full_like(LABELS, value), TOUCHED, etag)
            won.append(value)
        except StaleError:
            lost.append(value)

    with ThreadPoolExecutor(8) as tabs:
        list(tabs.map(save, [0, 1, 2, 255] * 4))
    assert (len(won), len(lost)) == (1, 15)
    labels = again(store).labels("a")
    assert labels is not None
    assert (labels == won[0]).all()
