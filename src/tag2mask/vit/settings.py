"""Which timm model is the backbone and how it is fed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tag2mask.settings import Bands, Settings, Side


def counted(layers: Any) -> Any:
    """How many of the last layers, or a list of layers; both count from 1."""
    several = layers if isinstance(layers, list | tuple) else [layers]
    if layers is None or all(type(layer) is int and layer > 0 for layer in several):
        return layers
    raise ValueError("wanted the number of last layers, or a list of layers counted from 1")


MapLayers = Annotated[int | tuple[int, ...] | None, BeforeValidator(counted)]  # None: all


class BackboneSettings(Settings):
    """A plain timm ViT; ``image_size`` is the side of training crops in pixels.

    ``bands`` is the data's. Pretrained patch weights of three bands are ``adapted`` to another number as timm does, by
    repeating them; ``fresh`` draws new ones, which then learn at ``optimiser.lr_tokens``.
    ``positions``: how position embeddings are made for another patch grid; ``resampled`` is ours, the others are what
    released code does: ``released`` MCTformer's and WeakTr's, ``released-plus`` MCTformer+'s, ``bilinear`` WeakTr's
    segmenter's.
    ``norm_eps`` is that of all LayerNorms, None for the model's own.
    ``patch``, ``width``, ``depth``, ``heads`` and ``qkv_bias`` make another model of the same kind, to be trained from
    scratch.
    """

    name: str = "vit_small_patch14_dinov2"
    image_size: Side = 224
    bands: Bands = 3
    patch_weights: Literal["adapted", "fresh"] = "adapted"
    positions: Literal["resampled", "released", "released-plus", "bilinear"] = "resampled"
    drop_path: float = Field(0.1, ge=0, lt=1)
    patch: int | None = Field(None, gt=0, le=512)
    width: int | None = Field(None, gt=0, le=16_384)
    depth: int | None = Field(None, gt=0, le=256)
    heads: int | None = Field(None, gt=0, le=1024)
    qkv_bias: bool | None = None
    norm_eps: float | None = Field(None, gt=0, le=0.1)

    def shape(self) -> dict[str, Any]:
        """What differs from the named model, in timm's words."""
        chosen = {
            "patch_size": self.patch,
            "embed_dim": self.width,
            "depth": self.depth,
            "num_heads": self.heads,
            "qkv_bias": self.qkv_bias,
        }
        return {key: value for key, value in chosen.items() if value is not None}
