"""The patches that a probe learns from: features, and what each patch surely shows. No truth is opened.

Shapes: D width, L looks (scales), N patches, S scores, I images, K tags of an image, h w patch grid.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tag2mask.data import Sample
from tag2mask.data.loading import load_pixels
from tag2mask.errors import DataError
from tag2mask.masks.localize import Localizer, share_of_classes
from tag2mask.masks.paint import normalise
from tag2mask.methods import Ask
from tag2mask.notation import from_json
from tag2mask.probe.probe import look
from tag2mask.probe.settings import ProbeSettings
from tag2mask.probe.sure_patches import empty_patches, sure_patches
from tag2mask.progress import progress_bar
from tag2mask.stored import damaged, validate
from tag2mask.tensors import read_tensors, write_tensors
from tag2mask.training.batches import mix
from tag2mask.training.interrupt import Interrupt
from tag2mask.vit.grid import to_patches, to_pixels

# The patches collected so far, with FAILURES in the metadata; the file is deleted when the probe is finished.
PATCHES, FAILURES = "patches.safetensors", "failures"
FEWEST = 4  # smallest number of patches kept per image, however many images there are
MEGABYTE = 2**20


@dataclass(frozen=True)
class Patches:
    """Per patch: float16 features ``(N, D)``, sure label in each look ``(N, L)``, whether all maps are empty, image.

    ``beside_N2`` holds how many rows further the patch to the right and the one below are, 0 if they are not there, and
    ``allowed_IS`` the scores that each image may show.
    """

    feature_ND: Tensor
    label_NL: Tensor
    empty_N: Tensor
    image_N: Tensor
    beside_N2: Tensor
    allowed_IS: Tensor

    @property
    def within_tags(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a layer is applied to: features, the image of each patch as an index, and its allowed scores."""
        return self.feature_ND, self.image_N.long(), self.allowed_IS


