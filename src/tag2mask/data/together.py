"""Tags that always occur together, whose classes cannot be told apart by tags."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence


class Company:
    """Finds tags that occur in the same rows, in memory that grows with the tags and not with the rows.

    Each row gets a random 64-bit number, and each tag the sum of its rows' numbers; two tags with the same sum are in
    the same rows. For a million rows and ten thousand tags, the chance of an error is 10^-11.
    """

    def __init__(self) -> None:
        self.draw = random.Random(0)
        self.sums: dict[str, int] = {}
        self.rows: dict[str, int] = {}

    def add(self, tags: Iterable[str]) -> None:
        """Add one image's tags."""
        number = self.draw.getrandbits(64)
        for tag in set(tags):
            self.sums[tag] = self.sums.get(tag, 0) + number
            self.rows[tag] = self.rows.get(tag, 0) + 1

    def groups(self, names: Sequence[str]) -> list[tuple[tuple[str, ...], int]]:
        """Return the groups of ``names`` that always occur together, with their number of images, largest first."""
        alike: dict[int, list[str]] = {}
        for name in names:
            if name in self.sums:
                alike.setdefault(self.sums[name], []).append(name)
        found = [(tuple(group), self.rows[group[0]]) for group in alike.values() if len(group) > 1]
        return sorted(found, key=lambda group: -group[1])
