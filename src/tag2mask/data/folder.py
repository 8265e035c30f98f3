"""The ``folder`` form, which every command reads.

::

    images/NAME.jpg     images; sub-folders are allowed
    labels.csv          image,labels      cat_1.jpg,cat;sofa
    classes.txt         one class per line; a first line "background" declares a background
    splits/train.txt    names, one per line; optional
    masks/NAME.png      truth, for scoring only; optional

Without ``labels.csv``, images may be in one folder per class: ``cat/1.jpg``, ``dog/2.jpg``, with the same optional
files. The class folders may be below one folder per split: ``train/cat/1.jpg``, ``val/dog/2.jpg``. An image's name is
then ``train/cat/1``. Split folders may have other usual names, such as ``valid`` for ``val``: see ``SPLITS``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from tag2mask.data.classes import Classes, parse_classes
from tag2mask.data.layouts import refuse_foreign
from tag2mask.data.sample import Sample
from tag2mask.data.samples import ListDataset
from tag2mask.data.settings import DataSettings
from tag2mask.data.tags_table import (
    TagRow,
    TagTable,
    indices,
    not_utf8,
    read_tag_table,
    repeated_rows,
    tag_index,
)
from tag2mask.errors import DataError, SplitMissingError
from tag2mask.files import regular
from tag2mask.names import split_name
from tag2mask.shown import counted

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".npy"})
OTHER_SUFFIXES = frozenset(  # image formats that are not read
    {".gif", ".heic", ".heif", ".avif", ".jfif", ".jpe", ".jp2", ".j2k", ".jxl", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"}
    | {".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw"}
)
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
SPLITS |= {"test": "test", "testing": "test"}
ALL = "all"


def open_folder(root: Path, settings: DataSettings, split: str | None = None) -> ListDataset:
    """Open the images of ``split``, or all images (None or ``all``).

    Raises:
        DataError: the folder, a list, a table or an image is missing or cannot be used.
    """
    require_root(root, settings)
    if is_class_folders(root, settings):
        return open_class_folders(root, settings, split)
    path = root / settings.labels
    table = read_tag_table(path)
    classes = read_classes(root / settings.classes, table.tags)
    images = find_images(root / "images")
    tags = read_tags(root, path, table, classes, images)
    names = split_names(root, split, images)
    masks = root / settings.masks
    samples = (Sample(name, images[name], tags.get(name), truth_of(masks, name)) for name in names)
    return ListDataset(classes, tuple(samples))


def require_root(root: Path, settings: DataSettings) -> None:
    """Check that the folder exists and is not in a layout that only ``prepare`` reads."""
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "the folder does not exist"
        raise DataError(f"{root}: {what}; give the one that holds images/ and {settings.labels}")
    if not (root / settings.labels).exists():
        refuse_foreign(root, settings.classes)


def is_class_folders(root: Path, settings: DataSettings) -> bool:
    """Whether the images are in one folder per class."""
    return not (root / settings.labels).exists() and not (root / "images").exists()


def open_class_folders(root: Path, settings: DataSettings, split: str | None) -> ListDataset:
    """Open class folders, ``ROOT/CLASS`` or ``ROOT/SPLIT/CLASS``; an image's tag is its folder's name."""
    splits = split_folders(root, settings)
    folders = [inner for outer in splits.values() or [root] for inner in folders_of_images(outer, settings.masks)]
    if not folders:
        raise DataError(
            f"{root}: holds neither {settings.labels} nor class folders with images; put the images in images/ and "
            f"their tags in {settings.labels}, or one folder of images per class"
        )
    classes = read_classes(root / settings.classes, sorted({folder.name for folder in folders}))
    images, tags = {}, {}
    index = indices(classes.names)
    for folder in folders:
        tag = tag_index(folder.name, index, f"{folder}")
        for name, image in find_images(folder).items():
            whole = f"{folder.relative_to(root).as_posix()}/{name}"
            images[whole], tags[whole] = image, (tag,)
    names = names_below(root, split, images, splits) if splits else split_names(root, split, images)
    masks = root / settings.masks
    return ListDataset(classes, tuple(Sample(name, images[name], tags[name], truth_of(masks, name)) for name in names))


def images_folder(root: Path) -> Path:
    """Return the folder that image names are relative to: ``images``, which may be missing, or ``root``."""
    return root if is_class_folders(root, DataSettings()) else root / "images"


def require_outside(out: Path, images: Path) -> None:
    """Check that ``out`` is not inside ``images``: files written there would be read as images.

    Raises:
        DataError: it is.
    """
    if out.resolve().is_relative_to(images.resolve()):
        raise DataError(f"--out {out} is inside {images}, where files are read as images; choose a folder outside it")


def folders_of_images(root: Path, *others: str) -> list[Path]:
    """Return the folders in ``root`` with images anywhere below, except ``others`` and hidden ones."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [path for path in folders if path.name not in others and find_images(path)]


