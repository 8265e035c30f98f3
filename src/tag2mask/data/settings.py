"""How a folder of data is to be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field

from tag2mask.errors import DataError, SettingsError
from tag2mask.names import inside
from tag2mask.settings import Bands, Settings, Side, read_yaml

OWN = "dataset.yaml"


def rising(pair: tuple[float, float]) -> tuple[float, float]:
    """The first below the second."""
    if not pair[0] < pair[1]:
        raise ValueError("wanted two numbers, the lower one first")
    return pair


def listed(spans: Any) -> Any:
    """One pair of numbers as a list of it."""
    alone = isinstance(spans, list | tuple) and len(spans) == 2 and not isinstance(spans[0], list | tuple)
    return [spans] if alone else spans


Span = Annotated[tuple[float, float], AfterValidator(rising)]
Spans = Annotated[tuple[Span, ...], BeforeValidator(listed)]
Percent = Annotated[float, Field(ge=0, le=100)]
Band = Annotated[int, Field(ge=0)]


class DataSettings(Settings):
    """The files' names below the data set's folder, the bands of an image, and how their raw values are taken.

    Values come to [0, 1] by ``scale``: by their type's ``range`` (floats are taken as they are), or divided by each
    band's own ``maximum`` in the image, as TokenMasking's code does. With ``clip``, (low, high) in raw units for
    all bands or one pair a band, they are first clipped and counted from low, and the range is that of the clip.
    ``mean`` and ``std``, one a band, are of values in [0, 1]; None for the backbone's own. ``rgb`` are the bands shown
    in pictures, from 0 (None: the first three); deeper values than 8 bits are stretched between the percentiles of
    ``stretch``. ``cache`` lets ``train`` read copies of that short side, in pixels, kept in ``.cache`` below the data.
    """

    labels: str = "labels.csv"
    classes: str = "classes.txt"
    masks: str = "masks"
    bands: Bands = 3
    scale: Literal["range", "maximum"] = "range"
    clip: Spans | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    rgb: tuple[Band, Band, Band] | None = None
    stretch: Annotated[tuple[Percent, Percent], AfterValidator(rising)] = (2.0, 98.0)
    cache: Side | None = None

    def clips(self) -> tuple[tuple[float, float], ...] | None:
        """Low and high of every band."""
        return self.clip * self.bands if self.clip is not None and len(self.clip) == 1 else self.clip

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and std of every band, if the data has its own."""
        return None if self.mean is None or self.std is None else (self.mean, self.std)

    def completed(self, root: Path) -> Self:
        """With what these settings leave open as ``dataset.yaml`` in ``root`` says, if the data set has one.

        Raises:
            SettingsError: the file cannot be read, or a setting is unknown, wrong, or does not fit the bands or the
                mean and std in the file.
        """
        path = root / OWN
        if path.exists() and not path.is_file():
            raise SettingsError(f"{path}: is no file; take it away, or put the settings of the data set there")
        own = self.parse(read_yaml(path), where=str(path)) if path.is_file() else type(self)()
        for name in ("labels", "classes", "masks"):
            require_inside(root, name, getattr(own, name), path)
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if own.mean is not None and "mean" not in given:
            require_measured(path, own, given)
        whole = own.model_copy(update=given)
        whole.require_fit(str(path) if path.is_file() else "data")
        return whole

    def require_fit(self, where: str) -> None:
        """Every setting that goes by band has as many values as there are bands.

        Raises:
            SettingsError: one has not.
        """
        if (self.mean is None) != (self.std is None):
            raise SettingsError(f"{where}: mean and std belong together; give both or neither")
        for name, values in (("mean", self.mean), ("std", self.std), ("clip", self.clips())):
            if values is not None and len(values) != self.bands:
                raise SettingsError(f"{where}: {name} has {len(values)} values, bands is {self.bands}; give one a band")
        if self.rgb is not None and max(self.rgb) >= self.bands:
            raise SettingsError(f"{where}: rgb names band {max(self.rgb)}; there are 0 to {self.bands - 1}")


def require_inside(root: Path, key: str, name: str, path: Path) -> None:
    """A file's name that the data set gives itself lies in it.

    Raises:
        SettingsError: it does not.
    """
    try:
        inside(root, name, path)
    except DataError:
        raise SettingsError(f"{path}: {key}: {name[:100]} leads out of {root}; give it as --set data.{key}") from None


def require_measured(path: Path, own: DataSettings, given: Mapping[str, Any]) -> None:
    """Values are taken as they were when the file's mean and std were measured.

    Raises:
        SettingsError: they are not.
    """
    for name in ("scale", "clip"):
        measured = getattr(own, name)
        wanted = given.get(name, measured)
        if wanted != measured:
            raise SettingsError(
                f"{path}: mean and std were measured with {name} = {measured}, not {wanted}; give data.mean and "
                "data.std, too, or measure them anew with tag2mask.data.statistics.write_statistics"
            )
