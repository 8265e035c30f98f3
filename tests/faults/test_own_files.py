"""Damaged files of our own: whatever happened to one, its reader says one line or does not mind.

``TAG2MASK_FAULTS`` is how many damaged copies of each file are tried; a long run takes 100.
"""

from __future__ import annotations

import os
import random
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.damage import JSON, LINES, PICKLES, TENSORS, YAML, Damage
from faults.own_place import FILES, OwnPlace
from tag2mask.errors import Tag2MaskError

COPIES = int(os.environ.get("TAG2MASK_FAULTS", "8"))
DAMAGES: dict[str, tuple[Damage, ...]] = {
    ".json": JSON,
    ".jsonl": LINES,
    ".yaml": YAML,
    ".safetensors": TENSORS,
    ".pth": PICKLES,
}
COUNTS: Counter[str] = Counter()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, trained: Path, student: Path) -> OwnPlace:
    return OwnPlace(tmp_path_factory.mktemp("own"), trained, student)


@pytest.fixture(scope="module", autouse=True)
def counts() -> Iterator[None]:
    """Told in the end; ``pytest -s`` shows it."""
    yield
    print("\ndamaged files of our own: " + ", ".join(f"{name} {count}" for name, count in COUNTS.items()))  # noqa: T201


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_our_own_is_one_line(place: OwnPlace, name: str) -> None:
    path, read, before = place.root / name, place.readers()[name], place.contents()
    read()  # whole, it is read
    place.restore(before)
    said: list[str] = []
    for copy in range(COPIES):
        draw = random.Random(zlib.crc32(f"{name} {copy}".encode()))
        damages = DAMAGES[path.suffix]
        damage = damages[copy % len(damages)]
        content = damage(before[path], draw)
        path.unlink()
        path.write_bytes(content)
        COUNTS["tried"] += 1
        try:
            read()
        except Tag2MaskError as error:
            said.append(str(error))
            COUNTS["one line"] += 1
        except Exception as error:
            COUNTS["traceback"] += 1
            raise AssertionError(f"{name}, {damage.__name__}, copy {copy}: {content[:400]!r}") from error
        else:
            COUNTS["read all the same"] += 1
        finally:
            place.restore(before)
    assert len(said) >= COPIES // 4
    assert all("\n" not in line and len(line) < 1000 for line in said)
