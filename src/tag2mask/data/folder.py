"""A user's own folder.

::

    images/NAME.jpg     photographs; sub-folders are fine
    labels.csv          image,labels      cat_1.jpg,cat;sofa
    classes.txt         one class a line; a first line "background" says that there is one
    splits/train.txt    names, one a line; optional
    masks/NAME.png      truth, for scoring only; optional

or, without ``labels.csv``, a folder of photographs per class: ``cat/1.jpg``, ``dog/2.jpg``.
"""

from __future__ import annotations

from pathlib import Path

from tag2mask.data.classes import Classes
from tag2mask.data.sample import Sample
from tag2mask.data.samples import ListDataset
from tag2mask.data.settings import DataSettings
from tag2mask.data.tags_table import TagRow, read_tag_rows, tag_index
from tag2mask.errors import DataError, SplitMissingError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".npy"})
BACKGROUND = "background"
ALL = "all"


def open_folder(root: Path, settings: DataSettings, split: str | None = None) -> ListDataset:
    """The photographs of ``split``, or all of them (None or ``all``).

    Raises:
        DataError: the folder, a list, a table or a photograph is missing or cannot be used.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; give the one that holds images/ and {settings.labels}")
    if not (root / settings.labels).exists() and not (root / "images").exists():
        return open_class_folders(root, split)
    table = root / settings.labels
    rows = read_tag_rows(table)
    classes = read_classes(root / settings.classes, rows)
    tags = {strip_suffix(row.image): row_tags(table, row, classes) for row in rows}
    images = find_images(root / "images")
    missing = [row for row in rows if strip_suffix(row.image) not in images]
    if missing:
        raise DataError(
            f"{table}, line {missing[0].line}: {missing[0].image} is not in {root / 'images'}; "
            f"put it there or take the row out ({len(missing)} such rows)"
        )
    names = split_names(root, split, images)
    masks = root / settings.masks
    samples = (Sample(name, images[name], tags.get(name), truth_of(masks, name)) for name in names)
    return ListDataset(classes, tuple(samples))


def open_class_folders(root: Path, split: str | None) -> ListDataset:
    """A folder per class, ``ROOT/CLASS`` or ``ROOT/SPLIT/CLASS``; a photograph's tag is its folder's name."""
    base = root / split if split not in (None, ALL) else root
    if not base.is_dir():
        raise SplitMissingError(
            f"{base}: there is no such folder; a split of class folders is a folder {root}/SPLIT/CLASS"
        )
    folders = sorted(path for path in base.iterdir() if path.is_dir() and find_images(path))
    if not folders:
        raise DataError(f"{root}: holds neither labels.csv nor class folders with photographs")
    classes = Classes(tuple(path.name for path in folders))
    samples = [
        Sample(f"{folder.name}/{name}", image, (index,))
        for index, folder in enumerate(folders)
        for name, image in find_images(folder).items()
    ]
    return ListDataset(classes, tuple(samples))


def read_classes(path: Path, rows: list[TagRow]) -> Classes:
    """The classes of ``classes.txt``, or without that file the tags in use, sorted."""
    if not path.exists():
        return Classes(tuple(sorted({tag for row in rows for tag in row.tags})))
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{path}: {repeated[0]} stands there twice; a class has one line")
    if names[:1] == [BACKGROUND]:
        names = names[1:]
        return require_some(path, Classes(tuple(names), BACKGROUND))
    return require_some(path, Classes(tuple(names)))


def require_some(path: Path, classes: Classes) -> Classes:
    """At least one class."""
    if not classes.names:
        raise DataError(f"{path}: names no class; write one class a line")
    return classes


def row_tags(table: Path, row: TagRow, classes: Classes) -> tuple[int, ...]:
    """The tags of a row as indices."""
    where = f"{table}, line {row.line}"
    return tuple(tag_index(tag, classes.names, where) for tag in row.tags)


def find_images(folder: Path) -> dict[str, Path]:
    """All photographs below a folder by name: the path from it, without suffix."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; put the photographs there")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            name = strip_suffix(path.relative_to(folder).as_posix())
            if name in found:
                raise DataError(f"{path}: {found[name].name} has the same name; masks are named after photographs")
            found[name] = path
    return found


def strip_suffix(name: str) -> str:
    """A photograph's name without the suffix of an image file; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def split_names(root: Path, split: str | None, images: dict[str, Path]) -> list[str]:
    """Names of a split in the list's order; all photographs without a split, or where there are no lists for train."""
    if split in (None, ALL):
        return list(images)
    path = root / "splits" / f"{split}.txt"
    if not path.exists():
        there = sorted(other.stem for other in (root / "splits").glob("*.txt"))
        if not there and split == "train":
            return list(images)
        raise SplitMissingError(
            f"{path}: there is no such split; {'there are ' + ', '.join(there) if there else 'use all'}"
        )
    names = []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        name = strip_suffix(text.strip())
        if not name:
            continue
        if name not in images:
            raise DataError(f"{path}, line {line}: {name} is not in {root / 'images'}")
        names.append(name)
    if not names:
        raise DataError(f"{path}: is empty; write one name a line")
    return names


def truth_of(masks: Path, name: str) -> Path | None:
    """The photograph's truth mask, if there is one."""
    path = masks / f"{name}.png"
    return path if path.exists() else None
