"""ToCo: contrasts patch tokens and class tokens, guided by confident labels from an inner layer's class map.

Ru et al., "Token Contrast for Weakly-Supervised Semantic Segmentation", CVPR 2023. Implemented from descriptions of the
paper's text; equation numbers refer to the README beside this file.
Shapes: B batch, C classes, D width, E projected width, K crops, M patches, m patches of a crop, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.data.transforms import Crops
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Views, require_multi_hot, soft_margins
from tag2mask.methods.teacher import Teacher
from tag2mask.methods.toco.settings import ToCoSettings
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import ViT, chosen_layers, last_layers

UNCERTAIN = -1  # the pseudo-label of patches between the thresholds; 0 is the background, c + 1 class c
PROJECTED = 256
RARE = -2.0  # initial bias: most classes are absent from most images
SMALL = 1e-6
NOTHING = -1e4  # a logit with no weight in a softmax and zero gradient


@dataclass(frozen=True)
class BackboneOutput:
    """Tokens of the backbone after its final norm, in float32.

    ``class_BD`` and ``patch_BMD`` come from the last block, ``inner_BMD`` from the auxiliary layer.
    """

    class_BD: Tensor
    patch_BMD: Tensor
    inner_BMD: Tensor
    grid: tuple[int, int]


class PooledClassifier(nn.Module):
    """A linear classifier on the maximum of each channel over the patches; the bias does not enter the maps."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.vector_CD = nn.Parameter(nn.init.trunc_normal_(torch.empty(classes, width), std=0.02))
        self.bias_C = nn.Parameter(torch.full((classes,), RARE))

    def forward(self, patch_BMD: Tensor) -> Tensor:
        """w_c . max_m x_m + b_c, ``(B, M, D)`` to ``(B, C)`` (Eq. 1)."""
        return patch_BMD.amax(1) @ self.vector_CD.T + self.bias_C

    def maps(self, patch_BMD: Tensor) -> Tensor:
        """max(w_c . x_m, 0), ``(B, M, D)`` to class maps ``(B, C, M)`` (Eq. 2)."""
        return (patch_BMD @ self.vector_CD.T).transpose(1, 2).relu()


class ToCo(Method):
    """One class token, a classifier on the last patch tokens, and an auxiliary one on those of an inner layer.

    The class token enters no logit; it only serves the contrast. The maps come from the last layer's classifier.
    """

    def __init__(self, backbone: nn.Module, classes: Classes | int, settings: ToCoSettings | None = None) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT, or does not have the auxiliary layer.
        """
        super().__init__(classes)
        settings = settings or ToCoSettings()
        self.settings = settings
        self.vit = ViT(backbone, 1, registers=0, gated=False, token_noise=0.0)
        self.all_layers = last_layers(self.vit, None)
        [self.inner_layer] = chosen_layers(
            self.vit, (settings.auxiliary_layer or five_sixths(self.vit),), "auxiliary_layer"
        )
        self.head = PooledClassifier(len(self.classes), self.vit.width)
        self.auxiliary_head = PooledClassifier(len(self.classes), self.vit.width)
        self.projector = nn.Sequential(
            nn.Linear(self.vit.width, self.vit.width), nn.GELU(), nn.Linear(self.vit.width, PROJECTED)
        )
        self.teacher = Teacher(self.projector, settings.momentum)
        side = max(round(settings.crop_side / self.vit.patch), 1) * self.vit.patch
        self.crops = (Crops(settings.crops, side, settings.crop_scale),)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute logits of both classifiers, the contrasts in training, and class maps and affinity on request.

        Raises:
            ValueError: in training, the tags are missing or not of shape ``(B, C)``.
        """
        tap = self.tap(ask)
        whole = self.look(images, tap)
        with torch.autocast(images.device.type, enabled=False):
            logits = {"patches": self.head(whole.patch_BMD), "auxiliary": self.auxiliary_head(whole.inner_BMD)}
            maps_BCM = self.head.maps(whole.patch_BMD) if ask.maps else None
        return Evidence(
            scores_BC=logits["patches"],
            logits=logits,
            terms=self.contrasts(whole, tags, views) if self.training else {},
            maps_BChw=None if maps_BCM is None else on_grid(maps_BCM, whole.grid),
            affinity_BMM=tap.affinity_BMM,
        )

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Soft margins of both classifiers + alpha L_ptc + beta L_ctc; alpha = beta = 0 during warm-up (Eq. 7)."""
        on = progress.step >= self.settings.warmup * progress.steps
        weights = {"patch_contrast": self.settings.patch_contrast, "class_contrast": self.settings.class_contrast}
        contrasts = {name: on * weights[name] * term for name, term in evidence.terms.items()}
        return {**soft_margins(evidence, tags), **contrasts}

    def tap(self, ask: Ask = LOGITS) -> Tap:
        """Return the tap that reads the inner layer, and what ``ask`` needs, from the backbone."""
        affinity_layers = self.all_layers if ask.affinity else frozenset()
        return Tap(affinity_layers=affinity_layers, patch_layers=frozenset({self.inner_layer}))

    def look(self, images: Tensor, tap: Tap) -> BackboneOutput:
        """Run the backbone on images ``(B, bands, Y, X)``; ``tap`` reads the inner layer."""
        features = self.vit(images, tap)
        return BackboneOutput(
            class_BD=self.vit.norm(features.class_BCD[:, 0]).float(),
            patch_BMD=self.vit.norm(features.patch_BMD).float(),
            inner_BMD=self.vit.norm(tap.patches[self.inner_layer]).float(),
            grid=features.grid,
        )

    def contrasts(self, whole: BackboneOutput, tags: Tensor | None, views: Views) -> dict[str, Tensor]:
        """L_ptc, and L_ctc if there are local crops ``(B, K, bands, side, side)``, both unweighted."""
        tags_BC = require_multi_hot(tags, len(whole.class_BD), len(self.classes))
        with torch.no_grad(), torch.autocast(tags_BC.device.type, enabled=False):
            maps_BCM = self.auxiliary_head.maps(whole.inner_BMD) * tags_BC.unsqueeze(-1)
        peak_BC = maps_BCM.amax(-1)
        label_BM = pseudo_labels(relative(maps_BCM, peak_BC), self.settings.low, self.settings.high)
        terms = {"patch_contrast": patch_contrast(whole.patch_BMD, label_BM)}
        for crops in views:
            terms["class_contrast"] = self.contrast_crops(whole, crops, peak_BC, tags_BC)
        return terms

    def contrast_crops(self, whole: BackboneOutput, crops: Tensor, peak_BC: Tensor, tags_BC: Tensor) -> Tensor:
        """L_ctc of crops ``(B, K, bands, side, side)``, which the auxiliary classifier labels relative to the image."""
        local = self.look(crops.flatten(0, 1), self.tap())
        count = crops.shape[:2]
        assert self.teacher is not None
        with torch.autocast(crops.device.type, enabled=False):
            with torch.no_grad():
                maps_BKCm = on_crops(self.auxiliary_head.maps(local.inner_BMD), count) * tags_BC[:, None, :, None]
                label_BK = crop_labels(relative(maps_BKCm, peak_BC[:, None]), self.settings.low, self.settings.high)
                global_BE = self.teacher(whole.class_BD)
            local_BKE = on_crops(self.projector(local.class_BD), count)
            return class_contrast(global_BE, local_BKE, label_BK, self.settings.temperature)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's groups, and both classifiers and the projector at the class token's learning rate."""
        new = (self.head, self.auxiliary_head, self.projector)
        return [
            *self.vit.parameter_groups(),
            *group_parameters((parameter for module in new for parameter in module.parameters()), "tokens", "heads"),
        ]


