"""How a folder of data is to be read."""

from __future__ import annotations

from pydantic import Field

from tag2mask.settings import Settings


class DataSettings(Settings):
    """The files' names below the data set's folder, and the channels a photograph has."""

    labels: str = "labels.csv"
    classes: str = "classes.txt"
    masks: str = "masks"
    bands: int = Field(3, gt=0)
