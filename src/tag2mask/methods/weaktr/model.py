"""WeakTr: a small network weights every attention head; the weighted affinity spreads the coarse activation maps.

Zhu et al., "WeakTr: Exploring Plain Vision Transformer for Weakly-supervised Semantic Segmentation", 2023.
Implemented from the paper's text. Equation numbers are the paper's.
Shapes: B batch, C classes, D width, K heads of all layers, d head width, M patches, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Views, soft_margins
from tag2mask.methods.patch_head import PatchHead, mean_pooling
from tag2mask.methods.weaktr.settings import WeakTrSettings
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.tap import Tap, softmax_rows
from tag2mask.vit.vit import ViT, last_layers


def peaks(tap: Tap) -> Tensor:
    """Maximum of each head's output over all tokens, ``(B, K, d)``, heads in head-major order (Eq. 4)."""
    return torch.stack(tap.peaks, 2).flatten(1, 2).float()


def slices(tap: Tap) -> Tensor:
    """The same for what the released code treats as heads: every H-th value of the projected output, ``(B, K, d)``."""
    heads = tap.peaks[0].shape[1]
    of_layers = [output_BD.view(output_BD.shape[0], -1, heads).transpose(1, 2) for output_BD in tap.outputs]
    return torch.stack(of_layers, 2).flatten(1, 2).float()


QUERIES: Mapping[str, Callable[[Tap], Tensor]] = MappingProxyType({"peaks": peaks, "slices": slices, "random": peaks})


class AdaptiveFusion(nn.Module):
    """Adaptive attention fusion: a weight in (0, 1) for each of K heads, computed from the heads' outputs.

    Head-wise d -> 8 -> 1 without an activation in between, then K -> K / reduction -> K; 1,825 parameters at d = 64,
    K = 72.
    """

    HIDDEN = 8

    def __init__(self, heads: int, head_width: int, reduction: int) -> None:
        super().__init__()
        self.headwise = nn.Sequential(nn.Linear(head_width, self.HIDDEN), nn.Linear(self.HIDDEN, 1))
        self.across = across(heads, reduction)

    def forward(self, query_BKd: Tensor) -> Tensor:
        """``(B, K, d)`` to weights ``(B, K)``."""
        weight_BK: Tensor = self.across(self.headwise(query_BKd).squeeze(-1))
        return weight_BK


class RandomFusion(nn.Module):
    """RandWeight: the fusion across heads applied to one fixed random number per head, the same for every image."""

    random_K: Tensor

    def __init__(self, heads: int, reduction: int) -> None:
        super().__init__()
        self.register_buffer("random_K", torch.randn(heads))
        self.across = across(heads, reduction)

    def forward(self, query_BKd: Tensor) -> Tensor:
        """``(B, K, d)``, of which only B is used, to weights ``(B, K)``."""
        weight_K: Tensor = self.across(self.random_K)
        return weight_K.expand(query_BKd.shape[0], -1)  # len() would fix the batch size in an export


