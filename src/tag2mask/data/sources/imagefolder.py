"""Your own data: one folder per class. Layout and choices: imagefolder.md."""

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
    """Class folders, which ``train`` also reads directly; ``prepare`` adds a table, where images can have more tags."""

    settings_class = OwnSettings
    settings: OwnSettings
    layout = "ROOT/CLASS/*.jpg, or ROOT/train/CLASS/*.jpg and ROOT/val/CLASS/*.jpg"

    def __init__(self, root: Path, settings: OwnSettings) -> None:
        names = DataSettings()
        refuse_foreign(root, names.classes)
        if not is_class_folders(root, names):
            raise DataError(
                f"{root}: holds images/ or {names.labels}: train reads it directly; expected: {self.layout}"
            )
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
        """Return the images class by class."""
        return list(self.samples)

    def record(self, name: str) -> Record:
        """Return an image; its tag is its folder's name."""
        sample = self.samples[name]
        mask = sample.truth
        truth = None if mask is None else lambda: require_values(mask, read_mask(mask), self.classes)
        return Record(name, sample.image, sample.tags, truth)
