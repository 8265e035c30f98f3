"""From the groups that methods declare to the optimiser's: against names of parameters, by which 0.1 grouped them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from torch import nn

from backbones import FAMILIES, small
from numbered import numbered
from tag2mask.methods import METHODS, Method, method_settings
from tag2mask.training.schedule import optimiser_groups
from tag2mask.training.settings import OptimiserSettings

HEADS = {"attended": "heads", "tokenmasking": "heads"}  # whose rate heads learn at; all others' is that of the tokens
SETTINGS = {
    "default": {},
    "warm": {"lr_heads": 5e-4, "decay": ["backbone", "heads"]},
    "layers": {"layer_decay": 0.65, "decay": ["backbone", "vectors"]},
    "all": {"decay": ["backbone", "heads", "tokens", "positions", "vectors"], "layer_decay": 0.9},
    "none": {"weight_decay": 0.0},
    "alike": {"lr_tokens": 1e-5, "lr_gates": 1e-5},
}


def build(name: str, family: str = "augreg", **settings: object) -> Method:
    chosen = {key: value for key, value in settings.items() if key in METHODS[name].settings_class.model_fields}
    return METHODS[name].build(small(family), numbered(3), method_settings(name, chosen))


def by_rate(method: Method, name: str) -> dict[str, list[nn.Parameter]]:
    """What 0.1's methods named: the transformer's parameters but for the new ones; those, and the head's; the gates."""
    gates = [parameter for key, parameter in method.named_parameters() if key.endswith("log_alpha_H")]
    new = [method.vit.class_CD, method.vit.registers]
    others = {id(parameter) for parameter in (*new, *gates)}
    found = {"backbone": [p for p in method.vit.parameters() if id(p) not in others], "tokens": new, "heads": []}
    rate = next((rate for start, rate in HEADS.items() if name.startswith(start)), "tokens")
    # A parameter of the method itself, WeakTr's scale, came last.
    own = sorted(method.named_parameters(), key=lambda item: "." not in item[0])
    found[rate] += [parameter for key, parameter in own if not key.startswith(("vit.", "teacher."))]
    if name == "linear":
        return {"tokens": list(method.head.parameters())}
    return {**found, "gates": gates}


def by_name(method: Method, name: str, settings: OptimiserSettings, fresh: bool) -> list[dict[str, Any]]:
    """0.1's groups for AdamW."""
    rates = {
        "backbone": settings.lr_backbone,
        "tokens": settings.lr_tokens,
        "heads": settings.lr_heads or settings.lr_tokens,
        "gates": settings.lr_gates,
    }
    names = {id(parameter): key for key, parameter in method.named_parameters()}
    depth = {}
    for key, parameter in method.named_parameters():
        if block := re.search(r"\bblocks\.(\d+)\.", key):
            depth[id(parameter)] = int(block[1]) + 1
        elif re.search(r"patch_embed|position|norm_pre", key):
            depth[id(parameter)] = 0
    last = max(depth.values(), default=0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for group, parameters in by_rate(method, name).items():
        for parameter in parameters:
            base = rates[group]
            if fresh and "patch_embed." in names[id(parameter)]:
                base = settings.lr_tokens
            elif group == "backbone":
                base *= settings.layer_decay ** (last - depth.get(id(parameter), last))
            decays = kind(group, names[id(parameter)], parameter) in settings.decay
            groups.setdefault((base, settings.weight_decay * decays), []).append(parameter)
    return [
        {"params": parameters, "lr": base, "base": base, "weight_decay": decay}
        for (base, decay), parameters in groups.items()
    ]


def kind(group: str, name: str, parameter: nn.Parameter) -> str:
    """0.1's kind of a parameter."""
    if group == "gates":
        return "gates"
    if re.search(r"\b(class_CD|registers|backbone_registers)$", name):
        return "tokens"
    if re.search(r"\bposition$", name):
        return "positions"
    if parameter.ndim < 2:
        return "vectors"
    return "backbone" if group == "backbone" else "heads"


def with_ids(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**group, "params": [id(parameter) for parameter in group["params"]]} for group in groups]


def require_as_before(method: Method, name: str) -> None:
    for chosen in SETTINGS.values():
        settings = OptimiserSettings.parse(chosen)
        for fresh in (False, True):
            found = optimiser_groups(method.parameter_groups(), settings, fresh)
            assert with_ids(found) == with_ids(by_name(method, name, settings, fresh))


@pytest.mark.parametrize("name", METHODS)
def test_groups_rates_decays_and_order_are_those_of_old_states(name: str) -> None:
    for pruning in (False, True):
        require_as_before(build(name, map_layers=2, attended_layers=2, pruning=pruning, fine_scale="learned"), name)


@pytest.mark.parametrize("family", FAMILIES)
def test_of_every_kind_of_backbone(family: str) -> None:
    require_as_before(build("attended", family, map_layers=2, attended_layers=2, pruning=True), "attended")
    require_as_before(build("gradcam", family), "gradcam")


@pytest.mark.parametrize("name", METHODS)
def test_every_trainable_parameter_is_in_one_group(name: str) -> None:
    method = build(name, map_layers=2, attended_layers=2, pruning=True, fine_scale="learned")
    declared = [id(parameter) for group in method.parameter_groups() for parameter in group.parameters]
    assert sorted(declared) == sorted(id(parameter) for parameter in method.parameters() if parameter.requires_grad)


def test_layers_and_kinds_have_their_own_rates() -> None:
    method = build("attended", map_layers=2, attended_layers=2, pruning=True)
    settings = OptimiserSettings(lr_backbone=1.0, lr_tokens=5.0, lr_gates=7.0, layer_decay=0.5, weight_decay=0.1)
    found = rates(method, settings)
    assert len(found) == len(list(method.parameters()))
    assert found[id(method.vit.blocks[2].mlp.fc1.weight)] == (1.0, 0.1)
    assert found[id(method.vit.blocks[2].mlp.fc1.bias)] == (1.0, 0.0)
    assert found[id(method.vit.blocks[0].mlp.fc1.weight)] == (0.25, 0.1)
    assert found[id(method.vit.patch_embed.proj.weight)] == (0.125, 0.1)
    assert found[id(method.vit.class_CD)] == (5.0, 0.0)
    assert found[id(method.vit.attentions[0].gate.log_alpha_H)] == (7.0, 0.0)


@pytest.mark.parametrize(("fresh", "wanted"), [(False, 1e-5), (True, 3e-3)])
def test_fresh_patches_learn_as_fast_as_tokens(fresh: bool, wanted: float) -> None:
    method = build("mctformer-v1")
    found = rates(method, OptimiserSettings(), fresh)
    assert {found[id(parameter)][0] for parameter in method.vit.patch_embed.parameters()} == {wanted}
    assert {found[id(parameter)][0] for parameter in method.vit.blocks.parameters()} == {1e-5}


def rates(method: Method, settings: OptimiserSettings, fresh: bool = False) -> dict[int, tuple[float, float]]:
    """Base rate and decay of every parameter by identity."""
    groups = optimiser_groups(method.parameter_groups(), settings, fresh)
    return {id(p): (group["base"], group["weight_decay"]) for group in groups for p in group["params"]}
