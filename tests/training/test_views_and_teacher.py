"""A method that learns from several views of an image and from a teacher: it is defined here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from interruption import interrupted_after
from tag2mask import methods, train
from tag2mask.data import Classes
from tag2mask.data.settings import AugmentSettings
from tag2mask.data.transforms import Crops, OtherViews, train_transform
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Views, soft_margins
from tag2mask.methods.teacher import Teacher
from tag2mask.settings import Settings
from tag2mask.training import loop
from tag2mask.training.run import open_run
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.vit import ViT

MOMENTUM = 0.75
seen: list[list[Tensor]] = []  # the views of every training step


class ToySettings(Settings):
    """What can be chosen here."""

    saved: bool = False


class Toy(Method):
    """A linear head on a class token; small views are to say what the teacher says of two large ones."""

    crops = (Crops(2, 32, (0.4, 1.0)), Crops(3, 16, (0.05, 0.4)))

    def __init__(self, backbone: nn.Module, classes: Classes, settings: ToySettings) -> None:
        super().__init__(classes)
        self.vit = ViT(backbone, 1, registers=0, gated=False)
        self.head = nn.Linear(self.vit.width, len(classes))
        self.teacher = Teacher(self.vit, MOMENTUM, settings.saved)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        logits_BC = self.head(self.vit(images).class_BCD[:, 0])
        if not self.training:
            return Evidence(logits_BC, {"tokens": logits_BC})
        seen.append([view.clone() for view in views])
        large, small = views
        assert self.teacher is not None
        wanted_BCD = self.teacher(large[:, 0]).class_BCD
        assert not wanted_BCD.requires_grad
        terms = {"alike": (self.vit(small[:, -1]).class_BCD - wanted_BCD).square().mean()}
        return Evidence(logits_BC, {"tokens": logits_BC}, terms)

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        return {**soft_margins(evidence, tags), **evidence.terms}

    def parameter_groups(self) -> list[ParameterGroup]:
        return [*self.vit.parameter_groups(), *group_parameters(self.head.parameters(), "tokens", "heads")]


@pytest.fixture
def toy(small: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Settings of a training of it on 32 px in four steps."""
    entry = methods.MethodEntry(ToySettings, {}, Toy)
    monkeypatch.setattr(methods, "METHODS", {**methods.METHODS, "toy": entry})
    seen.clear()
    yield {**small, "method": "toy", "method_settings": {}, "optimiser": {"lr_backbone": 1e-3}}
    seen.clear()


def state(run: Path, prefix: str) -> dict[str, Tensor]:
    tensors = load_file(run / "state.safetensors")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def test_views_are_as_the_method_declares(squares: Path, tmp_path: Path, toy: dict[str, Any]) -> None:
    train(squares, tmp_path / "run", **toy)
    assert [[tuple(view.shape) for view in views] for views in seen] == [[(4, 2, 3, 32, 32), (4, 3, 3, 16, 16)]] * 4
    assert not torch.equal(seen[0][0][:, 0], seen[0][0][:, 1])
    assert not torch.equal(seen[0][1], seen[2][1])  # another epoch


def test_views_follow_the_seed_and_leave_the_first_crop_as_it_is() -> None:
    augment, statistics = AugmentSettings(), ((0.5,) * 3, (0.25,) * 3)
    first, views = train_transform(32, *statistics, augment), OtherViews(Toy.crops, *statistics, augment)
    image = torch.rand(3, 40, 50)

    def drawn(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return [first(image), *views(image)]

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    torch.manual_seed(1)
    assert torch.equal(first(image), one[0])


def test_the_teacher_is_the_mean_over_steps_of_its_student(
    squares: Path, tmp_path: Path, toy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, weights = loop.Trainer.step, []

    def noted(self: loop.Trainer, *batch: Tensor) -> bool:
        if not weights:
            weights.append({name: tensor.clone() for name, tensor in self.method.vit.state_dict().items()})
        moved = step(self, *batch)
        weights.append({name: tensor.clone() for name, tensor in self.method.vit.state_dict().items()})
        return moved

    monkeypatch.setattr(loop.Trainer, "step", noted)
    train(squares, tmp_path / "run", **toy)
    assert len(weights) == 5
    teacher = state(tmp_path / "run", "model.teacher.module.")
    assert teacher.keys() == weights[0].keys()
    for name, tensor in teacher.items():
        wanted = weights[0][name]
        for later in weights[1:]:
            wanted = MOMENTUM * wanted + (1 - MOMENTUM) * later[name]
        torch.testing.assert_close(tensor, wanted, atol=1e-6, rtol=1e-5)
    assert not torch.equal(teacher["blocks.0.mlp.fc1.weight"], weights[-1]["blocks.0.mlp.fc1.weight"])


@pytest.mark.parametrize("stop", [1, 3])
def test_resumed_it_is_the_uninterrupted_run(squares: Path, tmp_path: Path, toy: dict[str, Any], stop: int) -> None:
    train(squares, tmp_path / "whole", **toy)
    whole = list(seen)
    seen.clear()
    with interrupted_after(stop), pytest.raises(KeyboardInterrupt):
        train(squares, tmp_path / "halved", **toy)
    train(squares, tmp_path / "halved", resume=True, **toy)
    assert all(
        torch.equal(a, b) for one, other in zip(whole, seen, strict=True) for a, b in zip(one, other, strict=True)
    )
    for prefix in ("model.", "optimiser."):
        one, other = (state(tmp_path / name, prefix) for name in ("whole", "halved"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("saved", [False, True])
def test_kept_weights_hold_a_teacher_only_if_it_is_saved(
    squares: Path, tmp_path: Path, toy: dict[str, Any], saved: bool
) -> None:
    toy["backbone"] = {**toy["backbone"], "image_size": 64, "positions": "released"}  # positions are resampled later
    train(squares, tmp_path / "run", **{**toy, "method_settings": {"saved": saved}})
    kept = load_file(tmp_path / "run/model.safetensors")
    assert any(name.startswith("teacher.") for name in kept) == saved
    method = open_run(tmp_path / "run").load_method()
    assert (method.teacher is not None) == saved
    assert method(torch.randn(1, 3, 32, 32)).scores_BC.shape == (1, 3)
    if saved:
        assert torch.equal(method.teacher.module.class_CD, kept["teacher.module.class_CD"])


def test_the_teacher_looks_in_evaluation_and_is_not_trained() -> None:
    student = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.9), nn.BatchNorm1d(3))
    teacher = Teacher(student, 0.9).train()
    x = torch.randn(5, 3)
    assert torch.equal(teacher(x), teacher(x))
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    student(x)
    teacher.follow()
    assert torch.equal(teacher.module[2].running_mean, student[2].running_mean)
    assert {name.partition(".")[0] for name, _ in teacher.named_modules() if name} == {"module"}