def across(heads: int, reduction: int) -> nn.Sequential:
    """Layers from one number per head to one weight per head: K -> K / reduction -> K."""
    hidden = max(heads // reduction, 1)
    return nn.Sequential(
        nn.Linear(heads, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, heads, bias=False), nn.Sigmoid()
    )


class WeakTr(Method):
    """The CAM network. Tokens are read from the raw residual stream, without the backbone's final norm.

    Attention, head outputs and coarse maps are detached before the fusion, so the fine loss trains only the fusion.
    """

    def __init__(self, backbone: nn.Module, classes: Classes | int, settings: WeakTrSettings | None = None) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT.
        """
        super().__init__(classes)
        settings = settings or WeakTrSettings()
        self.vit = ViT(backbone, len(self.classes), registers=0, gated=False, token_noise=0.0)
        self.vit.drop_norm()
        self.patch_head = PatchHead(len(self.classes), self.vit.width)
        attentions = self.vit.attentions
        self.layers, self.heads, width = len(attentions), attentions[0].heads, attentions[0].head_width
        self.query = QUERIES[settings.query]
        count = self.layers * self.heads
        self.fusion: nn.Module = (
            RandomFusion(count, settings.reduction)
            if settings.query == "random"
            else AdaptiveFusion(count, width, settings.reduction)
        )
        self.fine_scale = nn.Parameter(torch.tensor([1.0, 0.0])) if settings.fine_scale == "learned" else None
        self.all_layers = last_layers(self.vit, None)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute logits of class tokens, coarse maps and fine maps, and maps before spreading and affinity on request.

        The fine maps are those maps spread once by that affinity, P^ (relu(coarse) * C A^): the refiner ``affinity``
        computes them.
        """
        tap = Tap(self.all_layers, per_head=True, wants_heads=True)
        features = self.vit(images, tap)
        coarse_BChw = self.patch_head(features)
        with torch.autocast(images.device.type, enabled=False):
            weight_BK = self.weigh(tap)
            affinity_BMM = self.affinity(tap, weight_BK)
            attention_BCM = self.class_attention(tap, weight_BK)
            seed_BCM = coarse_BChw.relu().detach().flatten(2) * attention_BCM
            fine_BCM = seed_BCM @ affinity_BMM.transpose(1, 2)  # Eq. 8
        logits = {
            "class_tokens": features.class_BCD.float().mean(-1),
            "coarse": mean_pooling(coarse_BChw),
            "fine": self.rescaled(fine_BCM.mean(-1)),
        }
        return Evidence(
            # Without a learned scale, fine logits are never below 0, so the other two decide presence.
            scores_BC=(logits["class_tokens"] + logits["coarse"]) / 2,
            logits=logits,
            maps_BChw=on_grid(seed_BCM, features.grid) if ask.maps else None,
            affinity_BMM=affinity_BMM if ask.affinity else None,
        )

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Multi-label soft margin of class tokens, coarse maps and fine maps, all with weight 1."""
        return soft_margins(evidence, tags)

    def weigh(self, tap: Tap) -> Tensor:
        """W' ``(B, K)``, heads in head-major order."""
        weight_BK: Tensor = self.fusion(self.query(tap))
        return weight_BK

    def class_attention(self, tap: Tap, weight_BK: Tensor) -> Tensor:
        """Class rows of A^ = (1/K) sum_i W'_i A_i, ``(B, C, M)`` (Eq. 5)."""
        rows_BKCM = torch.stack([tap.rows[layer].detach() for layer in range(self.layers)], 2).flatten(1, 2)
        return torch.einsum("bk,bkcm->bcm", weight_BK, rows_BKCM) / weight_BK.shape[1]

    def affinity(self, tap: Tap, weight_BK: Tensor) -> Tensor:
        """Patch rows of A^, ``(B, M, M)``, recomputed layer by layer from queries and keys."""
        weight_BHL = weight_BK.view(-1, self.heads, self.layers)
        total_BMM: Tensor | None = None
        for layer, (q, k, tokens) in enumerate(tap.projections):
            rows_BHMM = softmax_rows(q, k, tokens.patch_slice, tokens)
            part_BMM = torch.einsum("bh,bhmn->bmn", weight_BHL[:, :, layer], rows_BHMM)
            total_BMM = part_BMM if total_BMM is None else total_BMM + part_BMM
        assert total_BMM is not None
        return total_BMM / weight_BK.shape[1]

    def rescaled(self, logits_BC: Tensor) -> Tensor:
        """Apply the learned scale and bias to the fine logits, if there are any."""
        return logits_BC if self.fine_scale is None else logits_BC * self.fine_scale[0] + self.fine_scale[1]

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's groups, and the patch head and the fusion at the class tokens' learning rate."""
        scale = () if self.fine_scale is None else (self.fine_scale,)
        new = (*self.patch_head.parameters(), *self.fusion.parameters(), *scale)
        return [*self.vit.parameter_groups(), *group_parameters(new, "tokens", "heads")]
