"""How fast a mask transformer learns to distinguish classes, by the initial spread of its class tokens.

    python benchmarks/decoder.py RUN MASKSET [--start 0.02 1] [--steps 120] [--batch 4] [--crops 320]

The pretrained backbone computes features of random crops once; decoders then learn the labels of the mask set. No truth
is opened.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.segmentation.build import build_segmenter
from tag2mask.segmentation.crops import LabelledCrops
from tag2mask.segmentation.decoder import MaskTransformer
from tag2mask.segmentation.model import ViTSegmenter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.sources import open_labels
from tag2mask.segmentation.train import resolve_segmenter
from tag2mask.training.run import open_run
from tag2mask.vit.weights import weights_source

SIDE, RATE = 168, 3e-4


def features(arguments: argparse.Namespace) -> tuple[Tensor, Tensor, int]:
    """Return patch tokens ``(B, M, D)`` of crops, labels at patch centres ``(B, M)``, and the number of classes."""
    run = open_run(arguments.run)
    settings = resolve_segmenter(SegmentSettings.parse({"crop": SIDE}), run)
    labels = open_labels(run, arguments.masks, None, False, run.settings.split)
    assert settings.weights is not None
    built = build_segmenter(settings, run.settings.data, len(run.classes.pixel_names), weights_source(settings.weights))
    assert isinstance(built.segmenter, ViTSegmenter)
    encoder = built.segmenter.encoder.eval()
    mean, std, data = built.mean, built.std, run.settings.data
    crops = LabelledCrops(labels.images, run.classes, SIDE, data, mean, std, settings.augment)
    at = torch.arange(encoder.patch // 2, SIDE, encoder.patch)
    patches, classes = [], []
    for index in range(arguments.crops):
        crop = crops[index, index % len(crops)]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            patches.append(encoder.norm(encoder(crop.image[None]).patch_BMD).float()[0])
        classes.append(crop.labels[0][at][:, at].flatten())
    return torch.stack(patches), torch.stack(classes), len(run.classes.pixel_names)


def learn(start: float, x_BMD: Tensor, labels_BM: Tensor, classes: int, arguments: argparse.Namespace) -> list[float]:
    """Train a decoder and return the cross-entropy of every step."""
    torch.manual_seed(0)
    decoder = MaskTransformer(x_BMD.shape[2], classes)
    nn.init.trunc_normal_(decoder.class_KD, std=start, a=-2 * start, b=2 * start)
    optimiser = torch.optim.AdamW(decoder.parameters(), RATE, weight_decay=0.05)
    losses = []
    for step in range(arguments.steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min((step + 1) / (0.05 * arguments.steps), 1) * (1 - step / arguments.steps) ** 0.9
        chosen = torch.randint(len(x_BMD), (arguments.batch,))
        loss = F.cross_entropy(decoder(x_BMD[chosen]).flatten(0, 1), labels_BM[chosen].flatten(), ignore_index=255)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(decoder.parameters(), 5.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--start", type=float, nargs="+", default=[0.02, 1.0])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crops", type=int, default=320)
    arguments = parser.parse_args()
    x_BMD, labels_BM, classes = features(arguments)
    quarter = arguments.steps // 4
    print("| start | cross-entropy, first quarter of the steps | last quarter |\n|---|---|---|")
    for start in arguments.start:
        losses = learn(start, x_BMD, labels_BM, classes, arguments)
        first, last = (sum(part) / quarter for part in (losses[:quarter], losses[-quarter:]))
        print(f"| {start:g} | {first:.2f} | {last:.2f} |", flush=True)


if __name__ == "__main__":
    main()
