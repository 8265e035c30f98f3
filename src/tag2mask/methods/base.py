"""The contract between a method and everything around it.

Shapes: B batch, C classes, M patches, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.data.transforms import Crops
from tag2mask.methods.teacher import Teacher
from tag2mask.vit.groups import ParameterGroup
from tag2mask.vit.vit import ViT


@dataclass(frozen=True)
class Ask:
    """What the caller wants beside the logits; what nobody asked for is not computed."""

    maps: bool = False
    affinity: bool = False


LOGITS = Ask()
Views = Sequence[Tensor]


@dataclass(frozen=True)
class Evidence:
    """What a method returns for a batch.

    ``scores_BC`` are the logits that decide presence and painting order; ``logits`` holds every ``(B, C)`` logit
    that enters the loss, by name; ``terms`` the named scalars that do (a gate penalty); ``maps_BChw >= 0``, not yet
    spread by any affinity, and ``affinity_BMM`` are there if they were asked for.
    """

    scores_BC: Tensor
    logits: dict[str, Tensor]
    terms: dict[str, Tensor] = field(default_factory=dict)
    maps_BChw: Tensor | None = None
    affinity_BMM: Tensor | None = None


@dataclass(frozen=True)
class Progress:
    """Where a training stands before a step: ``step`` of ``steps``, in ``epoch`` of ``epochs``; both count from 0."""

    step: int
    steps: int
    epoch: int
    epochs: int


@dataclass(frozen=True)
class Readout:
    """Logits that are linear in what a method reads for each class, w_c . r_c + b_c.

    ``read`` turns images into ``r (B, C, D)``; ``vector_CD`` and ``bias_C`` are the parameters w and b.
    """

    read: Callable[[Tensor], Tensor]
    vector_CD: nn.Parameter
    bias_C: nn.Parameter


class Method(nn.Module, ABC):
    """A method of weakly supervised segmentation. Abstract; a method is final: it overrides nothing that has a body.

    ``readout`` is there for methods whose head can be fitted to the untrained backbone before training, ``crops`` for
    those that learn from more than one view of an image, ``teacher`` for those that learn from themselves as they were.
    """

    vit: ViT
    readout: Readout | None = None
    crops: tuple[Crops, ...] = ()

    def __init__(self, classes: Classes | int) -> None:
        """A method for the tags of ``classes``: their names and the background, or no more than their number."""
        super().__init__()
        self.classes = unnamed_classes(classes) if isinstance(classes, int) else classes
        self.teacher: Teacher | None = None

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return self.vit.patch

    def open_heads(self) -> list[int] | None:
        """Open attention heads in every layer, or None for a method without gates."""
        return self.vit.open_heads() if self.vit.gated else None

    def kept_weights(self) -> dict[str, Tensor]:
        """What is kept of a training: all but a teacher that is there for training alone."""
        weights: dict[str, Tensor] = self.state_dict()
        if self.teacher is None or self.teacher.saved:
            return weights
        return {name: weight for name, weight in weights.items() if not name.startswith("teacher.")}

    @abstractmethod
    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Look at normalised ``images (B, bands, Y, X)``, sides multiples of the patch; ``tags (B, C)`` in training.

        ``views`` has ``(B, count, bands, side, side)`` in training for each of ``crops``.
        """

    @abstractmethod
    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Named scalar terms; their sum is minimised. ``progress`` is for weights that change in training."""

    @abstractmethod
    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All trainable parameters, each in one group; those of one rate keep their order in the optimiser."""


def unnamed_classes(count: int) -> Classes:
    """Classes that nobody named."""
    return Classes(tuple(f"class {index}" for index in range(count)))


def require_multi_hot(tags: Tensor | None, images: int, classes: int) -> Tensor:
    """The tags, if they are multi-hot ``(B, C)``.

    Raises:
        ValueError: there are none, or they have another shape.
    """
    if tags is None or tuple(tags.shape) != (images, classes):
        got = "none" if tags is None else tuple(tags.shape)
        raise ValueError(f"training needs multi-hot tags of shape {(images, classes)}, got {got}")
    return tags


def soft_margins(evidence: Evidence, tags: Tensor) -> dict[str, Tensor]:
    """The multi-label soft margin loss of every branch: the mean over classes and images."""
    return {
        name: F.multilabel_soft_margin_loss(logits_BC.float(), tags.float())
        for name, logits_BC in evidence.logits.items()
    }
