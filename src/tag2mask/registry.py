"""What goes by a name: our own methods, sources, refiners and converters, and those of other packages.

Another package offers one as an entry point, which is loaded when somebody asks for it by name::

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
    """Our own by name, then the entry points of ``group``; a name that is taken is not given away."""

    def __init__(self, group: str, own: Mapping[str, T]) -> None:
        self.group = group
        self.own = own

    @cached_property
    def others(self) -> dict[str, EntryPoint]:
        """The entry points of other packages by name."""
        return {point.name: point for point in entry_points(group=self.group) if point.name not in self.own}

    def __getitem__(self, name: str) -> T:
        if name in self.own:
            return self.own[name]
        return self.loaded(self.others[name])

    def loaded(self, point: EntryPoint) -> T:
        """What an entry point stands for.

        Raises:
            SettingsError: it cannot be imported.
        """
        try:
            found: T = point.load()
        except Exception as error:  # whatever another package does
            raise SettingsError(f"{self.group}: {point.name} ({point.value}) cannot be loaded: {error}") from error
        return found

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from self.others

    def __len__(self) -> int:
        return len(self.own) + len(self.others)