def split_called(name: str) -> str:
    """Return the standard name of a split: ``val`` for ``valid``; unknown names stay."""
    return SPLITS.get(name.lower(), name)


def split_folders(root: Path, settings: DataSettings) -> dict[str, Path]:
    """Return the folders by split if all folders with images are named like splits; empty if they are classes.

    One folder named like a split among other folders is a class, and so are folders in the list of classes.

    Raises:
        DataError: it is unclear which they are, or images of a split are not in class folders.
    """
    if not is_class_folders(root, settings):
        return {}
    folders = folders_of_images(root, settings.masks)
    splits = [folder for folder in folders if folder.name.lower() in SPLITS]
    known = read_lines(root / settings.classes) if (root / settings.classes).exists() else []
    if not splits or (len(splits) == 1 and len(folders) > 1) or all(folder.name in known for folder in splits):
        return {}
    others = [folder.name for folder in folders if folder not in splits]
    names = ", ".join(folder.name for folder in splits)
    if others:
        raise DataError(
            f"{root}: {names} are named like splits, but {', '.join(others[:3])} are not; remove one kind of folder, "
            f"or list them all in {settings.classes} if they are classes"
        )
    for folder in splits:
        require_class_folders(folder)
    found = {split_called(folder.name): folder for folder in splits}
    if len(found) < len(splits):
        raise DataError(f"{root}: two of {names} are the same split; merge their class folders")
    return found


def require_class_folders(split: Path) -> None:
    """Check that all images of a split are in class folders.

    Raises:
        DataError: they are not.
    """
    stray = next((path for path in sorted(split.iterdir()) if path.is_file() and is_image(path)), None)
    if stray is None:
        return
    if folders_of_images(split):
        raise DataError(f"{stray}: is beside the class folders of a split; move it into one of them or remove it")
    raise DataError(
        f"{split}: is named like a split and holds images, but no class folders; sort the images into class folders, "
        "or put them into images/ and write a table labels.csv: image,labels"
    )


