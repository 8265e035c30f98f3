from __future__ import annotations

import pytest
import torch

from tag2mask.methods.masking import keep_mask, mask_absent


def test_keep_mask_vector() -> None:
    """Section 8.6: y = [1,0,0,1], u = [.1,.2,.7,.9], rate .5 keeps [1,0,1,1]."""
    kept = keep_mask(torch.tensor([[0.1, 0.2, 0.7, 0.9]]), torch.tensor([[1.0, 0.0, 0.0, 1.0]]), 0.5)
    assert kept.tolist() == [[1.0, 0.0, 1.0, 1.0]]


@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 1.0])
def test_masking_drops_only_absent_classes_at_the_given_rate(ratio: float) -> None:
    torch.manual_seed(0)
    tags = (torch.rand(400, 50) < 0.1).float()
    masked = mask_absent(torch.ones(400, 50, 2), tags, ratio)
    assert (masked[tags.bool()] == 1).all()
    assert (masked[~tags.bool()][:, 0] == 0).float().mean().item() == pytest.approx(ratio, abs=0.01)
