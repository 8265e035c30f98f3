"""A random walk over patches: scores spread between neighbours that a small network considers to belong together.

Ahn and Kwak, "Learning Pixel-level Semantic Affinity with Image-level Supervision for Weakly Supervised Semantic
Segmentation", CVPR 2018, as MCTformer (CVPR 2022) uses it, on blocks of a frozen ViT instead of stages of a ResNet38.
Shapes: B batch, D width, M patches, P pairs of patches, S scores (the background's first if there is one), h w patch
grid, Y X pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.data.transforms import eval_resize
from tag2mask.files import file_hash
from tag2mask.stored import damaged, read_stored
from tag2mask.training.run import RunConfig, fill, require_parts
from tag2mask.vit.grid import resize, to_patches, to_pixels
from tag2mask.vit.vit import require_plain_vit
from tag2mask.vit.weights import build_backbone

CONFIG, METRICS, WEIGHTS = "config.yaml", "metrics.jsonl", "walk.safetensors"
WIDTHS = (64, 128, 256)  # of the features read after one third, two thirds and all of the blocks


class AffinityNet(nn.Module):
    """Features whose distance indicates whether two patches belong together; the backbone is frozen."""

    def __init__(self, backbone: nn.Module) -> None:
        """Add new layers to a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT.
        """
        super().__init__()
        plain = require_plain_vit(backbone)
        self.patch = int(plain.patch_embed.patch_size[0])
        self.width = int(plain.embed_dim)
        self.layers = [math.ceil(len(plain.blocks) * third / 3) - 1 for third in (1, 2, 3)]
        self.backbone = plain.requires_grad_(False)
        # On tokens a 1x1 convolution is a linear layer.
        self.narrow = nn.ModuleList(nn.Linear(self.width, width, bias=False) for width in WIDTHS)
        self.mix = nn.Linear(sum(WIDTHS), sum(WIDTHS), bias=False)
        for weight in self.narrow.parameters():
            nn.init.kaiming_normal_(weight)
        nn.init.xavier_uniform_(self.mix.weight, gain=4)

    def forward(self, images: Tensor) -> Tensor:
        """Compute features ``(B, M, 448)`` of images ``(B, bands, Y, X)``, sides multiples of the patch.

        The tokens of a block are standardised first, since their scale differs by orders of magnitude between
        backbones.
        """
        wanted = sorted(set(self.layers))
        with torch.no_grad():
            seen = self.backbone.forward_intermediates(
                images, indices=wanted, output_fmt="NLC", intermediates_only=True, stop_early=True
            )
        blocks = dict(zip(wanted, cast(list[Tensor], seen), strict=True))
        parts = [
            F.elu(narrow(F.layer_norm(blocks[layer], (self.width,))))
            for layer, narrow in zip(self.layers, self.narrow, strict=True)
        ]
        return F.elu(self.mix(torch.cat(parts, -1)))

    def new_parameters(self) -> list[nn.Parameter]:
        """The trainable parameters."""
        return [*self.narrow.parameters(), *self.mix.parameters()]


def offsets(radius: int) -> list[tuple[int, int]]:
    """Offsets (down, right) to the neighbours within ``radius``; only one of two opposite offsets."""
    return [
        (y, x)
        for y in range(radius)
        for x in range(-radius + 1, radius)
        if (y, x) > (0, 0) and x * x + y * y < radius * radius
    ]


def pairs(grid: tuple[int, int], radius: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """First and second patch of every neighbouring pair on a grid, ``(P,)`` each; patches at the border have fewer.

    The paper instead omits patches near the border as sources, which would leave corners without any transition.
    """
    patch_hw = torch.arange(grid[0] * grid[1], device=device).view(grid)
    first, second = [], []
    for y, x in offsets(radius):
        if y < grid[0] and abs(x) < grid[1]:
            left, right = max(-x, 0), grid[1] - max(x, 0)
            first.append(patch_hw[: grid[0] - y, left:right].flatten())
            second.append(patch_hw[y:, left + x : right + x].flatten())
    if not first:  # a grid of one patch
        return patch_hw.new_zeros(0), patch_hw.new_zeros(0)
    return torch.cat(first), torch.cat(second)


def pair_affinity(features_MD: Tensor, first_P: Tensor, second_P: Tensor) -> Tensor:
    """a_ij = exp(-mean_d |f_i - f_j|), ``(P,)``."""
    return (features_MD[first_P] - features_MD[second_P]).abs().mean(1).neg().exp()


def transition(affinity_P: Tensor, first_P: Tensor, second_P: Tensor, patches: int, beta: float) -> Tensor:
    """T = A^beta D^-1, ``(M, M)``: A is symmetric with diagonal 1, its power is elementwise; T's columns sum to 1."""
    affinity_MM = torch.eye(patches, device=affinity_P.device)
    affinity_MM[first_P, second_P] = affinity_MM[second_P, first_P] = affinity_P**beta
    return affinity_MM / affinity_MM.sum(0)


def walk(scores_SM: Tensor, transition_MM: Tensor, squarings: int) -> Tensor:
    """Scores times T^(2^squarings), step by step, which for few scores is far cheaper than squaring T."""
    for _ in range(2**squarings):
        scores_SM = scores_SM @ transition_MM
    return scores_SM


class WalkConfig(RunConfig):
    """The ``config.yaml`` of a walk."""

    truth_used: str = "none"


@dataclass(frozen=True)
class Walk:
    """A trained walk with its weights in memory."""

    path: Path
    settings: WalkSettings
    net: AffinityNet
    mean: tuple[float, ...]
    std: tuple[float, ...]
    truth_used: str

    @torch.no_grad()
    def __call__(self, image: Tensor, scores_SYX: Tensor) -> Tensor:
        """Scores ``(S, Y, X)`` after the walk; ``image (bands, Y, X)`` is in [0, 1]."""
        pixels, size = eval_resize(image, self.settings.side, self.net.patch, self.mean, self.std)
        device = self.net.mix.weight.device
        scores_Shw = to_patches(scores_SYX.float(), size, self.net.patch).to(device)
        high, wide = scores_Shw.shape[-2:]
        first_P, second_P = pairs((high, wide), self.settings.radius, device)
        affinity_P = pair_affinity(self.net(pixels[None].to(device))[0], first_P, second_P)
        transition_MM = transition(affinity_P, first_P, second_P, high * wide, self.settings.beta)
        walked_Shw = walk(scores_Shw.flatten(1), transition_MM, self.settings.squarings).view_as(scores_Shw)
        return resize(to_pixels(walked_Shw[None], self.net.patch, size), image.shape[-2:])[0].cpu()

    def origin(self) -> dict[str, str]:
        """Return the entry for a manifest."""
        return {"name": self.path.resolve().name, "sha256": file_hash(self.path / WEIGHTS)}


def open_walk(path: Path, device: torch.device | str = "cpu") -> Walk:
    """Open a walk folder.

    Raises:
        RunError: it is not a walk, or it is damaged.
    """
    require_parts(path, (CONFIG, WEIGHTS), "a walk", "refine-train")
    config = read_stored(path / CONFIG, WalkConfig)
    settings = WalkSettings.parse(config.settings, where=str(path / CONFIG))
    with damaged(path / CONFIG):
        if settings.backbone is None:
            raise ValueError("'settings.backbone' is missing")
        mean, std = config.statistics(settings.backbone.bands)
    net = AffinityNet(build_backbone(settings.backbone, "none")[0])
    fill(net, path / WEIGHTS)
    return Walk(path, settings, net.to(device).eval(), mean, std, config.truth_used)
