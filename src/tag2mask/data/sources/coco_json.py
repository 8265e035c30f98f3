"""Own data: one JSON in COCO's form and a folder of photographs. Layout and choices: coco-json.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tag2mask.data.classes import Classes
from tag2mask.data.sources.coco_file import CocoFile, contiguous
from tag2mask.data.sources.own import OutlineSettings, read_splits
from tag2mask.data.sources.record import Record, Source, require_layout


class CocoJsonSettings(OutlineSettings):
    """The file and the folder, below the root."""

    annotations: str = "annotations.json"
    images: str = "images"


class CocoJson(Source):
    """Categories are those of the file, in its order."""

    settings_class = CocoJsonSettings
    settings: CocoJsonSettings
    layout = "ROOT/annotations.json and ROOT/images/ (others with --set annotations=FILE --set images=FOLDER)"

    def __init__(self, root: Path, settings: CocoJsonSettings) -> None:
        require_layout(root, [settings.annotations, settings.images], self.layout)
        self.settings, self.bands = settings, settings.bands
        self.file = CocoFile(root / settings.annotations)
        self.index = contiguous(self.file.categories)
        self.classes = Classes(tuple(self.file.categories.values()), "background" if settings.background else None)
        files = self.file.photographs.items()
        self.images = {name: root / settings.images / one.file.replace("\\", "/") for name, one in files}
        self.splits = read_splits(root, self.images)

    def names(self) -> Sequence[str]:
        """In the file's order."""
        return list(self.images)

    def record(self, name: str) -> Record:
        """A photograph; without any object it is a known negative."""
        drawn = self.file.is_drawn(name)
        truth = (lambda: self.file.draw(name, self.index, self.classes)) if drawn else None
        return Record(name, self.images[name], self.file.tags(name, self.index), truth)
