"""Where classes end: the patches of a data set, classified by a probe without and with step 5 of the probe.

    python benchmarks/boundary.py RUN... [--set KEY=VALUE]...

For each run, whose data set has a background and truth, prints the mIoU in percent of the patches of all training
images, tags given. A patch has the true class that covers more than half of it; others are not scored. ``--set`` takes
settings of ``train-probe``. Truth is only used for scoring.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.data import Sample
from tag2mask.data.reading import read_mask
from tag2mask.data.resizing import fitted_size
from tag2mask.evaluation.confusion import confusion
from tag2mask.evaluation.iou import Rates, iou, mean_known
from tag2mask.masks.localize import Localizer
from tag2mask.masks.resolve import tagged_samples
from tag2mask.probe.linear import LinearProbe, possible_logits
from tag2mask.probe.patches import Patches, gather_patches
from tag2mask.probe.settings import ProbeSettings
from tag2mask.probe.train import learn_layers, resolve_probe
from tag2mask.training.interrupt import Interrupt
from tag2mask.training.run import Run, open_run
from tag2mask.vit.grid import to_patches

UNSCORED = -1


def main() -> None:
    """Print one row per run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    asked = ProbeSettings.read({"memory": 2**20}, arguments.set)  # all patches are kept
    print("| run | without step 5 | with it | IoU of each class |\n|---|---|---|---|")
    for path in arguments.runs:
        run = open_run(path)
        settings = resolve_probe(asked, run)
        localizer, samples = Localizer(run, settings.masks), tagged_samples(run, settings.masks, "a probe")
        with tempfile.TemporaryDirectory() as folder:
            patches, _ = gather_patches(localizer, samples, settings, Path(folder), Interrupt())
        true_N = true_patches(run, samples, settings, localizer.method.patch)
        probes = [
            learn_layers(patches, settings.model_copy(update={"narrow": narrow}), True, Interrupt()).probe
            for narrow in (0.0, settings.narrow)
        ]
        before, after = (score(probe, patches, true_N) for probe in probes)
        rates = zip(run.classes.pixel_names, before, after, strict=True)
        each = ", ".join(f"{name} {old:.0f} {new:.0f}" for name, old, new in rates if not np.isnan(old))
        print(f"| {path} | {mean_known(before):.1f} | {mean_known(after):.1f} | {each} |", flush=True)


def true_patches(run: Run, samples: Sequence[Sample], settings: ProbeSettings, patch: int) -> Tensor:
    """The true score of every patch of these images, ``UNSCORED`` where none covers more than half: ``(N,)``."""
    assert settings.scales is not None
    side = round(run.settings.backbone.image_size * settings.scales[-1])
    classes, found = run.classes, []
    for sample in samples:
        true_YX = torch.from_numpy(read_mask(run.data / run.settings.data.masks / f"{sample.name}.png"))
        known_YX = true_YX.masked_fill(true_YX == classes.ignore, len(classes.pixel_names))
        cover_KYX = F.one_hot(known_YX, len(classes.pixel_names) + 1).permute(2, 0, 1).float()
        height, width = true_YX.shape
        top_hw, best_hw = to_patches(cover_KYX, fitted_size(height, width, side), patch)[:-1].max(0)
        found.append(torch.where(top_hw > 0.5, best_hw, UNSCORED).flatten())
    return torch.cat(found)


def score(probe: LinearProbe, patches: Patches, true_N: Tensor) -> Rates:
    """IoU of each score in percent, ``(S,)``."""
    found_N = torch.cat([logits_KS.argmax(1) for logits_KS in possible_logits(probe, *patches.within_tags)])
    return 100 * iou(confusion(true_N.numpy(), found_N.numpy(), len(probe.bias_S), UNSCORED))


if __name__ == "__main__":
    main()
