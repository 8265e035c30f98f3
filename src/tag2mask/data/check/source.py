"""Check a data set in its original layout, before ``prepare``."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from tag2mask.data.check.folder import check_twins, count_tags, count_training
from tag2mask.data.check.report import CheckReport
from tag2mask.data.opening import readable
from tag2mask.data.sample import Sample
from tag2mask.data.sources import Source
from tag2mask.errors import DataError
from tag2mask.shown import counted


def check_source(source: Source, tick: Callable[[], None] = lambda: None) -> CheckReport:
    """Read every image and its truth once; ``tick`` is called after each image."""
    report = CheckReport(classes=source.classes.names, background=source.classes.background)
    report.splits = {split: len(names) for split, names in source.splits.items()}
    split_of = {name: split for split, names in source.splits.items() for name in names}
    seen: dict[bytes, Sample] = {}
    samples = []
    for name in source.names():
        try:
            sample, content = check_record(source, name, report)
        except DataError as error:
            report.error(str(error), name)
        else:
            samples.append(sample)
            other = seen.setdefault(content, sample)
            if other is not sample:
                check_twins(sample, other, split_of, report)
        tick()
    report.images = len(samples)
    count_tags(samples, source.classes, report)
    count_training(samples, split_of, report)
    check_overlaps(source, report)
    compare_with_published(source, samples, report)
    return report


def check_record(source: Source, name: str, report: CheckReport) -> tuple[Sample, bytes]:
    """Check one image; return it without its truth, and a hash of its file.

    Raises:
        DataError: the image or its truth cannot be read.
    """
    record = source.record(name)
    size = record.pixels(source.bands).shape[:2]
    if record.truth is not None:
        labels = record.truth()
        report.masks += 1
        if labels.shape != size:
            of_truth = f"{labels.shape[1]} x {labels.shape[0]}"
            report.error(
                f"{record.image}: is {size[1]} x {size[0]}, but its truth is {of_truth}; give both the same size", name
            )
    with readable(record.image):
        return Sample(name, record.image, record.tags), hashlib.sha256(record.encoded()).digest()


def check_overlaps(source: Source, report: CheckReport) -> None:
    """Report split lists that share images."""
    for (one, names), (other, others) in itertools.combinations(source.splits.items(), 2):
        shared = sorted(set(names) & set(others))
        if shared:
            report.warn(f"{counted(len(shared), 'image')} both in split {one} and in split {other}, {shared[0]} first")


def compare_with_published(source: Source, samples: Iterable[Sample], report: CheckReport) -> None:
    """Compare images per class with the published numbers."""
    tags = {sample.name: sample.tags or () for sample in samples}
    for split, published in source.published().items():
        if split not in source.splits:
            continue
        counts = Counter(tag for name in source.splits[split] for tag in tags.get(name, ()))
        differing = [tag for tag, count in enumerate(published) if counts[tag] != count]
        if differing:
            what = describe_differences(source, differing, published, counts)
            report.warn(f"split {split}: images per class differ from the published numbers: {what}")


def describe_differences(
    source: Source, differing: Sequence[int], published: Sequence[int], counts: Counter[int]
) -> str:
    """Name the first few classes that differ."""
    first = [f"{source.classes.names[tag]} {counts[tag]} (published {published[tag]})" for tag in differing[:3]]
    return ", ".join(first) + (f" and {len(differing) - 3} more" if len(differing) > 3 else "")
