"""How a data set is to be read."""

from __future__ import annotations

from pydantic import Field

from tag2mask.settings import Settings


class DataSettings(Settings):
    """Source, the files' names under its root, and the channels a photograph has."""

    source: str = "folder"
    labels: str = "labels.csv"
    classes: str = "classes.txt"
    masks: str = "masks"
    bands: int = Field(3, gt=0)
