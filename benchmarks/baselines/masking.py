"""TokenMasking's released masking: a loop over images and classes, a draw of ``random`` and a write in place each."""

from __future__ import annotations

import random

from torch import Tensor


def mask_in_loops(class_BCD: Tensor, tags_BC: Tensor, ratio: float) -> Tensor:
    """Set absent classes' tokens to 0 with probability ``ratio``, one after another."""
    masked_BCD = class_BCD.clone()
    for image in range(tags_BC.shape[0]):
        for index in range(tags_BC.shape[1]):
            if tags_BC[image, index].item() == 0 and random.random() < ratio:
                masked_BCD[image, index] = 0
    return masked_BCD
