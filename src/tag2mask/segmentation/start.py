"""Where a ViT segmenter starts: at the backbone that the run trained on tags, with a decoder fitted to the masks.

Both save most of a training, which on a few hundred images would otherwise end before the decoder has learned much.
Shapes: D width, M N patches, H heads, K pixel classes, P patch side, Y X pixels.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from tag2mask.errors import DataError
from tag2mask.probe.linear import NEVER, UNSURE, LinearProbe, fit_probe
from tag2mask.probe.settings import ProbeSettings
from tag2mask.progress import progress_bar
from tag2mask.segmentation.crops import LabelledCrops
from tag2mask.segmentation.decoder import LinearDecoder
from tag2mask.segmentation.model import Built, ViTSegmenter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.training.batches import mix
from tag2mask.training.interrupt import Interrupt
from tag2mask.training.run import Run, started_from
from tag2mask.vit.vit import ViT
from tag2mask.vit.weights import WeightsReport

IMAGES, NUMBERS = 2000, 2**28  # limits on the number of images, and on the number of features of all their patches
TOKENS = ("class_CD", "backbone_registers", "registers", "position")  # their number depends on the method and the crop


def start_from_run(built: Built, run: Run, settings: SegmentSettings) -> Built:
    """Copy the run's trained backbone into the encoder.

    Raises:
        RunError: the run's weights, or the file that names their source, are missing or damaged.
    """
    assert isinstance(built.segmenter, ViTSegmenter)
    assert settings.backbone is not None
    copied = copy_backbone(run.load_method().vit, built.segmenter.encoder)
    built.segmenter.encoder.place(settings.backbone.positions, settings.backbone.image_size)
    source = f"{started_from(run.path)}, trained on tags by run {run.path.resolve().name}"
    return replace(built, report=WeightsReport(source, copied))


@torch.no_grad()
def copy_backbone(source: ViT, target: ViT) -> int:
    """Copy blocks, embeddings and the backbone's own tokens; return the number of tensors.

    The gates of ``source`` become part of its weights. If its class tokens are the backbone's own from the first block
    on, their mean becomes the own class token.
    """
    state = {name: value for name, value in source.state_dict().items() if name not in TOKENS}
    for layer, attention in enumerate(source.attentions):
        if attention.gate is not None:
            name = f"blocks.{layer}.attn.proj.weight"
            gate_H = attention.evaluation_gate(state[name])
            state[name] = state[name] * gate_H.repeat_interleave(attention.head_width)
    late = source.enter is not None
    own_1D = source.backbone_registers[:1] if late else source.class_CD.mean(0, keepdim=True)
    state["class_CD"] = own_1D[: len(target.class_CD)]
    state["backbone_registers"] = source.backbone_registers[int(late) :]
    if source.position is not None:
        target.position = nn.Parameter(source.position.clone())
    wanted = [name for name in target.state_dict() if name not in ("position", "registers")]
    target.load_state_dict({name: state[name] for name in wanted}, strict=False)
    return len(wanted) + int(source.position is not None)


def fit_decoder(
    segmenter: ViTSegmenter, crops: LabelledCrops, seed: int, accelerator: Accelerator, interrupt: Interrupt
) -> None:
    """Fit the linear decoder to the labels of one crop per image, on the encoder's features; the encoder stays.

    Raises:
        DataError: no patch has a label.
        KeyboardInterrupt: a signal arrived.
    """
    assert isinstance(segmenter.decoder, LinearDecoder)
    segmenter.to(accelerator.device).eval()
    features, labels = [], []
    generator = torch.Generator().manual_seed(seed)
    patches, width = (crops.crop // segmenter.patch + 1) ** 2, segmenter.encoder.width
    step = -(-len(crops) // min(len(crops), max(NUMBERS // (patches * width), 1), IMAGES))
    with progress_bar("fit decoder", len(range(0, len(crops), step)), shown=accelerator.is_main_process) as bar:
        for index in range(0, len(crops), step):
            crop = crops[mix(seed, index), index]
            with torch.no_grad(), accelerator.autocast():
                patch_BMD, _ = segmenter.features(crop.image[None].to(accelerator.device))
            features.append(patch_BMD[0].half().cpu())
            labels.append(patch_labels(crop.labels[0], segmenter.patch, crops.classes.ignore, generator))
            bar.advance()
            if interrupt.asked:
                raise KeyboardInterrupt
    labels_N = torch.cat(labels)
    if not (labels_N != UNSURE).any():
        raise DataError("no patch of the training masks is labelled: they are all ignore")
    fill_decoder(segmenter.decoder, fit_linear(torch.cat(features), labels_N, len(crops.classes.pixel_names), seed))


def patch_labels(labels_YX: Tensor, patch: int, ignore: int, generator: torch.Generator) -> Tensor:
    """The label of a pixel drawn from each patch, or ``UNSURE`` if it is ignored: ``(M,)``.

    On average, a patch counts for each class by the fraction that the class fills. The label that fills most of it
    would hide what is thinner than half a patch.
    """
    Y, X = labels_YX.shape
    padded = F.pad(labels_YX, (0, -X % patch, 0, -Y % patch), value=ignore)
    within_MP = padded.unfold(0, patch, patch).unfold(1, patch, patch).flatten(2).flatten(0, 1)
    drawn_M1 = torch.randint(within_MP.shape[1], (len(within_MP), 1), generator=generator)
    label_M = within_MP.gather(1, drawn_M1)[:, 0]
    return label_M.masked_fill(label_M == ignore, UNSURE)


def fit_linear(features_ND: Tensor, labels_N: Tensor, classes: int, seed: int) -> LinearProbe:
    """Fit a linear layer as a probe is fitted, with the frequencies of the labels as priors."""
    how, even_N = ProbeSettings(), torch.ones(len(labels_N))
    generator = torch.Generator().manual_seed(seed)
    probe = fit_probe(
        features_ND, labels_N, even_N, classes, how.steps, how.batch_size, how.lr, how.weight_decay, generator
    )
    counts_K = torch.bincount(labels_N[labels_N != UNSURE], minlength=classes)
    return probe.with_priors(counts_K.clamp_min(1) / counts_K.sum())


@torch.no_grad()
def fill_decoder(decoder: LinearDecoder, probe: LinearProbe) -> None:
    """Set the decoder's weights; a class without a label starts as unlikely as the least likely other one."""
    seen_K = probe.bias_S > NEVER / 2
    decoder.linear.weight.copy_(probe.weight_SD)
    decoder.linear.bias.copy_(torch.where(seen_K, probe.bias_S, probe.bias_S[seen_K].min()))
