"""The registry of refiners, which improve class maps on the patch grid or on the pixels of the image.

To add a refiner, add a file here and a line to one of the dicts; one that works on pixels can also be an entry point
``tag2mask.refiners`` of another package. Refiners run in the order of the dicts: first those on patches, then those on
pixels, and last those on the scores that compete for a pixel, including the background's: the trained probe, walk and
segmenter, guided upsampling, and the CRF.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from tag2mask.errors import SettingsError
from tag2mask.methods import Evidence
from tag2mask.refine.pixel_adaptive import pamr
from tag2mask.refine.settings import AFFINITY, CRF, GUIDED, PAMR, PROBE, SEGMENTER, WALK
from tag2mask.refine.spreading import affinity
from tag2mask.registry import Registry

# Evidence and class maps (B, C, h, w) to class maps.
PATCH_REFINERS: Mapping[str, Callable[[Evidence, Tensor], Tensor]] = MappingProxyType({AFFINITY: affinity})
# An image (bands, Y, X) in [0, 1] and class maps (K, Y, X) to class maps.
PIXEL_REFINERS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = Registry(
    "tag2mask.refiners",
    {PAMR: pamr},
    lambda found: "" if callable(found) and not isinstance(found, type) else "is not a function",
)


def refiner_names() -> tuple[str, ...]:
    """Names of all refiners, in order."""
    return (*PATCH_REFINERS, *PIXEL_REFINERS, PROBE, WALK, SEGMENTER, GUIDED, CRF)


def require_refiners(names: Sequence[str]) -> None:
    """Check that all refiners exist and are in order.

    Raises:
        SettingsError: they do not, or are not.
    """
    known = refiner_names()
    for name in names:
        if name not in known:
            raise SettingsError(f"refiner {name!r} is unknown; use none, or some of {', '.join(known)}")
        if list(names).count(name) > 1:
            raise SettingsError(f"refiner {name} is named twice: name it once")
    in_order = [name for name in known if name in names]
    if list(names) != in_order:
        raise SettingsError(f"refiners must be in this order: {','.join(in_order)}, not {','.join(names)}")


def refine_patches(evidence: Evidence, maps_BChw: Tensor, names: Sequence[str]) -> Tensor:
    """Apply those refiners in ``names`` that work on patches to class maps ``(B, C, h, w)``."""
    for name in names:
        if name in PATCH_REFINERS:
            maps_BChw = PATCH_REFINERS[name](evidence, maps_BChw)
    return maps_BChw


def refine_pixels(image: Tensor, maps_KYX: Tensor, names: Sequence[str]) -> Tensor:
    """Apply those refiners in ``names`` that work on pixels to class maps ``(K, Y, X)``.

    Raises:
        SettingsError: a refiner returns something else than class maps of the same shape.
    """
    for name in names:
        if name in PIXEL_REFINERS:
            refined = PIXEL_REFINERS[name](image, maps_KYX)
            shape = tuple(refined.shape) if isinstance(refined, Tensor) else type(refined).__name__
            if shape != tuple(maps_KYX.shape):
                wanted = f"a tensor of shape {tuple(maps_KYX.shape)}, like its maps"
                raise SettingsError(f"refiner {name}: returned {shape}, expected {wanted}; see docs/plugins.md")
            maps_KYX = refined
    return maps_KYX
