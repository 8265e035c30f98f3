"""The interface between a method and the rest of the library.

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
    """What the caller wants in addition to the logits; anything else is not computed.

    A method that looks only for likely classes also looks for ``classes``, given by their indices.
    """

    maps: bool = False
    affinity: bool = False
    classes: tuple[int, ...] = ()


LOGITS = Ask()
Views = Sequence[Tensor]


@dataclass(frozen=True)
class Evidence:
    """What a method returns for a batch.

    ``scores_BC`` are the logits that decide presence and painting order. ``logits`` holds all ``(B, C)`` logits that
    enter the loss, by name, and ``terms`` the scalar loss terms, such as a gate penalty. ``maps_BChw >= 0``, not yet
    spread by any affinity, and ``affinity_BMM`` are present if they were requested.
    """

    scores_BC: Tensor
    logits: dict[str, Tensor]
    terms: dict[str, Tensor] = field(default_factory=dict)
    maps_BChw: Tensor | None = None
    affinity_BMM: Tensor | None = None


@dataclass(frozen=True)
class Progress:
    """Progress of training before a step: ``step`` of ``steps`` in ``epoch`` of ``epochs``, both counted from 0."""

    step: int
    steps: int
    epoch: int
    epochs: int


@dataclass(frozen=True)
class Readout:
    """A head that is linear in one feature vector per class: the logit is w_c . r_c + b_c.

    ``read`` turns images into ``r (B, C, D)``; ``vector_CD`` and ``bias_C`` are the parameters w and b.
    """

    read: Callable[[Tensor], Tensor]
    vector_CD: nn.Parameter
    bias_C: nn.Parameter


class Method(nn.Module, ABC):
    """Base class of methods of weakly supervised segmentation. A subclass implements only the abstract methods.

    Its ``__init__`` calls ``super().__init__(classes)`` first and sets ``self.vit``, a ``tag2mask.vit.vit.ViT``
    (docs/plugins.md).
    ``readout`` is set by methods whose head can be fitted to the pretrained backbone before training, ``crops`` by
    methods that learn from several views of an image, ``teacher`` by methods that learn from an average of themselves.
    ``all_learn`` is False if some weights get no gradient, which processes that train together must know.
    """

    vit: ViT
    readout: Readout | None = None
    crops: tuple[Crops, ...] = ()
    all_learn: bool = True

    def __init__(self, classes: Classes | int) -> None:
        """Set the classes: names and background, or only their number.

        Raises:
            ValueError: there is no class.
        """
        super().__init__()
        if not isinstance(classes, int | Classes) or (isinstance(classes, int) and classes < 1):
            raise ValueError(f"classes is {classes!r}, expected Classes or their number, at least 1")
        self.classes = unnamed_classes(classes) if isinstance(classes, int) else classes
        self.teacher: Teacher | None = None

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return self.vit.patch

    def open_heads(self) -> list[int] | None:
        """Number of open attention heads in each layer; None for a method without gates."""
        return self.vit.open_heads() if self.vit.gated else None

    @property
    def computes_all(self) -> bool:
        """Whether all classes get maps, not only likely ones and those asked for."""
        return True

    def prune(self) -> None:
        """Remove closed attention heads from the weights, for evaluation; outputs do not change."""
        self.vit.prune()

    def kept_weights(self) -> dict[str, Tensor]:
        """Weights to save after training: all but those of a teacher that only training needs."""
        weights: dict[str, Tensor] = self.state_dict()
        if self.teacher is None or self.teacher.saved:
            return weights
        return {name: weight for name, weight in weights.items() if not name.startswith("teacher.")}

    @abstractmethod
    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Process normalised ``images (B, bands, Y, X)``, sides multiples of the patch; ``tags (B, C)`` in training.

        In training, ``views`` holds a tensor ``(B, count, bands, side, side)`` for each element of ``crops``.
        """

    @abstractmethod
    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Named scalar terms whose sum is minimised. ``progress`` is for weights that change during training."""

    @abstractmethod
    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All trainable parameters, each in exactly one group; the optimiser keeps their order within a rate."""


def unnamed_classes(count: int) -> Classes:
    """Return ``count`` classes with placeholder names."""
    return Classes(tuple(f"class {index}" for index in range(count)))


def require_multi_hot(tags: Tensor | None, images: int, classes: int) -> Tensor:
    """Return the tags if they are multi-hot ``(B, C)``.

    Raises:
        ValueError: they are missing or have another shape.
    """
    if tags is None or tuple(tags.shape) != (images, classes):
        got = "none" if tags is None else tuple(tags.shape)
        raise ValueError(f"training needs multi-hot tags of shape {(images, classes)}, got {got}")
    return tags


def soft_margins(evidence: Evidence, tags: Tensor) -> dict[str, Tensor]:
    """Multi-label soft margin loss of each branch, the mean over classes and images."""
    return {
        name: F.multilabel_soft_margin_loss(logits_BC.float(), tags.float())
        for name, logits_BC in evidence.logits.items()
    }
