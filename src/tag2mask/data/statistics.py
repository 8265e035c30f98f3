"""Statistics of a data set's values per band, in one pass with one image in memory at a time.

Shapes: N values of a band.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from tag2mask.data.folder import open_folder
from tag2mask.data.reading import fill_missing, read_pixels, scale_values
from tag2mask.data.sample import Dataset
from tag2mask.data.settings import OWN, DataSettings
from tag2mask.errors import DataError, SplitMissingError
from tag2mask.files import write_json, write_text
from tag2mask.settings import read_yaml

STATISTICS = "statistics.json"
SAME = 1e-10  # relative to the mean: a smaller deviation is rounding error
PERCENTILES = (1, 2, 25, 50, 75, 98, 99)
Values = NDArray[np.float64]


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of a band: ``mean`` and ``std`` of values scaled to [0, 1], the others in raw units.

    ``percentiles`` maps each percentage to its value.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    percentiles: dict[str, float]


class Moments:
    """Running mean and standard deviation.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0  # sum of squared differences from the mean

    def add(self, values_N: Values) -> None:
        """Add at least one value."""
        count, mean = len(values_N), float(values_N.mean())
        apart, total = mean - self.mean, self.count + count
        self.squares += float(np.square(values_N - mean).sum()) + apart * apart * self.count * count / total
        self.mean += apart * count / total
        self.count = total

    def std(self) -> float:
        """Return the standard deviation, or 1 for a constant band, since it is used as a divisor."""
        found = math.sqrt(self.squares / self.count)
        return found if found > SAME * abs(self.mean) else 1.0


class Histogram:
    """Counts in a fixed number of bins, whose width doubles whenever a value is out of range."""

    BINS = 4096

    def __init__(self, values_N: Values) -> None:
        """Set the bins to the range of the first values."""
        self.low, high = float(values_N.min()), float(values_N.max())
        self.width = max((high - self.low) / (self.BINS - 1), 1e-6 * max(abs(self.low), 1e-6))
        self.counts = np.zeros(self.BINS, np.int64)
        self.least, self.most = self.low, high

    def add(self, values_N: Values) -> None:
        """Add at least one value."""
        self.least, self.most = min(self.least, float(values_N.min())), max(self.most, float(values_N.max()))
        while self.least < self.low:
            self.low -= self.width * self.BINS
            self.widen(above=True)
        while self.most >= self.low + self.width * self.BINS:
            self.widen(above=False)
        places_N = ((values_N - self.low) / self.width).astype(np.int64).clip(0, self.BINS - 1)
        self.counts += np.bincount(places_N, minlength=self.BINS)

    def widen(self, above: bool) -> None:
        """Double the width of the bins; existing counts move to the upper half (``above``) or the lower half."""
        pairs = self.counts.reshape(-1, 2).sum(1)
        empty = np.zeros_like(pairs)
        self.counts = np.concatenate([empty, pairs] if above else [pairs, empty])
        self.width *= 2

    def percentile(self, share: float) -> float:
        """Return the value below which ``share`` percent of the values are, within the width of a bin."""
        upto = self.counts.cumsum()
        wanted = share / 100 * upto[-1]
        place = int(np.searchsorted(upto, wanted).clip(0, self.BINS - 1))
        before = upto[place] - self.counts[place]
        inside = (wanted - before) / max(self.counts[place], 1)
        return float(np.clip(self.low + (place + inside) * self.width, self.least, self.most))


class Band:
    """Running statistics of one band."""

    def __init__(self) -> None:
        self.moments = Moments()
        self.histogram: Histogram | None = None

    def add(self, raw_N: Values, seen_N: Values) -> None:
        """Add the values of an image, raw and scaled."""
        self.moments.add(seen_N)
        self.histogram = self.histogram or Histogram(raw_N)
        self.histogram.add(raw_N)

    def finish(self) -> BandStatistics:
        """Return the statistics of all values added."""
        assert self.histogram is not None
        found = {str(share): self.histogram.percentile(share) for share in PERCENTILES}
        return BandStatistics(self.moments.mean, self.moments.std(), self.histogram.least, self.histogram.most, found)


def statistics_of(dataset: Dataset, settings: DataSettings, tick: Callable[[], None]) -> list[BandStatistics]:
    """Return the statistics of each band over all pixels with data; ``tick`` is called after each image.

    Raises:
        DataError: there is no image, or one cannot be read.
    """
    if not len(dataset):
        raise DataError("there are no images to compute statistics from")
    bands = [Band() for _ in range(settings.bands)]
    for sample in dataset:
        pixels = read_pixels(sample.image, settings.bands)
        known = ~np.ma.getmaskarray(pixels)
        whole = fill_missing(sample.image, pixels) if isinstance(pixels, np.ma.MaskedArray) else pixels
        seen = scale_values(sample.image, whole, settings)
        for index, band in enumerate(bands):
            there = known[..., index]
            band.add(whole[..., index][there].astype(np.float64), seen[index][there].astype(np.float64))
        tick()
    return [band.finish() for band in bands]


def write_statistics(
    root: Path, settings: DataSettings | None = None, tick: Callable[[], None] = lambda: None
) -> list[BandStatistics]:
    """Write the statistics of split ``train``, or of all images if there is no such split, to ``statistics.json``.

    Bands, mean and std also go to ``dataset.yaml``, whose other settings are kept.

    Raises:
        DataError: an image cannot be read, or there is none.
        SettingsError: ``dataset.yaml`` cannot be used.
    """
    asked = settings or DataSettings()
    chosen = asked.model_copy(update={"mean": None, "std": None}).completed(root)  # earlier values do not matter
    try:
        dataset = open_folder(root, chosen, "train")
    except SplitMissingError:
        dataset = open_folder(root, chosen)
    found = statistics_of(dataset, chosen, tick)
    rows = {"photographs": len(dataset), "bands": [asdict(band) for band in found]}
    write_json(root / STATISTICS, rows)
    own = read_yaml(root / OWN) if (root / OWN).is_file() else {}
    given = asked.model_dump(mode="json", exclude_unset=True)
    own |= given | {"bands": len(found), "mean": [band.mean for band in found], "std": [band.std for band in found]}
    write_text(root / OWN, yaml.safe_dump(own, sort_keys=False, default_flow_style=None, width=120))
    return found
