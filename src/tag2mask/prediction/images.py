"""The images that files and folders stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tag2mask.data import Sample
from tag2mask.data.folder import find_images, is_image, strip_suffix
from tag2mask.errors import DataError, SettingsError
from tag2mask.urls import is_view


def found_samples(images: Sequence[Path]) -> list[Sample]:
    """Return the images of files and folders, each named by its path relative to the given folder.

    Raises:
        SettingsError: nothing is given.
        DataError: a path does not exist or is not an image, a folder holds no images, or two images share a name.
    """
    if not images:
        raise SettingsError("no images: name files or a folder, or a split of the run's data with --split NAME")
    found: dict[str, Path] = {}
    for path in images:
        for name, image in named_images(path).items():
            if name in found:
                raise DataError(f"{image}: {found[name]} has the same name; masks are named after images")
            found[name] = image
    return [Sample(name, image) for name, image in found.items()]


def named_images(path: Path) -> dict[str, Path]:
    """Return the images of a file or folder by name."""
    if path.is_dir():
        if all((path / name).is_dir() for name in ("images", "masks")):
            raise DataError(f"{path}: is a data folder, whose masks are images too; give {path / 'images'}")
        images = find_images(path)
        if not images:
            raise DataError(f"{path}: holds no image")
        return images
    if not path.is_file() and not (is_view(path) and path.is_symlink()):  # images at URLs are fetched when read
        raise DataError(
            f"{path}: {'is not a file' if path.exists() else 'does not exist'}; give image files or folders of images"
        )
    if not is_image(path):
        raise DataError(f"{path}: does not have the suffix of an image")
    return {strip_suffix(path.name): path}
