"""What a library user imports, without any settings object."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import timm
import torch

import tag2mask
from tag2mask.errors import SettingsError
from tag2mask.evaluation import confusion, iou
from tag2mask.masks import paint
from tag2mask.methods import METHODS, Ask, Attended, TokenMasking
from tag2mask.refine import crf, pamr

VERBS = [
    "check",
    "compare",
    "convert",
    "evaluate",
    "export",
    "load",
    "make_masks",
    "merge",
    "predict",
    "prepare",
    "push",
    "report",
    "run",
    "segment",
    "train",
    "view",
]


def backbone() -> torch.nn.Module:
    return timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3)


def test_every_verb_is_a_function() -> None:
    for verb in VERBS:
        assert callable(getattr(tag2mask, verb)), verb
        assert "Raises:" in getattr(tag2mask, verb).__doc__


def test_methods_are_modules_with_defaults() -> None:
    images, tags = torch.rand(2, 3, 32, 32), torch.tensor([[1.0, 0, 0], [0, 1, 1]])
    for build in (Attended, TokenMasking):
        method = build(backbone(), classes=3)
        assert method.training
        evidence = method(images, tags, Ask(maps=True))
        assert evidence.scores_BC.shape == (2, 3)
        assert evidence.maps_BChw.shape == (2, 3, 4, 4)
    assert all(len(entry.build(backbone(), 3).classes) == 3 for entry in METHODS.values())


def test_pure_functions_lead_from_maps_to_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    image, maps = torch.rand(3, 24, 32, generator=generator), torch.rand(2, 24, 32, generator=generator)
    spread = pamr(image, maps)
    labels = paint(spread.numpy())
    assert set(np.unique(labels)) <= {0, 1, 2}
    likely = crf(image, spread, iterations=2)
    torch.testing.assert_close(likely.sum(0), torch.ones(24, 32))
    counts = confusion(labels, labels, classes=3, ignore=255)
    assert np.nanmin(iou(counts)) == 1


def test_import_costs_no_torch() -> None:
    code = "import sys, tag2mask; print([name for name in ('torch', 'timm', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("verb", "key"), [("train", "epochs"), ("segment", "target"), ("make_masks", "paint.unsure")])
def test_signatures_and_docstrings_list_the_settings(verb: str, key: str) -> None:
    function = getattr(tag2mask, verb)
    parameter = inspect.signature(function).parameters[key.partition(".")[0]]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert re.search(rf"^    {re.escape(key)} \(.*\): \w", function.__doc__, re.MULTILINE)


IMAGE, SCORES = torch.rand(3, 8, 9), torch.rand(2, 8, 9)


@pytest.mark.parametrize("refine", [crf, pamr])
@pytest.mark.parametrize(
    ("image", "maps", "message"),
    [
        (IMAGE, SCORES[:, :4], r"have shapes \(3, 8, 9\) and \(2, 4, 9\), expected \(bands, Y, X\) and \(K, Y, X\)"),
        (IMAGE, SCORES[0], "have shapes"),
        (IMAGE, SCORES * torch.nan, "maps: holds values that are not finite"),
        ((IMAGE * 255).byte(), SCORES, r"image: expected a torch tensor of floats, got a tensor of torch.uint8"),
        (IMAGE, SCORES.numpy(), "maps: expected a torch tensor of floats, got ndarray"),
    ],
)
def test_refiners_refuse_what_does_not_fit(refine: Any, image: Any, maps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refine(image, maps)


def test_functions_refuse_what_would_give_nonsense() -> None:
    with pytest.raises(ValueError, match="expected one image, not a batch, and scores of at least 0"):
        crf(IMAGE, -SCORES)
    with pytest.raises(ValueError, match="expected one image, not a batch"):
        crf(IMAGE[None], SCORES[None])
    assert not crf(IMAGE, SCORES.requires_grad_()).requires_grad
    with pytest.raises(ValueError, match=r"expected finite maps \(K, Y, X\), got shape \(8, 9\)"):
        paint(np.zeros((8, 9)))
    with pytest.raises(ValueError, match="2 maps have 1 values"):
        paint(np.zeros((2, 8, 9)), values=[1])
    assert paint(torch.rand(2, 8, 9)).shape == (8, 9)
    assert confusion(torch.tensor([0, 1]), torch.tensor([0, 1]), 2, 255).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_a_method_needs_a_fresh_backbone_and_classes() -> None:
    model = backbone()
    Attended(model, 3)
    with pytest.raises(SettingsError, match="already belongs to a method, which took it over; pass a fresh model"):
        TokenMasking(model, 3)
    for classes in (0, -1, "3"):
        with pytest.raises(ValueError, match="expected Classes or their number, at least 1"):
            Attended(backbone(), classes)


def test_a_path_is_a_path() -> None:
    for call in (
        lambda: tag2mask.check(None),
        lambda: tag2mask.evaluate("masks", 3),
        lambda: tag2mask.import_checkpoint("a.pth", "weaktr", ["cow"], out="run"),
        lambda: tag2mask.load(None),
        lambda: tag2mask.compare("data", out="out", methods="linear"),
    ):
        with pytest.raises(tag2mask.Tag2MaskError, match="expected"):
            call()
