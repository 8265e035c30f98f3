"""Check a folder before training on it.

``check`` reads every file once and collects all problems instead of stopping at the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tag2mask.data.cache import file_sha256
from tag2mask.data.check.report import CheckReport
from tag2mask.data.classes import BACKGROUND, Classes
from tag2mask.data.folder import (
    ALL,
    find_images,
    images_folder,
    is_class_folders,
    is_image,
    listed_name,
    open_folder,
    passed_over,
    read_classes,
    read_lines,
    require_root,
    split_folders,
    strip_suffix,
    truth_of,
)
from tag2mask.data.reading import read_image, read_mask, require_scale
from tag2mask.data.sample import Sample
from tag2mask.data.settings import DataSettings
from tag2mask.data.tags_table import indices, read_tag_table, repeated_rows, unknown_tags
from tag2mask.data.together import Company
from tag2mask.errors import DataError
from tag2mask.names import split_name
from tag2mask.shown import counted

GROUPS_NAMED = 10  # groups of classes that always occur together; further ones are only counted


def check(root: Path, settings: DataSettings, tick: Callable[[], None] = lambda: None) -> CheckReport:
    """Check a folder; ``tick`` is called after each image.

    Raises:
        DataError: the folder does not exist.
        SettingsError: the data set's ``dataset.yaml`` cannot be used.
    """
    report = CheckReport()
    require_root(root, settings)
    settings = settings.completed(root)
    try:
        samples, classes = collect_samples(root, settings, report)
    except DataError as error:
        report.error(str(error))
        return report
    report.images, report.classes, report.background = len(samples), classes.names, classes.background
    count_tags(samples, classes, report)
    split_of = check_splits(root, settings, [sample.name for sample in samples], report)
    count_training(samples, split_of, report)
    check_files(samples, split_of, classes, settings, report, tick)
    for message in passed_over(images_folder(root)):
        report.warn(message)
    if is_class_folders(root, settings):
        check_strays(root, report)
    check_orphans(root / settings.masks, {sample.name for sample in samples}, report)
    return report


def collect_samples(root: Path, settings: DataSettings, report: CheckReport) -> tuple[list[Sample], Classes]:
    """Return all images with their valid tags, and the classes; invalid rows are reported.

    Raises:
        DataError: there is nothing to check.
    """
    if is_class_folders(root, settings):
        dataset = open_folder(root, settings, ALL)
        return list(dataset), dataset.classes
    path = root / settings.labels
    table = read_tag_table(path)
    classes = read_classes(root / settings.classes, table.tags)
    images = find_images(root / "images")
    tags: dict[str, tuple[int, ...]] = {}
    index = indices(classes.names)
    first_line = dict.fromkeys(table.columns or (), 1)
    for row in table.rows:
        name = strip_suffix(row.image)
        if name not in images:
            report.error(
                f"{path}, line {row.line}: {row.image} is not in {root / 'images'}; put it there or remove the row",
                row.image,
            )
        tags[name] = tuple(index[tag] for tag in row.tags if tag in index)
        for tag in row.tags:
            first_line.setdefault(tag, row.line)
    for image, problem in repeated_rows(path, ((strip_suffix(row.image), row) for row in table.rows)):
        report.error(problem, image)
    for problem in unknown_tags(path, first_line, index):
        report.error(problem)
    masks = root / settings.masks
    samples = [Sample(name, image, tags.get(name), truth_of(masks, name)) for name, image in images.items()]
    return samples, classes


def count_tags(samples: Iterable[Sample], classes: Classes, report: CheckReport) -> None:
    """Count tags per image and images per class."""
    tagged = [sample.tags for sample in samples if sample.tags is not None]
    report.tagged = len(tagged)
    report.tags_per_image = dict(sorted(Counter(len(tags) for tags in tagged).items()))
    per_class = Counter(tag for tags in tagged for tag in tags)
    report.images_per_class = {name: per_class[index] for index, name in enumerate(classes.names)}
    company = Company()
    for tags in tagged:
        company.add(classes.names[tag] for tag in tags)
    check_class_counts(report)
    check_company(company, report)


def check_class_counts(report: CheckReport) -> None:
    """Check that every class is present in some images and absent from others."""
    if not report.tagged:
        report.error("no image has tags; training needs tags")
    elif not any(report.images_per_class.values()):
        report.error("no image has the tag of any class: all lists of tags are empty; training needs tags")
        return
    if BACKGROUND in report.classes:
        report.warn(
            f"class {BACKGROUND} is treated like any other class; if it means no class, put it first in classes.txt"
        )
    for name, count in report.images_per_class.items():
        if report.tagged and count == 0:
            report.warn(f"class {name}: no image has this tag, so it cannot be learned")
        elif report.tagged and count == report.tagged:
            report.warn(f"class {name}: every image has this tag, so the class has no negative examples")


def check_company(company: Company, report: CheckReport) -> None:
    """Report classes that always occur together, except those in every image, which are reported already."""
    groups = [(names, count) for names, count in company.groups(report.classes) if count < report.tagged]
    report.always_together = [names for names, _ in groups]
    for names, count in groups[:GROUPS_NAMED]:
        report.warn(
            f"classes {', '.join(names)}: always occur together ({counted(count, 'image')}), so they cannot be told "
            "apart; add images that have only one of them, or merge them into one class"
        )
    if groups[GROUPS_NAMED:]:
        report.warn(f"{len(groups) - GROUPS_NAMED} more groups of classes always occur together; --json lists them")


def check_splits(root: Path, settings: DataSettings, images: Iterable[str], report: CheckReport) -> dict[str, str]:
    """Check that split lists name existing images, each in one list only; return the split of each image."""
    split_of: dict[str, str] = {}
    repeated: dict[tuple[Path, str], list[str]] = {}
    folders = split_folders(root, settings)
    if folders:
        called = {folder.name: split for split, folder in folders.items()}
        split_of = {name: called[name.partition("/")[0]] for name in images}
        report.splits = dict(Counter(split_of.values()))
        return split_of
    known = set(images)
    for path in sorted((root / "splits").glob("*.txt")):
        try:
            split_name(path.stem, path)
            lines = [(line, listed_name(text, known)) for line, text in enumerate(read_lines(path), start=1) if text]
        except DataError as error:
            report.error(str(error))
            report.splits[path.stem] = 0
            continue
        report.splits[path.stem] = len(lines)
        for line, name in lines:
            if name not in known:
                report.error(f"{path}, line {line}: {name} is not in {root}; put it there or remove the line", name)
            if name in split_of:
                repeated.setdefault((path, split_of[name]), []).append(f"line {line}: {name}")
            split_of.setdefault(name, path.stem)
        if not lines:
            report.error(f"{path}: is empty; write one name per line")
    for (path, other), lines_of in repeated.items():
        report.warn(f"{path}, {lines_of[0]} is also in {other}.txt; remove one line ({len(lines_of)} such lines)")
    return split_of


def count_training(samples: Sequence[Sample], split_of: Mapping[str, str], report: CheckReport) -> None:
    """Check that the images of the split ``train`` have tags."""
    training = [sample for sample in samples if split_of.get(sample.name) == "train"]
    untagged = [sample.name for sample in training if sample.tags is None]
    if untagged and len(untagged) == len(training):
        report.error("no image of split train has tags; training needs tags")
    elif untagged:
        report.warn(f"not used: {counted(len(untagged), 'image')} of split train without tags, {untagged[0]} first")
    validation = [sample for sample in samples if split_of.get(sample.name) == "val"]
    if validation and all(sample.tags is None for sample in validation):
        report.warn("no image of split val has tags, so the last epoch is kept instead of the best")
    if report.splits and "train" not in report.splits:
        report.warn(f"there is no split train; train with --split {next(iter(report.splits))} or --split all")


def check_files(
    samples: Iterable[Sample],
    split_of: Mapping[str, str],
    classes: Classes,
    settings: DataSettings,
    report: CheckReport,
    tick: Callable[[], None],
) -> None:
    """Check that every image and mask can be read, that no image occurs twice, and that masks fit their images."""
    seen: dict[str, Sample] = {}
    for sample in samples:
        try:
            pixels = read_image(sample.image, settings.bands)
            require_scale(sample.image, pixels, settings)
            other = seen.setdefault(file_sha256(sample.image), sample)
        except DataError as error:
            report.error(str(error), sample.name)
            tick()
            continue
        if other is not sample:
            check_twins(sample, other, split_of, report)
        if sample.truth is not None:
            report.masks += 1
            check_mask(sample.name, sample.truth, pixels.shape[:2], classes, report)
        tick()


def check_twins(sample: Sample, other: Sample, split_of: Mapping[str, str], report: CheckReport) -> None:
    """Report two images with the same content, and whether they are in different splits or have different tags."""
    message = f"{sample.image}: has the same content as {other.image}"
    ours, theirs = split_of.get(sample.name), split_of.get(other.name)
    if ours != theirs and ours and theirs:
        message += f", one in split {ours}, one in split {theirs} (splits must not share images)"
    if sample.tags is not None and other.tags is not None and set(sample.tags) != set(other.tags):
        message += ", but different tags"
    report.warn(f"{message}; delete one", sample.name, other.name)


def check_strays(root: Path, report: CheckReport) -> None:
    """Report images beside the class folders, which are not read."""
    strays = sorted(path.name for path in root.iterdir() if path.is_file() and is_image(path))
    if strays:
        report.warn(
            f"{root}: not read: {counted(len(strays), 'image')} beside the class folders, {strays[0]} first; "
            "move each into a class folder"
        )


def check_orphans(masks: Path, names: set[str], report: CheckReport) -> None:
    """Report truth masks without an image."""
    if not masks.is_dir():
        return
    found = [path.relative_to(masks).as_posix() for path in sorted(masks.rglob("*.png"))]
    orphans = [name for name in found if strip_suffix(name) not in names]
    if orphans:
        report.warn(
            f"{masks}: {counted(len(orphans), 'mask')} without an image of the same name, {orphans[0]} first; "
            "rename them"
        )


def check_mask(name: str, path: Path, size: tuple[int, ...], classes: Classes, report: CheckReport) -> None:
    """Check that a mask has its image's size and holds only pixel values of classes and ignore."""
    try:
        mask = read_mask(path)
    except DataError as error:
        report.warn(str(error), name)
        return
    if mask.shape != size:
        report.warn(
            f"{path}: is {mask.shape[1]} x {mask.shape[0]}, but its image is {size[1]} x {size[0]}; "
            "give both the same size",
            name,
        )
    foreign = np.unique(classes.foreign(mask))
    if foreign.size:
        report.warn(
            f"{path}: holds the value {foreign[0]}, which is no class; classes are numbered from 0 in the order of "
            f"classes.txt, and {classes.ignore} means ignore",
            name,
        )
