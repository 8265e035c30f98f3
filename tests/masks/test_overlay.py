from __future__ import annotations

import numpy as np
import pytest

from tag2mask.data import DataSettings
from tag2mask.masks.overlay import rgb


def test_bytes_are_shown_as_they_are() -> None:
    pixels = np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4)
    np.testing.assert_array_equal(rgb(pixels, DataSettings(bands=4)), pixels[..., :3])
    np.testing.assert_array_equal(rgb(pixels, DataSettings(bands=4, rgb=(3, 2, 0))), pixels[..., [3, 2, 0]])
    np.testing.assert_array_equal(rgb(pixels[..., :2], DataSettings(bands=2)), pixels[..., [0, 0, 0]])


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deeper_bands_are_each_stretched_between_percentiles(dtype: type) -> None:
    ramp = np.arange(10_000).reshape(100, 100, 1)
    pixels = np.concatenate([ramp * (band + 1) // 13 for band in range(13)], 2).astype(dtype)
    pixels[0, 0] = 60_000  # one bright pixel darkens nothing
    shown = rgb(pixels, DataSettings(bands=13, rgb=(12, 7, 3), stretch=(10, 90)))
    assert (shown.shape, shown.dtype) == ((100, 100, 3), np.uint8)
    assert (shown[:10].min(), shown[:9, 1:].max(), shown[92:].min()) == (0, 0, 255)
    assert abs(int(shown[50, 0, 0]) - 127) < 3
    assert np.ptp(shown.astype(int), axis=2).max() <= 1
    assert rgb(np.full((3, 3, 1), 7, dtype), DataSettings(bands=1)).max() == 0