def names_below(root: Path, split: str | None, images: Iterable[str], folders: Mapping[str, Path]) -> list[str]:
    """Return the names of the images below a split's folder."""
    if split in (None, ALL):
        return list(images)
    if split not in folders:
        raise SplitMissingError(f"{root / str(split)}: the split does not exist; there are {', '.join(folders)}")
    return [name for name in images if name.startswith(f"{folders[split].name}/")]


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without surrounding white space.

    Raises:
        DataError: it is not UTF-8 or cannot be read.
    """
    try:
        return [line.strip() for line in regular(path).read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise not_utf8(path) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def read_classes(path: Path, tags: Sequence[str]) -> Classes:
    """Return the classes of ``classes.txt``; without that file, ``tags`` are the classes.

    Raises:
        DataError: the settings name another file that is missing, or the list cannot be used.
    """
    if not path.exists():
        if path.name != DataSettings().classes:
            raise DataError(f"{path}: the list of classes is missing; write one class per line, or name another file")
        if not tags:
            raise DataError(f"{path}: names no class; write one class per line")
        return Classes(tuple(tags))
    return parse_classes([line for line in read_lines(path) if line], path)


def read_tags(
    root: Path, path: Path, table: TagTable, classes: Classes, images: dict[str, Path]
) -> dict[str, tuple[int, ...]]:
    """Return the tags by image name.

    Raises:
        DataError: a tag or column is unknown, an image is missing, or an image has two rows.
    """
    index = indices(classes.names)
    for column in table.columns or ():
        tag_index(column, index, f"{path}, line 1")
    tags = {strip_suffix(row.image): row_tags(path, row, index) for row in table.rows}
    for _, problem in repeated_rows(path, ((strip_suffix(row.image), row) for row in table.rows)):
        raise DataError(problem)
    missing = [row for row in table.rows if strip_suffix(row.image) not in images]
    if missing:
        raise DataError(
            f"{path}, line {missing[0].line}: {missing[0].image} is not in {root / 'images'}; "
            f"put it there or remove the row ({counted(len(missing), 'such row')})"
        )
    return tags


def row_tags(table: Path, row: TagRow, index: Mapping[str, int]) -> tuple[int, ...]:
    """Return the tags of a row as indices."""
    where = f"{table}, line {row.line}"
    return tuple(tag_index(tag, index, where) for tag in row.tags)


def find_images(folder: Path) -> dict[str, Path]:
    """Return all images below a folder by name (relative path without suffix): broken links too, hidden ones not."""
    if not folder.is_dir():
        raise DataError(f"{folder}: the folder does not exist; put the images there")
    found: dict[str, Path] = {}
    for path in sorted(folder / file for file in files_below(folder)):
        if is_image(path):
            name = strip_suffix(path.relative_to(folder).as_posix())
            if name in found:
                raise DataError(
                    f"{path}: {found[name].name} has the same name, and masks are named after images; rename one"
                )
            found[name] = path
    return found


def passed_over(folder: Path) -> list[str]:
    """Return messages about ignored entries below a folder: images of unsupported formats, and non-files."""
    no_files: list[str] = []
    return of_other_kinds(folder, files_below(folder, no_files)) + called_like_images(folder, no_files)


def called_like_images(folder: Path, no_files: Sequence[str]) -> list[str]:
    """Return a message about the ``no_files`` that are named like images; empty if there are none."""
    found = [name for name in no_files if is_image(PurePath(name))]
    if not found:
        return []
    return [f"{folder}: {len(found)} entries are named like images but are not files, {found[0]} first; remove them"]


def of_other_kinds(folder: Path, files: Iterable[str]) -> list[str]:
    """Return a message about the ``files`` below a folder that are images of unsupported formats; empty if none."""
    suffixes = (PurePath(file).suffix.lower() for file in files)
    counts = Counter(suffix for suffix in suffixes if suffix in OTHER_SUFFIXES)
    if not counts:
        return []
    kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(counts.items()))
    return [
        f"{folder}: not read: {counted(counts.total(), 'image')} of unsupported formats ({kinds}); "
        "save them as .png or .jpg"
    ]


def files_below(folder: Path, no_files: list[str] | None = None, inner: str = "") -> Iterator[str]:
    """Yield the relative paths of all files below a folder, broken links included, hidden files and folders excluded.

    Folders, pipes, sockets and devices are added to ``no_files``.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: (entry.is_dir(follow_symlinks=False), entry.name))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        name, path = f"{inner}{entry.name}", Path(entry)
        if (path.is_file() or not path.exists()) if entry.is_symlink() else entry.is_file():
            yield name
        elif no_files is not None:
            no_files.append(name)
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry), no_files, f"{name}/")


def is_image(path: PurePath) -> bool:
    """Whether a file name is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def strip_suffix(name: str) -> str:
    """Return a name without the suffix of an image file; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def split_names(root: Path, split: str | None, images: Collection[str]) -> list[str]:
    """Return a split's names in list order; all images if no split is given, or for train if there are no lists."""
    if split in (None, ALL):
        return list(images)
    path = root / "splits" / f"{split_name(str(split), root / 'splits')}.txt"
    if not path.exists():
        there = sorted(other.stem for other in (root / "splits").glob("*.txt"))
        if not there and split == "train":
            return list(images)
        raise SplitMissingError(
            f"{path}: the split does not exist; {'there are ' + ', '.join(there) if there else 'use all'}"
        )
    names = []
    for line, text in enumerate(read_lines(path), start=1):
        if not text:
            continue
        name = listed_name(text, images)
        if name not in images:
            raise DataError(f"{path}, line {line}: {name} is not in {root}; put the image there or remove the line")
        names.append(name)
    if not names:
        raise DataError(f"{path}: is empty; write one name per line")
    return names


def listed_name(text: str, images: Container[str]) -> str:
    """Return the name of an image that a list gives with or without its suffix."""
    return text if text in images else strip_suffix(text)


def truth_of(masks: Path, name: str) -> Path | None:
    """Return the path of the image's truth mask, or None."""
    path = masks / f"{name}.png"
    return path if path.exists() else None
