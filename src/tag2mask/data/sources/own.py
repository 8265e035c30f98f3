"""Code shared by all sources for your own data."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import Field

from tag2mask.data.folder import split_names
from tag2mask.settings import Settings

# labelme's names for pixels of no class and pixels to ignore.
BACKGROUND_LABEL, IGNORE_LABEL = "_background_", "__ignore__"


class OwnSettings(Settings):
    """Settings of all sources for your own data."""

    bands: int = Field(3, gt=0, description="Number of bands of an image")


class OutlineSettings(OwnSettings):
    """Settings of sources with outlines."""

    background: bool = Field(True, description="Pixels outside all outlines are background; false: unknown")


def read_splits(root: Path, names: Collection[str]) -> dict[str, list[str]]:
    """Read the split lists in ``ROOT/splits``, if there are any.

    Raises:
        DataError: a list is empty or names an image that the source does not have.
    """
    return {path.stem: split_names(root, path.stem, names) for path in sorted((root / "splits").glob("*.txt"))}
