"""Settings of the backbone: which timm model it is, and its input."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tag2mask.fields import Form
from tag2mask.settings import Bands, Settings, Side

DecayKind = Literal["backbone", "heads", "tokens", "positions", "vectors"]
ClassAttention = Literal["all", "no_classes", "readers"]
OverLayers = Literal["mean", "product"]


def parse_layers(layers: Any) -> Any:
    """Check the number of last layers, or the list of layers counted from 1."""
    several = layers if isinstance(layers, list | tuple) else [layers]
    if layers is None or all(type(layer) is int and layer > 0 for layer in several):
        return layers
    raise ValueError("wanted the number of last layers, or a list of layers counted from 1")


MapLayers = Annotated[int | tuple[int, ...] | None, BeforeValidator(parse_layers), Form("INTEGER|[INTEGER, ...]")]


class BackboneSettings(Settings):
    """A plain timm ViT.

    ``positions``: ``resampled`` is ours; the others reproduce released code: ``released`` that of MCTformer and WeakTr,
    ``released-plus`` that of MCTformer+, ``bilinear`` that of WeakTr's segmenter.
    ``patch``, ``width``, ``depth``, ``heads`` and ``qkv_bias`` define another model of the same kind, to be trained
    from scratch. A text instead of a dictionary is the ``name``.
    """

    name: str = Field("vit_small_patch14_dinov2", description="Name of a plain timm ViT")
    image_size: Side = Field(224, description="Side of training crops in pixels")
    bands: Bands = Field(3, description="Number of bands of an image, as in the data")
    patch_weights: Literal["adapted", "fresh"] = Field(
        "adapted", description="Repeat pretrained patch weights over the bands, or draw new ones"
    )
    positions: Literal["resampled", "released", "released-plus", "bilinear"] = Field(
        "resampled", description="How position embeddings are resized to another patch grid"
    )
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="Stochastic depth rate of the last block, rising from 0 at the first"
    )
    patch: int | None = Field(None, gt=0, le=512, description="Side of a patch in pixels [the model's]")
    width: int | None = Field(None, gt=0, le=16_384, description="Width of tokens [the model's]")
    depth: int | None = Field(None, gt=0, le=256, description="Number of blocks [the model's]")
    heads: int | None = Field(None, gt=0, le=1024, description="Attention heads of a block [the model's]")
    qkv_bias: bool | None = Field(None, description="Whether queries, keys and values have a bias [the model's]")
    norm_eps: float | None = Field(None, gt=0, le=0.1, description="Epsilon of all LayerNorms [the model's]")

    @model_validator(mode="before")
    @classmethod
    def named(cls, values: Any) -> Any:
        """Take a text as the name."""
        return {"name": values} if isinstance(values, str) else values

    def shape(self) -> dict[str, Any]:
        """Differences from the named model, as arguments for timm."""
        chosen = {
            "patch_size": self.patch,
            "embed_dim": self.width,
            "depth": self.depth,
            "num_heads": self.heads,
            "qkv_bias": self.qkv_bias,
        }
        return {key: value for key, value in chosen.items() if value is not None}