def five_sixths(vit: ViT) -> int:
    """The paper's auxiliary layer, scaled to the depth of the ViT and counted from 1: 10 of 12."""
    return max(5 * len(vit.blocks) // 6, 1)


def on_crops(of_crops: Tensor, count: Sequence[int]) -> Tensor:
    """Reshape ``(B K, ...)`` to ``(B, K, ...)``; ``count`` is (B, K)."""
    return of_crops.reshape(*count, *of_crops.shape[1:])


def relative(maps: Tensor, peak: Tensor) -> Tensor:
    """Divide class maps ``(..., C, M)`` by their peak ``(..., C)``; a class without a peak becomes 0 (Eq. 3)."""
    share = maps / peak.clamp_min(SMALL).unsqueeze(-1)
    return share * (peak > SMALL).unsqueeze(-1)


def pseudo_labels(maps_BCM: Tensor, low: float, high: float) -> Tensor:
    """Labels ``(B, M)`` from relative class maps: best class + 1 from ``high`` upwards, 0 up to ``low`` (Eq. 4)."""
    best_BM, class_BM = maps_BCM.max(1)
    label_BM = torch.where(best_BM >= high, class_BM + 1, UNCERTAIN)
    return torch.where(best_BM <= low, 0, label_BM)


def patch_contrast(patch_BMD: Tensor, label_BM: Tensor) -> Tensor:
    """Mean 1 - cos over pairs with equal labels + mean cos over pairs with different labels (Eq. 5).

    Pairs are within an image; the loss is the mean over images. Uncertain patches form no pairs; a mean over no pairs
    is 0.
    """
    unit_BMD = F.normalize(patch_BMD.float(), dim=-1)
    with torch.autocast(unit_BMD.device.type, enabled=False):
        cosine_BMM = unit_BMD @ unit_BMD.transpose(1, 2)
    sure_BM = label_BM != UNCERTAIN
    other_MM = ~torch.eye(label_BM.shape[1], dtype=torch.bool, device=label_BM.device)
    pair_BMM = sure_BM.unsqueeze(1) & sure_BM.unsqueeze(2) & other_MM
    alike_BMM = label_BM.unsqueeze(1) == label_BM.unsqueeze(2)
    together_B = masked_mean((1 - cosine_BMM).flatten(1), (pair_BMM & alike_BMM).flatten(1))
    apart_B = masked_mean(cosine_BMM.flatten(1), (pair_BMM & ~alike_BMM).flatten(1))
    return (together_B + apart_B).mean()


def crop_labels(maps_BKCm: Tensor, low: float, high: float) -> Tensor:
    """Labels of crops ``(B, K)``: relative maps, averaged over each crop, thresholded as for patches."""
    return pseudo_labels(maps_BKCm.clamp_max(1).mean(-1).transpose(1, 2), low, high)


def class_contrast(global_BE: Tensor, local_BKE: Tensor, label_BK: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each uncertain crop against the background crops; mean per image, then over images (Eq. 6)."""
    similarity_BK = F.cosine_similarity(global_BE.unsqueeze(1), local_BKE, dim=-1) / temperature
    negative_B1 = similarity_BK.masked_fill(label_BK != 0, NOTHING).logsumexp(1, keepdim=True)
    # -log(e^s / (e^s + sum e^n)) = log(1 + e^(log sum e^n - s))
    return masked_mean(F.softplus(negative_B1 - similarity_BK), label_BK == UNCERTAIN).mean()


def masked_mean(values_BN: Tensor, chosen_BN: Tensor) -> Tensor:
    """Mean ``(B,)`` over the chosen values; 0 if none is chosen."""
    return (values_BN * chosen_BN).sum(1) / chosen_BN.sum(1).clamp_min(1)
