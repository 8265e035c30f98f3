"""Quick check of a folder of any size: table, classes, split lists and file names. No image is opened.

Memory holds only a name and a few bits per image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tag2mask.data.check.folder import check_class_counts, check_company
from tag2mask.data.check.report import CheckReport
from tag2mask.data.folder import (
    called_like_images,
    files_below,
    listed_name,
    of_other_kinds,
    read_classes,
    read_lines,
    require_root,
    strip_suffix,
)
from tag2mask.data.settings import DataSettings
from tag2mask.data.tags_table import indices, open_table, unknown_tags
from tag2mask.data.together import Company
from tag2mask.errors import DataError
from tag2mask.names import split_name
from tag2mask.shown import counted

TAGGED, THERE, IN_LISTS = 1, 2, 4  # the bits; each split list has its own bit, from IN_LISTS up
EVERY = 1000  # rows or files between two calls of tick


def check_names(root: Path, settings: DataSettings, tick: Callable[[int], None] = lambda count: None) -> CheckReport:
    """Check a folder with a table of tags; ``tick`` is called with the number of rows or files since the last call.

    Raises:
        DataError: the folder does not exist.
        SettingsError: the data set's ``dataset.yaml`` cannot be used.
    """
    report = CheckReport()
    require_root(root, settings)
    settings = settings.completed(root)
    bits: dict[str, int] = {}
    try:
        company = Company()
        per_tag, first_line, columns = count_rows(root / settings.labels, bits, company, report, tick)
        classes = read_classes(root / settings.classes, columns or sorted(per_tag))
        find_names(root / "images", bits, report, tick)
    except DataError as error:
        report.error(str(error))
        return report
    report.classes, report.background = classes.names, classes.background
    for problem in unknown_tags(
        root / settings.labels, dict.fromkeys(columns or (), 1) | first_line, indices(classes.names)
    ):
        report.error(problem)
    report.images_per_class = {name: per_tag[name] for name in classes.names}
    check_class_counts(report)
    check_company(company, report)
    report.images = sum(value & THERE > 0 for value in bits.values())
    missing = [name for name, value in bits.items() if not value & THERE]
    if missing:
        report.error(
            f"{root / settings.labels}: the images of {len(missing)} rows are not in {root / 'images'}, "
            f"{missing[0]} first"
        )
    check_lists(root / "splits", bits, report)
    report.masks = sum(1 for _ in files_below(root / settings.masks))
    return report


def count_rows(
    path: Path, bits: dict[str, int], company: Company, report: CheckReport, tick: Callable[[int], None]
) -> tuple[Counter[str], dict[str, int], tuple[str, ...] | None]:
    """Return the images per tag, the line where each tag occurs first, and the 0/1 columns if there are any."""
    per_tag: Counter[str] = Counter()
    first_line: dict[str, int] = {}
    sizes: Counter[int] = Counter()
    repeated = 0
    with open_table(path) as (columns, rows):
        for row in rows:
            name = strip_suffix(row.image)
            if name in bits:
                repeated += 1
                if repeated == 1:
                    report.error(f"{path}, line {row.line}: {row.image} has a row already; remove one")
            bits[name] = TAGGED
            sizes[len(row.tags)] += 1
            per_tag.update(row.tags)
            company.add(row.tags)
            for tag in row.tags:
                first_line.setdefault(tag, row.line)
            if row.line % EVERY == 0:
                tick(EVERY)
    if repeated > 1:
        report.error(f"{path}: {repeated} rows repeat an image of an earlier row")
    if not bits:
        raise DataError(f"{path}: has no rows; write one row per image: image,labels")
    report.tagged, report.tags_per_image = len(bits), dict(sorted(sizes.items()))
    return per_tag, first_line, columns


def find_names(folder: Path, bits: dict[str, int], report: CheckReport, tick: Callable[[int], None]) -> None:
    """Mark the images that exist."""
    if not folder.is_dir():
        raise DataError(f"{folder}: the folder does not exist; put the images there")
    others: list[str] = []
    no_files: list[str] = []
    for number, file in enumerate(files_below(folder, no_files), start=1):
        name = strip_suffix(file)
        if name == file:  # not an image
            others.append(file)
            continue
        if bits.get(name, 0) & THERE:
            report.error(f"{folder / file}: another image has the same name; masks are named after images")
        bits[name] = bits.get(name, 0) | THERE
        if number % EVERY == 0:
            tick(EVERY)
    for message in of_other_kinds(folder, others) + called_like_images(folder, no_files):
        report.warn(message)


def check_lists(folder: Path, bits: dict[str, int], report: CheckReport) -> None:
    """Check that split lists name existing images, each in one list only, and that those of ``train`` have tags."""
    bit_of: dict[str, int] = {}
    for path in sorted(folder.glob("*.txt")):
        bit = bit_of[path.stem] = IN_LISTS << len(bit_of)
        unknown, repeated, names, untagged = [], [], 0, 0
        try:
            split_name(path.stem, path)
            lines = read_lines(path)
        except DataError as error:
            report.error(str(error))
            report.splits[path.stem] = 0
            continue
        for name in (listed_name(line, bits) for line in lines if line):
            names += 1
            known = bits.get(name, 0)
            if not known & THERE:
                unknown.append(name)
                continue
            untagged += not known & TAGGED
            if known >= IN_LISTS:
                repeated.append(name)
            bits[name] = known | bit
        report.splits[path.stem] = names
        if unknown:
            report.error(f"{path}: {len(unknown)} names have no image, {unknown[0]} first")
        if repeated:
            report.warn(f"{path}: {len(repeated)} names are listed twice or in another list, {repeated[0]} first")
        if path.stem == "train" and untagged:
            report.warn(f"not used: {counted(untagged, 'image')} of split train without tags")
        if not names:
            report.error(f"{path}: is empty; write one name per line")
