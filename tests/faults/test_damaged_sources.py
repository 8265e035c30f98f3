"""Damaged files of foreign data sets: whatever happened to one, its source says one line or does not mind.

``TAG2MASK_FAULTS`` is how many damaged copies of each file are tried.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from damage import ANY, JSON, YAML, Damage
from trees import TREES

from tag2mask.data.check.source import check_source
from tag2mask.data.sources import open_source
from tag2mask.data.sources.prepare import prepare
from tag2mask.errors import Tag2MaskError

COPIES = int(os.environ.get("TAG2MASK_FAULTS", "5"))
PIXELS = (".png", ".jpg", ".tif", ".npy")  # test_damaged_images.py
DAMAGES: dict[str, tuple[Damage, ...]] = {".json": JSON, ".yaml": YAML}
COUNTS: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def counts() -> Iterator[None]:
    """Told in the end; ``pytest -s`` shows it."""
    yield
    print("\ndamaged files of sources: " + ", ".join(f"{name} {count}" for name, count in COUNTS.items()))  # noqa: T201


@pytest.mark.parametrize("kind", TREES)
def test_a_damaged_file_of_a_source_is_one_line(kind: str, tmp_path: Path) -> None:
    tree = TREES[kind](tmp_path / "tree")
    for path in sorted(tree.root.rglob("*")):
        if not path.is_file() or not path.stat().st_size or path.suffix.lower() in PIXELS:
            continue
        whole, damages = path.read_bytes(), DAMAGES.get(path.suffix, ANY)
        for copy in range(COPIES):
            damage = damages[copy % len(damages)]
            draw = random.Random(zlib.crc32(f"{kind} {path.name} {copy}".encode()))
            path.unlink()
            path.write_bytes(damage(whole, draw))
            COUNTS["tried"] += 1
            with told_in_one_line():
                prepare(kind, tree.root, tmp_path / "out", tree.settings)
            with told_in_one_line():
                check_source(open_source(kind, tree.root, tree.settings))
            path.write_bytes(whole)
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
    prepare(kind, tree.root, tmp_path / "out", tree.settings)


@contextlib.contextmanager
def told_in_one_line() -> Iterator[None]:
    """Nothing but an error in our words may be raised; others end the test."""
    said = ""
    try:
        yield
    except Tag2MaskError as error:
        said = str(error)
    assert "\n" not in said
    COUNTS["one line" if said else "read all the same"] += 1
