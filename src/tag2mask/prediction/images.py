"""Which images are meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tag2mask.data import Sample
from tag2mask.data.folder import find_images, is_image, strip_suffix
from tag2mask.errors import DataError, SettingsError


def found_samples(photographs: Sequence[Path]) -> list[Sample]:
    """The images of files and folders, each named by its path from the folder given.

    Raises:
        SettingsError: none is given.
        DataError: one does not exist or is no image, a folder holds none, or two have one name.
    """
    if not photographs:
        raise SettingsError("no images: name files or a folder, or one of the run's own lists with --split NAME")
    found: dict[str, Path] = {}
    for path in photographs:
        for name, image in named_images(path).items():
            if name in found:
                raise DataError(f"{image}: {found[name]} has the same name; masks are named after images")
            found[name] = image
    return [Sample(name, image) for name, image in found.items()]


def named_images(path: Path) -> dict[str, Path]:
    """The images that a file or folder stands for, by name."""
    if path.is_dir():
        images = find_images(path)
        if not images:
            raise DataError(f"{path}: holds no image")
        return images
    if not path.is_file():
        raise DataError(f"{path}: {'is no file' if path.exists() else 'there is no such file or folder'}")
    if not is_image(path):
        raise DataError(f"{path}: is no image by its name")
    return {strip_suffix(path.name): path}
