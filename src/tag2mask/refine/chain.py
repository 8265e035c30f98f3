"""The refiners by name: what spreads class maps, on the patch grid by evidence or on pixels by the image's colours.

A new refiner is a file here and a line in one of the dicts, or, if it works on pixels, an entry point
``tag2mask.refiners`` of another package. They follow one another in the dicts' order: on patches, on pixels, and last
what works on the scores that compete for a pixel, the background's among them: the trained probe and walk, guided
upsampling and the CRF.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from tag2mask.errors import SettingsError
from tag2mask.methods import Evidence
from tag2mask.refine.pixel_adaptive import pamr
from tag2mask.refine.settings import AFFINITY, CRF, GUIDED, PAMR, PROBE, WALK
from tag2mask.refine.spreading import affinity
from tag2mask.registry import Registry

# Evidence and class maps (B, C, h, w) to class maps.
PATCH_REFINERS: Mapping[str, Callable[[Evidence, Tensor], Tensor]] = MappingProxyType({AFFINITY: affinity})
# An image (bands, Y, X) in [0, 1] and class maps (K, Y, X) to class maps.
PIXEL_REFINERS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = Registry("tag2mask.refiners", {PAMR: pamr})


def refiner_names() -> tuple[str, ...]:
    """All refiners in their order."""
    return (*PATCH_REFINERS, *PIXEL_REFINERS, PROBE, WALK, GUIDED, CRF)


def require_refiners(names: Sequence[str]) -> None:
    """All of them exist and stand in order.

    Raises:
        SettingsError: otherwise.
    """
    known = refiner_names()
    for name in names:
        if name not in known:
            raise SettingsError(f"refiner {name!r} is unknown; there are none, {', '.join(known)}")
        if list(names).count(name) > 1:
            raise SettingsError(f"refiner {name} is named twice: it works once")
    in_order = [name for name in known if name in names]
    if list(names) != in_order:
        raise SettingsError(f"refiners work in one order: {','.join(in_order)}, not {','.join(names)}")


def refine_patches(evidence: Evidence, maps_BChw: Tensor, names: Sequence[str]) -> Tensor:
    """Class maps ``(B, C, h, w)`` after the refiners among ``names`` that work on patches."""
    for name in names:
        if name in PATCH_REFINERS:
            maps_BChw = PATCH_REFINERS[name](evidence, maps_BChw)
    return maps_BChw


def refine_pixels(image: Tensor, maps_KYX: Tensor, names: Sequence[str]) -> Tensor:
    """Class maps after the refiners among ``names`` that work on pixels."""
    for name in names:
        if name in PIXEL_REFINERS:
            maps_KYX = PIXEL_REFINERS[name](image, maps_KYX)
    return maps_KYX
