"""Methods, sources, refiners and converters by name: our own, and those of other packages.

Another package registers one as an entry point, which is loaded when it is used::

    [project.entry-points."tag2mask.methods"]
    mine = "my_package.method:ENTRY"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from tag2mask.errors import SettingsError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Our own entries by name, then the entry points of ``group``, which cannot replace our own."""

    def __init__(self, group: str, own: Mapping[str, T]) -> None:
        self.group = group
        self.own = own

    @cached_property
    def others(self) -> dict[str, EntryPoint]:
        """Entry points of other packages by name."""
        return {point.name: point for point in entry_points(group=self.group) if point.name not in self.own}

    def __getitem__(self, name: str) -> T:
        if name in self.own:
            return self.own[name]
        return self.loaded(self.others[name])

    def loaded(self, point: EntryPoint) -> T:
        """Load an entry point.

        Raises:
            SettingsError: it cannot be imported.
        """
        try:
            found: T = point.load()
        except Exception as error:  # another package can raise anything
            raise SettingsError(f"{self.group}: {point.name} ({point.value}) cannot be loaded: {error}") from error
        return found

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from self.others

    def __len__(self) -> int:
        return len(self.own) + len(self.others)