def gather_patches(
    localizer: Localizer, samples: Sequence[Sample], settings: ProbeSettings, out: Path, interrupt: Interrupt
) -> tuple[Patches, dict[str, str]]:
    """Collect the patches of every image, continuing an interrupted call; also return why images could not be read."""
    assert settings.scales is not None
    width, looks, scores = localizer.method.vit.width, len(settings.scales), len(localizer.run.classes.pixel_names)
    kept = max(settings.memory * MEGABYTE // (2 * width * len(samples)), FEWEST)
    before, failures = load_patches(out / PATCHES, width, looks, scores)
    parts, done = [before], len(before.allowed_IS)
    saved = time.monotonic()
    with progress_bar("probe", len(samples), done) as bar:
        for index in range(done, len(samples)):
            try:
                parts.append(patches_of(localizer, samples[index], settings, index, kept))
            except DataError as error:
                failures[samples[index].name] = str(error)
                parts.append(no_patches(1, width, looks, scores))
            bar.advance()
            last = index + 1 == len(samples)
            if last or interrupt.asked or time.monotonic() - saved > 60 * settings.save_minutes:
                parts = [join(parts)]
                write_tensors(out / PATCHES, vars(parts[0]), {FAILURES: json.dumps(failures)})
                saved = time.monotonic()
            if interrupt.asked:
                raise KeyboardInterrupt
    return join(parts), failures


def join(parts: Sequence[Patches]) -> Patches:
    """Concatenate patches."""
    return Patches(*(torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))


def load_patches(path: Path, width: int, looks: int, scores: int) -> tuple[Patches, dict[str, str]]:
    """Load the patches and failures of an interrupted call, if there was one.

    Raises:
        RunError: they are damaged.
    """
    if not path.is_file():
        return no_patches(0, width, looks, scores), {}
    with damaged(path):
        tensors, metadata = read_tensors(path)
        if tensors.keys() != Patches.__dataclass_fields__.keys():
            raise ValueError(f"expected {', '.join(Patches.__dataclass_fields__)}")
        return Patches(**tensors), validate(dict[str, str], from_json(metadata.get(FAILURES, "{}").encode()))


def no_patches(images: int, width: int, looks: int, scores: int) -> Patches:
    """Return no patches, for a number of images."""
    nothing = torch.zeros(0, dtype=torch.int32)
    labels = nothing.view(0, 1).expand(0, looks)
    allowed = torch.zeros(images, scores).bool()
    further = nothing.view(0, 1).expand(0, 2)
    return Patches(torch.zeros(0, width).half(), labels, nothing.bool(), nothing, further, allowed)


def patches_of(localizer: Localizer, sample: Sample, settings: ProbeSettings, index: int, kept: int) -> Patches:
    """Collect a random selection of at most ``kept`` patches of one image, in pairs of neighbours.

    Raises:
        DataError: the image cannot be read.
    """
    run, background = localizer.run, localizer.run.classes.background is not None
    image = load_pixels(sample, run.settings.data)
    assert settings.scales is not None
    ask = Ask(maps=True, classes=tuple(sample.tags or ()) if settings.masks.tags == "given" else ())
    sides = [round(run.settings.backbone.image_size * scale) for scale in settings.scales]
    looks = [look(run, localizer.method, image, side, ask) for side in sides]
    evidence = [seen.evidence for seen in looks if seen.evidence is not None]
    tags, _ = localizer.tags_of(sample, torch.stack([one.scores_BC[0].float().cpu() for one in evidence]).mean(0))
    if not tags and not background:  # its patches have no class
        return no_patches(1, localizer.method.vit.width, len(looks), len(run.classes.pixel_names))
    last, patch = looks[-1], localizer.method.patch
    labels, empty = [], []
    for one, seen, scale in zip(evidence, looks, settings.scales, strict=True):
        assert one.maps_BChw is not None
        maps_BChw = share_of_classes(one.maps_BChw) if settings.masks.paint.relative else one.maps_BChw
        maps_Khw = torch.zeros(0, *last.features_hwD.shape[:2])
        if tags:
            pixels_KYX = to_pixels(maps_BChw[:, tags].float(), patch, seen.size)[0]
            maps_Khw = torch.from_numpy(normalise(to_patches(pixels_KYX, last.size, patch).cpu().numpy()))
        bare = min(settings.bare * scale, settings.sure)
        labels.append(sure_patches(maps_Khw, tags, background, settings.sure, settings.margin, bare).flatten())
        empty.append(empty_patches(maps_Khw, settings.empty * scale).flatten())
    labels_NL = torch.stack(labels, 1)
    generator = torch.Generator().manual_seed(mix(settings.seed, index))
    height, width = last.features_hwD.shape[:2]
    drawn_hw = draw_pairs(height, width, kept, generator)
    drawn_K = drawn_hw.flatten().nonzero().flatten()
    allowed_S = torch.zeros(len(run.classes.pixel_names), dtype=torch.bool)
    allowed_S[run.classes.values(tags)] = True
    return Patches(
        last.features_hwD.flatten(0, 1).cpu()[drawn_K].half(),
        labels_NL[drawn_K].int(),
        torch.stack(empty).all(0)[drawn_K],
        torch.full((len(drawn_K),), index, dtype=torch.int32),
        beside(drawn_hw)[drawn_K],
        allowed_S[None],
    )


def draw_pairs(height: int, width: int, kept: int, generator: torch.Generator) -> Tensor:
    """Mark at most ``kept`` random patches ``(h, w)``: all, or some, each with the next one."""
    drawn_N = torch.zeros(height * width, dtype=torch.bool)
    if kept >= len(drawn_N):
        return ~drawn_N.view(height, width)
    chosen_M = torch.randperm(len(drawn_N) - 1, generator=generator)[: kept // 2]
    drawn_N[chosen_M] = True
    drawn_N[chosen_M + 1] = True
    return drawn_N.view(height, width)


def beside(drawn_hw: Tensor) -> Tensor:
    """How many drawn patches further the patches to the right and below are, 0 if not drawn: int32 ``(h * w, 2)``."""
    place_hw = drawn_hw.flatten().cumsum(0).view_as(drawn_hw)
    further_hw2 = torch.zeros(*drawn_hw.shape, 2, dtype=torch.int32)
    further_hw2[:, :-1, 0] = (place_hw[:, 1:] - place_hw[:, :-1]) * (drawn_hw[:, 1:] & drawn_hw[:, :-1])
    further_hw2[:-1, :, 1] = (place_hw[1:] - place_hw[:-1]) * (drawn_hw[1:] & drawn_hw[:-1])
    return further_hw2.flatten(0, 1)
