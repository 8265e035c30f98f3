"""Settings for reading a data folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field

from tag2mask.errors import DataError, SettingsError
from tag2mask.names import inside
from tag2mask.settings import Bands, Settings, Side, read_yaml

OWN = "dataset.yaml"


def require_rising(pair: tuple[float, float]) -> tuple[float, float]:
    """Check that the first number is below the second."""
    if not pair[0] < pair[1]:
        raise ValueError("expected two numbers, the lower one first")
    return pair


def wrap_pair(spans: Any) -> Any:
    """Wrap a single pair of numbers in a list."""
    alone = isinstance(spans, list | tuple) and len(spans) == 2 and not isinstance(spans[0], list | tuple)
    return [spans] if alone else spans


Span = Annotated[tuple[float, float], AfterValidator(require_rising)]
Spans = Annotated[tuple[Span, ...], BeforeValidator(wrap_pair)]
Percent = Annotated[float, Field(ge=0, le=100)]
Band = Annotated[int, Field(ge=0)]


class AugmentSettings(Settings):
    """Random changes to training images."""

    min_scale: float = Field(0.35, gt=0, le=1, description="Smallest fraction of the image area that a crop shows")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of mirroring an image")
    colour: float = Field(0.3, ge=0, le=1, description="Strength of the colour jitter (three bands only)")
    hide: float = Field(0.0, ge=0, lt=1, description="Largest fraction of the cells of an 8 x 8 grid that are covered")
    randaugment: int = Field(
        0, ge=0, le=100, description="Number of RandAugment operations, magnitude 9 (three bands only)"
    )
    erase: float = Field(0.0, ge=0, le=1, description="Probability of replacing a rectangle with noise")
    interpolation: Literal["bilinear", "bicubic"] = Field("bilinear", description="How crops are resampled")


class DataSettings(Settings):
    """How the files of a data set are read; file names are relative to its folder.

    Values are scaled to [0, 1] by ``scale``: ``range`` divides integers by the largest value of their dtype (floats
    stay), ``maximum`` then divides by each band's maximum in the image, as TokenMasking's code does. With ``clip``,
    values are clipped and scaled by the range of the clip instead of that of the dtype.
    """

    labels: str = Field("labels.csv", description="Table of tags")
    classes: str = Field("classes.txt", description="List of classes")
    masks: str = Field("masks", description="Folder of true masks")
    bands: Bands = Field(3, description="Number of bands of an image")
    scale: Literal["range", "maximum"] = Field(
        "range", description="Scale raw values by the range of their type, or by each band's maximum"
    )
    clip: Spans | None = Field(
        None, description="Raw values mapped to 0 and 1: one pair for all bands, or one pair per band"
    )
    mean: tuple[float, ...] | None = Field(None, description="Mean of the scaled values of each band [the backbone's]")
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, description="Standard deviation of the scaled values of each band [the backbone's]"
    )
    rgb: tuple[Band, Band, Band] | None = Field(
        None, description="Bands shown in pictures, counted from 0 [the first three]"
    )
    stretch: Annotated[tuple[Percent, Percent], AfterValidator(require_rising)] = Field(
        (2.0, 98.0), description="Percentiles between which pictures of more than 8 bits are stretched"
    )
    cache: Side | None = Field(
        None, description="Short side of smaller copies for training, kept in .cache [no copies]"
    )

    def clips(self) -> tuple[tuple[float, float], ...] | None:
        """Return low and high of every band."""
        return self.clip * self.bands if self.clip is not None and len(self.clip) == 1 else self.clip

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return mean and std of every band, if the data set has its own."""
        return None if self.mean is None or self.std is None else (self.mean, self.std)

    def completed(self, root: Path) -> Self:
        """Return these settings, with those not set taken from ``dataset.yaml`` in ``root`` if it exists.

        Raises:
            SettingsError: the file cannot be read, or a setting is unknown, wrong, or does not fit the bands or the
                mean and std in the file.
        """
        path = root / OWN
        if path.exists() and not path.is_file():
            raise SettingsError(f"{path}: is not a file; remove it, or put the settings of the data set there")
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
        """Check that every per-band setting has one value per band.

        Raises:
            SettingsError: a setting has another number of values.
        """
        if (self.mean is None) != (self.std is None):
            raise SettingsError(f"{where}: mean and std belong together; give both or neither")
        for name, values in (("mean", self.mean), ("std", self.std), ("clip", self.clips())):
            if values is not None and len(values) != self.bands:
                raise SettingsError(
                    f"{where}: {name} has {len(values)} values, bands is {self.bands}; give one per band"
                )
        if self.rgb is not None and max(self.rgb) >= self.bands:
            raise SettingsError(f"{where}: rgb names band {max(self.rgb)}, but the bands are 0 to {self.bands - 1}")


def require_inside(root: Path, key: str, name: str, path: Path) -> None:
    """Check that a file named in ``dataset.yaml`` is inside the data set.

    Raises:
        SettingsError: it is not.
    """
    try:
        inside(root, name, path)
    except DataError:
        raise SettingsError(
            f"{path}: {key}: {name[:100]} points outside {root}; set it with --set data.{key} instead"
        ) from None


def require_measured(path: Path, own: DataSettings, given: Mapping[str, Any]) -> None:
    """Check that values are scaled as they were when the file's mean and std were measured.

    Raises:
        SettingsError: they are not.
    """
    for name in ("scale", "clip"):
        measured = getattr(own, name)
        wanted = given.get(name, measured)
        if wanted != measured:
            raise SettingsError(
                f"{path}: mean and std were measured with {name} = {measured}, not {wanted}; set data.mean and "
                "data.std too, or measure them again with tag2mask.data.statistics.write_statistics"
            )
