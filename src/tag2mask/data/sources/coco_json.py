"""Your own data: images with COCO-format JSON, one file or one per split. Layout and choices: coco-json.md."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from tag2mask.data.classes import BACKGROUND, Classes
from tag2mask.data.folder import SPLITS, split_called
from tag2mask.data.sources.coco_file import CocoFile
from tag2mask.data.sources.own import BACKGROUND_LABEL, IGNORE_LABEL, OutlineSettings, read_splits
from tag2mask.data.sources.record import Record, Source, require_layout
from tag2mask.errors import DataError
from tag2mask.names import inside

ALONE, ROBOFLOW = "annotations.json", "_annotations.coco.json"
NO_CLASS = (BACKGROUND_LABEL, BACKGROUND, IGNORE_LABEL)
TRIED = 20  # images searched for in a folder before it is ruled out


class CocoJsonSettings(OutlineSettings):
    """Files and folders below the root: one, or one per split (``annotations.train=FILE``)."""

    annotations: str | dict[str, str] | None = Field(
        None, description="File of outlines, or one file per split [detected]"
    )
    images: str | dict[str, str] | None = Field(
        None, description="Folder of images, or one folder per split [detected]"
    )


@dataclass(frozen=True)
class Part:
    """One file; ``index`` and ``values`` map category ids to class indices and pixel values."""

    file: CocoFile
    folder: Path
    prefix: str
    index: dict[int, int]
    values: dict[int, int]


class CocoJson(Source):
    """The classes are the categories of the files in order; categories with the same name are one class."""

    settings_class = CocoJsonSettings
    settings: CocoJsonSettings
    layout = (
        "ROOT/annotations.json and ROOT/images/ (others with --set annotations=FILE --set images=FOLDER), "
        "or a file per split: --set annotations.train=FILE --set annotations.val=FILE, "
        "or ROOT/train/_annotations.coco.json, ROOT/valid/_annotations.coco.json as exported by Roboflow"
    )

    def __init__(self, root: Path, settings: CocoJsonSettings) -> None:
        self.settings, self.bands = settings, settings.bands
        paths = find_annotations(root, settings)
        require_layout(root, named_places(settings, paths), self.layout)
        files = {prefix: CocoFile(path) for prefix, path in paths.items()}
        names = class_names(files.values())
        self.classes = Classes(names, BACKGROUND if settings.background else None)
        self.parts: dict[str, Part] = {}  # by image
        self.within: dict[str, str] = {}  # names in their file
        splits: dict[str, list[str]] = {}
        for prefix, file in files.items():
            part = self.part(root, prefix, file)
            for within in file.images:
                name = within if not prefix or within.startswith(f"{prefix}/") else f"{prefix}/{within}"
                if name in self.parts:
                    raise DataError(f"{file.path}: {name} is already in {self.parts[name].file.path}")
                self.parts[name], self.within[name] = part, within
                if prefix:
                    splits.setdefault(split_called(prefix), []).append(name)
        self.splits = splits or read_splits(root, self.parts)

    def part(self, root: Path, prefix: str, file: CocoFile) -> Part:
        """Return a file with its folder of images and the meaning of its categories."""
        nothing = 0 if self.classes.background else self.classes.ignore
        other = {BACKGROUND_LABEL: nothing, BACKGROUND: nothing, IGNORE_LABEL: self.classes.ignore}
        known = {name: index for index, name in enumerate(self.classes.names)}
        index = {category: known[name] for category, name in file.categories.items() if name in known}
        values = {category: other[name] for category, name in file.categories.items() if name in other}
        values |= {category: tag + self.classes.offset for category, tag in index.items()}
        return Part(file, find_folder(root, prefix, file, self.settings.images), prefix, index, values)

    def names(self) -> Sequence[str]:
        """Return the images in file order."""
        return list(self.parts)

    def record(self, name: str) -> Record:
        """Return an image; one without objects is a known negative."""
        part, within = self.parts[name], self.within[name]
        drawn = part.file.is_drawn(within)
        truth = (lambda: part.file.draw(within, part.values, self.classes)) if drawn else None
        image = inside(part.folder, part.file.images[within].file.replace("\\", "/"), part.file.path)
        return Record(name, image, part.file.tags(within, part.index), truth)


def find_annotations(root: Path, settings: CocoJsonSettings) -> dict[str, Path]:
    """Return the files by the prefix of their images' names, which is empty for a single file."""
    if isinstance(settings.annotations, dict):
        return {split: root / path for split, path in settings.annotations.items()}
    if settings.annotations is not None:
        return {"": root / settings.annotations}
    for name in (ALONE, ROBOFLOW):
        if (root / name).is_file():
            return {"": root / name}
    below = [path for path in sorted(root.glob(f"*/{ROBOFLOW}")) if path.parent.name.lower() in SPLITS]
    return {path.parent.name: path for path in below} or {"": root / ALONE}


def named_places(settings: CocoJsonSettings, paths: dict[str, Path]) -> list[str]:
    """Return the paths that must exist below the root: all that the settings name, and ALONE if a file is missing."""
    places = [] if all(path.exists() for path in paths.values()) else [ALONE]
    for setting in (settings.annotations, settings.images):
        places = [*(setting.values() if isinstance(setting, dict) else [setting] if setting else []), *places]
    return places


def class_names(files: Iterable[CocoFile]) -> tuple[str, ...]:
    """Return the unique names of the categories, without names for no class and unused supercategories.

    Raises:
        DataError: no name is left.
    """
    files = list(files)
    used = {file.categories[category] for file in files for category in file.used()}
    groups = {group for file in files for group in file.groups} - used
    named = dict.fromkeys(itertools.chain.from_iterable(file.categories.values() for file in files))
    names = tuple(name for name in named if name not in groups and name not in NO_CLASS)
    if not names:
        raise DataError(f"{files[0].path}: names no class, only {', '.join(named)}")
    return names


def find_folder(root: Path, prefix: str, file: CocoFile, images: str | dict[str, str] | None) -> Path:
    """Return the folder of a file's images: the one in the settings, else one that holds any of the first images."""
    if isinstance(images, str):
        return root / images
    if images is not None and prefix in images:
        return root / images[prefix]
    places = [root / "images" / prefix, root / "images", file.path.parent, root / prefix]
    first = [one.file.replace("\\", "/") for one in itertools.islice(file.images.values(), TRIED)]
    return next((place for place in places if any((place / name).is_file() for name in first)), places[0])
