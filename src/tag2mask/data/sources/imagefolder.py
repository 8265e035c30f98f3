"""Own data: a folder per class. Layout and choices: imagefolder.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tag2mask.data.folder import ALL, is_class_folders, names_below, open_class_folders, split_folders
from tag2mask.data.layouts import refuse_foreign
from tag2mask.data.reading import read_mask
from tag2mask.data.settings import DataSettings
from tag2mask.data.sources.own import OwnSettings, read_splits
from tag2mask.data.sources.record import Record, Source, require_values
from tag2mask.errors import DataError


class ImageFolder(Source):
    """What ``train`` reads as it is; ``prepare`` gives it a table, so that an image can get more tags than one."""

    settings_class = OwnSettings
    settings: OwnSettings
    layout = "ROOT/CLASS/*.jpg, or ROOT/train/CLASS/*.jpg and ROOT/val/CLASS/*.jpg"

    def __init__(self, root: Path, settings: OwnSettings) -> None:
        names = DataSettings()
        refuse_foreign(root, names.classes)
        if not is_class_folders(root, names):
            raise DataError(f"{root}: holds images/ or {names.labels}, so it needs no prepare; expected: {self.layout}")
        try:
            dataset = open_class_folders(root, names, ALL)
            folders = split_folders(root, names)
        except DataError as error:
            raise DataError(f"{error}; expected: {self.layout}") from None
        self.settings, self.bands, self.classes = settings, settings.bands, dataset.classes
        self.samples = {sample.name: sample for sample in dataset}
        below = {split: names_below(root, split, self.samples, folders) for split in folders}
        self.splits = below or read_splits(root, self.samples)

    def names(self) -> Sequence[str]:
        """Class by class."""
        return list(self.samples)

    def record(self, name: str) -> Record:
        """An image; its tag is its folder."""
        sample = self.samples[name]
        mask = sample.truth
        truth = None if mask is None else lambda: require_values(mask, read_mask(mask), self.classes)
        return Record(name, sample.image, sample.tags, truth)
