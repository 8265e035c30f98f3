"""Which tags always come together: nothing in the tags tells such classes apart."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence


class Company:
    """Rows of tags, one after another, in memory that grows with the tags and not with the rows.

    Every row has a random number of 64 bits, and a tag the sum of its rows' numbers: two tags with one sum stand in
    the same rows. A million rows and ten thousand tags are wrong once in 10^11 times.
    """

    def __init__(self) -> None:
        self.draw = random.Random(0)
        self.sums: dict[str, int] = {}
        self.rows: dict[str, int] = {}

    def add(self, tags: Iterable[str]) -> None:
        """One image's tags."""
        number = self.draw.getrandbits(64)
        for tag in set(tags):
            self.sums[tag] = self.sums.get(tag, 0) + number
            self.rows[tag] = self.rows.get(tag, 0) + 1

    def groups(self, names: Sequence[str]) -> list[tuple[tuple[str, ...], int]]:
        """Those of ``names`` that always come together, with the number of their images; the most images first."""
        alike: dict[int, list[str]] = {}
        for name in names:
            if name in self.sums:
                alike.setdefault(self.sums[name], []).append(name)
        found = [(tuple(group), self.rows[group[0]]) for group in alike.values() if len(group) > 1]
        return sorted(found, key=lambda group: -group[1])
