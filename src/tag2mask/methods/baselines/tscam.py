"""TS-CAM: class activations of patches, coupled with the class token's attention.

Gao et al., "TS-CAM: Token Semantic Coupled Attention Map for Weakly Supervised Object Localization", ICCV 2021.
Shapes: B batch, C classes, D width, M patches, h w patch grid.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Views, soft_margins
from tag2mask.methods.patch_head import PatchHead, mean_pooling
from tag2mask.settings import Settings
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.settings import MapLayers, OverLayers
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import ViT, chosen_layers, last_layers


class TSCAMSettings(Settings):
    """Settings of TS-CAM; the paper uses all layers."""

    map_layers: MapLayers = Field(
        None, description="Layers whose attention makes the maps: the last K, or a list counted from 1 [all]"
    )
    over_layers: OverLayers = Field("mean", description="Arithmetic mean over the layers, or geometric (product)")


class TSCAM(Method):
    """logit_c = mean_m S_c(m), with S a 3 x 3 convolution of the patch tokens; the map is A(m) max(S_c(m), 0).

    A is the attention of the single class token, averaged over layers, so it is the same for all classes.
    """

    def __init__(self, backbone: nn.Module, classes: Classes | int, settings: TSCAMSettings | None = None) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT.
        """
        super().__init__(classes)
        settings = settings or TSCAMSettings()
        self.vit = ViT(backbone, 1, registers=0, gated=False, token_noise=0.0)
        self.vit.drop_norm()
        self.patch_head = PatchHead(len(self.classes), self.vit.width)
        self.all_layers = last_layers(self.vit, None)
        self.over_layers = settings.over_layers
        self.map_layers = chosen_layers(self.vit, settings.map_layers)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute logits from the patches, and maps and affinity on request."""
        tap = Tap(
            self.map_layers if ask.maps else frozenset(),
            self.all_layers if ask.affinity else frozenset(),
        )
        features = self.vit(images, tap)
        semantic_BChw = self.patch_head(features)
        logits_BC = mean_pooling(semantic_BChw)
        coupled_BChw = None
        if ask.maps:
            attention_B1M = tap.class_maps(self.map_layers, self.over_layers) / len(self.map_layers)
            coupled_BChw = on_grid(attention_B1M, features.grid) * semantic_BChw.relu()
        return Evidence(
            scores_BC=logits_BC,
            logits={"patches": logits_BC},
            maps_BChw=coupled_BChw,
            affinity_BMM=tap.affinity_BMM,
        )

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Multi-label soft margin."""
        return soft_margins(evidence, tags)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's groups, and the patch head at the class token's learning rate."""
        return [*self.vit.parameter_groups(), *group_parameters(self.patch_head.parameters(), "tokens", "heads")]
