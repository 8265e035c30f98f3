"""The transformer shared by all methods: a plain timm ViT with class tokens, registers, head gates and a tap.

Sequence: C class tokens, the backbone's own registers, M patches, our registers.
Shapes: B batch, C classes, D width, M patches, N tokens, h w patch grid, Y X pixels, P patch side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from timm.layers.format import Format
from timm.layers.patch_embed import PatchEmbed
from timm.layers.pos_embed_sincos import RotaryEmbeddingCat
from timm.models.eva import Eva, EvaBlock
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tag2mask.errors import SettingsError
from tag2mask.vit.attention import GatedAttention, Pass
from tag2mask.vit.gates import HardConcrete
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.positions import RESAMPLINGS, split_positions
from tag2mask.vit.settings import ClassAttention, MapLayers
from tag2mask.vit.tap import Tap
from tag2mask.vit.tokens import Tokens

TOKEN_STD = 0.02
PLAIN = "deit_small_patch16_224, vit_base_patch16_224, vit_small_patch14_dinov2, eva02_small_patch14_224"


@dataclass(frozen=True)
class Features:
    """Output of the last block, before any final norm: class tokens, patch tokens, and the patch grid."""

    class_BCD: Tensor
    patch_BMD: Tensor
    grid: tuple[int, int]


# From features before the class tokens enter, with the own class token as ``(B, 1, D)``, to class indices ``(B, S)``.
Choose = Callable[[Features], Tensor]


class ViT(nn.Module):
    """Wraps a timm model, whose modules it takes over and modifies in place.

    ``class_attention``: ``all`` is plain attention; with ``no_classes`` class tokens do not see each other; with
    ``readers`` no other token sees them either.
    In evaluation, class tokens do not see each other in the last ``cut`` blocks, whatever ``class_attention`` is.
    With ``token_blocks`` class tokens pass through that many last blocks alone, as ``readers``. They enter as the
    backbone's own class token plus an offset for each class, ``class_CD``, so each is exact without the others.
    With ``recompute``, the backward pass computes each block again, instead of keeping what it needs (gradient
    checkpointing): a third more work for a fraction of the memory.
    """

    recompute = False

    def __init__(
        self,
        backbone: nn.Module,
        classes: int,
        registers: int = 1,
        gated: bool = True,
        class_attention: ClassAttention = "all",
        token_noise: float = TOKEN_STD,
        gate: Callable[[int], HardConcrete] = HardConcrete,
        cut: int = 0,
        token_blocks: int | None = None,
    ) -> None:
        """Build the transformer; if ``gated``, ``gate`` creates the gates of a layer.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT, or has fewer than ``cut`` blocks.
        """
        super().__init__()
        plain = require_plain_vit(backbone)
        if cut > len(plain.blocks):
            raise SettingsError(f"cut={cut}, but the backbone has only {len(plain.blocks)} blocks")
        self.class_attention = class_attention
        self.cut = cut
        self.gated = gated
        self.patch = int(plain.patch_embed.patch_size[0])
        self.width = int(plain.embed_dim)
        self.patch_embed = plain.patch_embed
        # As with timm's dynamic_img_size: images of any size, patches as a grid.
        self.patch_embed.strict_img_size, self.patch_embed.flatten = False, False
        self.patch_embed.output_fmt = Format.NHWC
        class_1D, own_RD, self.position = split_positions(plain)
        self.resample = RESAMPLINGS["resampled"].later
        noise_CD = token_noise * nn.init.trunc_normal_(torch.empty(classes, self.width))
        self.enter = None if token_blocks is None else len(plain.blocks) - token_blocks
        late = self.enter is not None
        self.class_CD = nn.Parameter(noise_CD if late else class_1D + noise_CD)
        self.backbone_registers = nn.Parameter(torch.cat([class_1D, own_RD]) if late else own_RD)
        self.registers = nn.Parameter(nn.init.trunc_normal_(torch.empty(registers, self.width), std=TOKEN_STD))
        self.norm_pre = plain.norm_pre
        self.rope: nn.Module | None = plain.rope if isinstance(plain, Eva) else None
        self.rope_per_layer = isinstance(plain, Eva) and plain.rope_mixed
        self.blocks = nn.ModuleList(plain.blocks)
        self.attentions = [
            GatedAttention(cast(nn.Module, block.attn), gate if gated else None) for block in self.blocks
        ]
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            block.attn = attention
        self.norm = plain.fc_norm if isinstance(plain.norm, nn.Identity) else plain.norm

    def forward(self, images: Tensor, tap: Tap | None = None, choose: Choose | None = None) -> Features:
        """Compute features of images ``(B, bands, Y, X)``, sides multiples of the patch; ``tap`` collects on the way.

        With ``token_blocks``, ``choose`` selects the class tokens that enter; None selects all.

        Raises:
            SettingsError: a side is not a multiple of the patch.
        """
        Y, X = images.shape[-2:]
        if Y % self.patch or X % self.patch:
            raise SettingsError(f"image of {Y} x {X} pixels: sides must be multiples of the patch size, {self.patch}")
        grid = (Y // self.patch, X // self.patch)
        x_BND, tokens = self.embed(images, grid)
        allowed_NN = allowed(self.class_attention, tokens, x_BND)
        cuts = self.cut > 0 and allowed_NN is None and not self.training
        cut_NN = allowed("no_classes", tokens, x_BND) if cuts else allowed_NN
        ropes = self.rotations(grid)
        for layer, block in enumerate(self.blocks):
            if layer == self.enter:
                x_BND, tokens = self.insert(x_BND, tokens, grid, choose)
                cut_NN = allowed_NN = allowed("readers", tokens, x_BND)
            visible_NN = cut_NN if layer >= len(self.blocks) - self.cut else allowed_NN
            passing = Pass(replace(tokens, allowed_NN=visible_NN), tap, layer)
            rope = {} if ropes is None else {"rope": ropes[layer]}
            x_BND = x_BND if tap is None else tap.enter(layer, x_BND)
            if self.recompute and torch.is_grad_enabled():
                x_BND = checkpoint(partial(block, attn_mask=passing, **rope), x_BND, use_reentrant=False)
            else:
                x_BND = block(x_BND, attn_mask=passing, **rope)
            if tap is not None:
                tap.leave(layer, x_BND, tokens)
        return Features(x_BND[:, : tokens.classes], x_BND[:, tokens.patch_slice], grid)

    def embed(self, images: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tokens]:
        """Input of the first block, ``(B, N, D)``, and the order of its tokens."""
        patch_BMD = self.patch_embed(images).flatten(1, 2)
        if self.position is not None:
            patch_BMD = patch_BMD + self.positions_at(grid)
        class_CD = self.class_CD if self.enter is None else self.class_CD[:0]
        before_KD = torch.cat([class_CD, self.backbone_registers])
        x_BND = torch.cat(
            [
                before_KD.expand(images.shape[0], -1, -1).to(patch_BMD.dtype),
                patch_BMD,
                self.registers.expand(images.shape[0], -1, -1).to(patch_BMD.dtype),
            ],
            1,
        )
        return self.norm_pre(x_BND), Tokens(len(class_CD), len(before_KD), grid[0] * grid[1])

    def insert(
        self, x_BND: Tensor, tokens: Tokens, grid: tuple[int, int], choose: Choose | None
    ) -> tuple[Tensor, Tokens]:
        """Put the chosen class tokens before the others."""
        own_B1D = x_BND[:, :1]
        before = Features(own_B1D, x_BND[:, tokens.patch_slice], grid)
        offset_SD = self.class_CD if choose is None else self.class_CD[choose(before)]
        class_BSD = own_B1D + offset_SD.to(x_BND.dtype)
        classes = class_BSD.shape[1]
        return torch.cat([class_BSD, x_BND], 1), Tokens(classes, classes + tokens.first, tokens.patches)

    def positions_at(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings ``(1, M, D)`` for a patch grid, resampled from their own grid."""
        assert self.position is not None
        if tuple(self.position.shape[1:3]) == grid:
            return self.position.flatten(1, 2)
        return self.resample(self.position, grid).flatten(1, 2)

    def place(self, positions: str, image_size: int) -> None:
        """Resample positions to the grid of training crops; the named resampling also serves other grids later."""
        self.resample = RESAMPLINGS[positions].later
        grid = (image_size // self.patch, image_size // self.patch)
        if self.position is not None and tuple(self.position.shape[1:3]) != grid:
            with torch.no_grad():
                self.position = nn.Parameter(RESAMPLINGS[positions].start(self.position, grid).contiguous())

    def rotations(self, grid: tuple[int, int]) -> list[Tensor] | None:
        """Rotary embeddings of every layer; None if the backbone has none."""
        if self.rope is None:
            return None
        rope = cast(RotaryEmbeddingCat, self.rope).get_embed(shape=list(grid))
        if not self.rope_per_layer:
            return [rope] * len(self.blocks)
        return [rope[layer][attention.kept] for layer, attention in enumerate(self.attentions)]

    def parameter_groups(self) -> list[ParameterGroup]:
        """The backbone's parameters, in module order; the class tokens and our registers; the gates."""
        gates = tuple(gate.log_alpha_H for gate in self.gates())
        ids = {id(gate_H) for gate_H in gates}
        groups = [
            ParameterGroup("backbone", "positions", 0, () if self.position is None else (self.position,)),
            ParameterGroup("backbone", "tokens", None, (self.backbone_registers,)),
            *group_parameters(self.patch_embed.parameters(), "backbone", "backbone", layer=0, patches=True),
            *group_parameters(self.norm_pre.parameters(), "backbone", "backbone", layer=0),
            *group_parameters(() if self.rope is None else self.rope.parameters(), "backbone", "backbone"),
        ]
        for layer, block in enumerate(self.blocks, start=1):
            own = (parameter for parameter in block.parameters() if id(parameter) not in ids)
            groups += group_parameters(own, "backbone", "backbone", layer)
        return [
            *groups,
            *group_parameters(self.norm.parameters(), "backbone", "backbone"),
            ParameterGroup("tokens", "tokens", None, (self.class_CD, self.registers)),
            ParameterGroup("gates", "gates", None, gates),
        ]

    def gates(self) -> list[HardConcrete]:
        """The trainable gates, first layer first."""
        return [attention.gate for attention in self.attentions if isinstance(attention.gate, HardConcrete)]

    def expected_open_heads(self) -> Tensor:
        """sum_heads P(g > 0)."""
        return torch.stack([gate.open_probability().sum() for gate in self.gates()]).sum()

    def drop_norm(self) -> None:
        """Remove the final norm, for methods that read the raw residual stream."""
        self.norm = nn.Identity()

    def open_heads(self) -> list[int]:
        """Number of heads with an evaluation gate above 0, layer by layer."""
        return [int((attention.evaluation_gate(self.class_CD) > 0).sum()) for attention in self.attentions]

    def prune(self) -> None:
        """Remove closed heads from the weights; the output in evaluation does not change."""
        for attention in self.attentions:
            attention.prune()


def allowed(class_attention: ClassAttention, tokens: Tokens, x_BND: Tensor) -> Tensor | None:
    """Attention mask ``(N, N)``, True where a row's token may attend to a column's token; None for plain attention."""
    if class_attention == "all":
        return None
    C, count = tokens.classes, x_BND.shape[1]
    allowed_NN = torch.ones(count, count, dtype=torch.bool, device=x_BND.device)
    allowed_NN[:C, :C] = torch.eye(C, dtype=torch.bool, device=x_BND.device)
    if class_attention == "readers":
        allowed_NN[C:, :C] = False
    return allowed_NN


def recompute_blocks(module: nn.Module, on: bool) -> bool:
    """Switch ``recompute`` in all parts of ``module`` that are a ``ViT``; return whether there is one."""
    found = [part for part in module.modules() if isinstance(part, ViT)]
    for part in found:
        part.recompute = on
    return bool(found)


def chosen_layers(vit: ViT, layers: MapLayers, setting: str = "map_layers") -> frozenset[int]:
    """Indices (from 0) of the chosen layers: the last K, those of a list counted from 1, or all for None.

    Raises:
        SettingsError: the backbone has fewer layers, or the list is empty; the message names the method's ``setting``.
    """
    if layers is None or isinstance(layers, int):
        return last_layers(vit, layers, setting)
    missing = [layer for layer in layers if layer > len(vit.blocks)]
    if missing or not layers:
        problem = f"there is no layer {missing[0]}" if missing else "the list of layers is empty"
        raise SettingsError(f"method.{setting}: {problem}: the backbone has layers 1 to {len(vit.blocks)}")
    return frozenset(layer - 1 for layer in layers)


def last_layers(vit: ViT, count: int | None, setting: str = "attended_layers") -> frozenset[int]:
    """Indices of the last ``count`` layers; None for all.

    Raises:
        SettingsError: the backbone has fewer; the message names the method's ``setting``.
    """
    layers = len(vit.blocks)
    if count is not None and count > layers:
        raise SettingsError(
            f"method.{setting}: the last {count} layers were requested, but the backbone has only {layers}"
        )
    return frozenset(range(layers - (count or layers), layers))


def require_plain_vit(backbone: nn.Module) -> VisionTransformer | Eva:
    """Return ``backbone`` if it is a plain ViT.

    Raises:
        SettingsError: it is not; the message names some models that are.
    """
    # Subclasses (distilled, relative positions, ...) have other tokens or attention, so only the exact types count.
    why = ""
    if type(backbone) in (VisionTransformer, Eva):
        plain = cast(VisionTransformer | Eva, backbone)
        parts = {type(part) for part in (plain.patch_embed, *plain.blocks)} - {PatchEmbed, Block, EvaBlock}
        if not parts:
            return plain
        why = f" with {', '.join(sorted(part.__name__ for part in parts))}"  # a CNN before the blocks, or other blocks
    raise SettingsError(f"{type(backbone).__name__}{why} is not a plain ViT; use one such as {PLAIN}")
