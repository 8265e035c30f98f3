"""A full disk, at every kind of write: one line, nothing half-written, and the same command goes on once there is room.

A limit on the size of files stands for it; where this is root, a small file system of its own as well.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from trials import Child, Counts, Work, attempt, content, left_over, limited, run, whole

FAST = {
    "train": (0, 3000),
    "masks": (40,),
    "shard": (3000,),
    "prepare": (40,),
    "report": (3000,),
    "npz": (40,),
    "coco": (40,),
    "cvat": (40,),
}
VERBS = ["train", "masks", "segment", "prepare", "predict", "refine-train", "report", "coco", "yolo", "cvat", "voc"]
VERBS += ["geotiff", "npz", "export", "run"]
SIZES = (0, 40, 300, 3000, 30_000)
ROOM = (16, 64, 160, 400)  # KiB of a small file system


def fill(work: Work, expected: dict[str, str], root: Path, size: int, counts: Counts) -> None:
    """One verb whose files may not be larger."""

    def disturb() -> Child:
        child = run(*work.words, prepare=limited(size))
        if child.code != 0:
            last = child.said.splitlines()[-1]
            assert last.startswith("error: "), child.said
            assert "cannot be written: File too large; free some space" in last, last
            assert not left_over(root)
        return child

    attempt(work, expected, root, disturb, [2], counts)


@pytest.mark.parametrize("name", FAST)
def test_no_room(name: str, root: Path, work: Callable[[str], Work]) -> None:
    counts = Counts()
    expected, _ = whole(work(name))
    for size in FAST[name]:
        fill(work(name), expected, root, size, counts)
    counts.require_none_lost()


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_no_room_at_every_kind_of_write(root: Path, work: Callable[[str], Work], tell: Callable[[str], None]) -> None:
    counts = Counts()
    for name in VERBS:
        expected, _ = whole(work(name))
        for size in SIZES if name != "export" else SIZES[3:4]:  # which takes half a minute
            fill(work(name), expected, root, size, counts)
    tell(counts.line("RLIMIT_FSIZE"))
    counts.require_none_lost()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def resize(place: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_a_small_file_system(
    root: Path, work: Callable[[str], Work], small_disk: Path, tell: Callable[[str], None]
) -> None:
    counts = Counts()
    for name in VERBS:
        one = work(name)
        moved = small_disk / one.out.name
        there = Work(name, [moved if word == one.out else word for word in one.words], moved, one.same, one.resumed)
        expected, _ = whole(there)
        for room in ROOM if name != "export" else ROOM[1:2]:
            resize(small_disk, f"{room}k")
            attempt(there, expected, root, partial(until_full, there, small_disk), [2], counts)
    tell(counts.line("small file system"))
    counts.require_none_lost()


def until_full(work: Work, place: Path) -> Child:
    """The verb on a full disk, which has room again afterwards."""
    child = run(*work.words)
    assert child.code in (0, 2), child.said
    assert child.code == 0 or "No space left on device; free some space" in child.said.splitlines()[-1], child.said
    assert not left_over(place), content(place)
    resize(place, "50m")
    return child
