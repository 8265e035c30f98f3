"""Looking a folder over before anybody trains on it.

``check`` reads every file once and collects what is wrong instead of stopping at the first.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tag2mask.data.classes import Classes
from tag2mask.data.folder import ALL, find_images, open_folder, read_classes, strip_suffix
from tag2mask.data.reading import read_image, read_mask
from tag2mask.data.sample import Sample
from tag2mask.data.settings import DataSettings
from tag2mask.data.tags_table import TagRow, read_tag_rows, tag_index
from tag2mask.errors import DataError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; an ``error`` stops training, a ``warning`` does not."""

    severity: Literal["error", "warning"]
    message: str


@dataclass
class CheckReport:
    """What a data set holds and what is wrong with it."""

    photographs: int = 0
    classes: tuple[str, ...] = ()
    background: str | None = None
    splits: dict[str, int] = field(default_factory=dict)
    tagged: int = 0
    tags_per_image: dict[int, int] = field(default_factory=dict)
    images_per_class: dict[str, int] = field(default_factory=dict)
    masks: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def fatal(self) -> bool:
        """Whether training could not work."""
        return any(problem.severity == "error" for problem in self.problems)

    def error(self, message: str) -> None:
        """Note what stops training."""
        self.problems.append(Problem("error", message))

    def warn(self, message: str) -> None:
        """Note what is odd."""
        self.problems.append(Problem("warning", message))

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "fatal": self.fatal}


def check(root: Path, settings: DataSettings, tick: Callable[[], None] = lambda: None) -> CheckReport:
    """Look over a folder; ``tick`` is called after each photograph."""
    report = CheckReport()
    try:
        samples, classes = collect(root, settings, report)
    except DataError as error:
        report.error(str(error))
        return report
    report.photographs, report.classes, report.background = len(samples), classes.names, classes.background
    count_tags(samples, classes, report)
    check_splits(root, {sample.name: sample.image for sample in samples}, report)
    check_files(samples, classes, settings, report, tick)
    return report


def collect(root: Path, settings: DataSettings, report: CheckReport) -> tuple[list[Sample], Classes]:
    """All photographs with the tags that are known to be good; rows that are not are noted.

    Raises:
        DataError: there is nothing to look over.
    """
    table = root / settings.labels
    if not table.exists() and not (root / "images").exists():
        dataset = open_folder(root, settings, ALL)
        return list(dataset), dataset.classes
    rows = read_tag_rows(table)
    classes = read_classes(root / settings.classes, rows)
    images = find_images(root / "images")
    tags: dict[str, tuple[int, ...]] = {}
    for row in rows:
        name = strip_suffix(row.image)
        if name not in images:
            report.error(f"{table}, line {row.line}: {row.image} is not in {root / 'images'}")
        tags[name] = known_tags(table, row, classes, report)
    masks = root / settings.masks
    samples = [
        Sample(name, path, tags.get(name), mask if (mask := masks / f"{name}.png").exists() else None)
        for name, path in images.items()
    ]
    return samples, classes


def known_tags(table: Path, row: TagRow, classes: Classes, report: CheckReport) -> tuple[int, ...]:
    """The tags of a row that are classes; others are noted."""
    found = []
    for tag in row.tags:
        try:
            found.append(tag_index(tag, classes.names, f"{table}, line {row.line}"))
        except DataError as error:
            report.error(str(error))
    return tuple(found)


def count_tags(samples: Iterable[Sample], classes: Classes, report: CheckReport) -> None:
    """Tags per photograph and photographs per class."""
    tagged = [sample.tags for sample in samples if sample.tags is not None]
    report.tagged = len(tagged)
    report.tags_per_image = dict(sorted(Counter(len(tags) for tags in tagged).items()))
    per_class = Counter(tag for tags in tagged for tag in tags)
    report.images_per_class = {name: per_class[index] for index, name in enumerate(classes.names)}
    if not tagged:
        report.error("no photograph has tags; training learns from tags")
    for name, count in report.images_per_class.items():
        if tagged and count == 0:
            report.warn(f"class {name}: no photograph has this tag, so it cannot be learned")
        elif tagged and count == len(tagged):
            report.warn(f"class {name}: every photograph has this tag, so nothing tells it from its absence")


def check_splits(root: Path, images: dict[str, Path], report: CheckReport) -> None:
    """Lists name photographs that are there, each in one list only."""
    first: dict[str, str] = {}
    for path in sorted((root / "splits").glob("*.txt")):
        names = [strip_suffix(line.strip()) for line in path.read_text(encoding="utf-8").splitlines()]
        report.splits[path.stem] = len([name for name in names if name])
        for line, name in enumerate(names, start=1):
            if not name:
                continue
            if name not in images:
                report.error(f"{path}, line {line}: {name} is not in {root / 'images'}")
            if name in first:
                report.warn(f"{path}, line {line}: {name} is in {first[name]} too")
            first.setdefault(name, path.name)
        if not any(names):
            report.error(f"{path}: is empty; write one name a line")


def check_files(
    samples: Iterable[Sample], classes: Classes, settings: DataSettings, report: CheckReport, tick: Callable[[], None]
) -> None:
    """Every photograph and mask can be read; no photograph is there twice; masks fit."""
    seen: dict[str, str] = {}
    for sample in samples:
        try:
            size = read_image(sample.image, settings.bands).shape[:2]
        except DataError as error:
            report.error(str(error))
            tick()
            continue
        digest = hashlib.sha256(sample.image.read_bytes()).hexdigest()
        if digest in seen:
            report.warn(f"{sample.image}: is the same file as {seen[digest]}")
        seen.setdefault(digest, sample.image.name)
        if sample.truth is not None:
            report.masks += 1
            check_mask(sample.truth, size, classes, report)
        tick()


def check_mask(path: Path, size: tuple[int, ...], classes: Classes, report: CheckReport) -> None:
    """A mask has its photograph's size and no values but the classes' and ignore."""
    try:
        mask = read_mask(path)
    except DataError as error:
        report.warn(str(error))
        return
    if mask.shape != size:
        report.warn(f"{path}: is {mask.shape[1]} x {mask.shape[0]}, its photograph {size[1]} x {size[0]}")
    allowed = {*range(len(classes.pixel_names)), classes.ignore}
    foreign = sorted(set(np.unique(mask).tolist()) - allowed)
    if foreign:
        report.warn(f"{path}: holds {foreign[0]}, which is no class")
