"""Methods, sources, refiners and converters by name: our own, and entry points of other packages (docs/plugins.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from tag2mask.errors import SettingsError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Our own entries by name, then the entry points of ``group``, each loaded when it is used.

    ``fault`` says what is wrong with a loaded entry point, such as "is not a function"; it is empty if nothing is.
    """

    def __init__(self, group: str, own: Mapping[str, T], fault: Callable[[Any], str]) -> None:
        self.group = group
        self.own = own
        self.fault = fault

    @cached_property
    def others(self) -> dict[str, list[EntryPoint]]:
        """Entry points of other packages by name."""
        points: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.group):
            points.setdefault(point.name, []).append(point)
        return points

    def __getitem__(self, name: str) -> T:
        """Return an entry.

        Raises:
            SettingsError: the name is that of several, or the entry point cannot be used.
        """
        points = self.others.get(name, [])
        called = [self.called(point) for point in points] + [f"tag2mask's own {name}"] * (name in self.own)
        if len(called) > 1:
            raise SettingsError(f"{called[0]} has the name of {called[1]}; rename it, or uninstall its package")
        return self.loaded(points[0]) if points else self.own[name]

    def called(self, point: EntryPoint) -> str:
        """Name an entry point in messages."""
        return f"entry point {self.group} {point.name} ({point.value})"

    def loaded(self, point: EntryPoint) -> T:
        """Load an entry point.

        Raises:
            SettingsError: it cannot be imported, or names the wrong kind of thing.
        """
        try:
            found: T = point.load()
        except Exception as error:  # another package can raise anything
            raise SettingsError(f"{self.called(point)} cannot be loaded: {error}") from error
        if fault := self.fault(found):
            raise SettingsError(f"{self.called(point)} {fault}; see docs/plugins.md")
        return found

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (name for name in self.others if name not in self.own)

    def __len__(self) -> int:
        return len(self.own.keys() | self.others.keys())
