"""The registry of methods, and how to build one.

To add a method, add a folder here and a line to ``METHODS``, or declare an entry point ``tag2mask.methods`` in another
package (docs/plugins.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from tag2mask.data.classes import Classes
from tag2mask.errors import SettingsError
from tag2mask.methods.attended import Attended, AttendedSettings, DynamicAttended, DynamicSettings
from tag2mask.methods.base import Ask, Evidence, Method, Progress
from tag2mask.methods.baselines import TSCAM, BaselineSettings, GradCAM, LinearCAM, Rollout, TSCAMSettings
from tag2mask.methods.mctformer import MCTformer, MCTformerSettings
from tag2mask.methods.toco import ToCo, ToCoSettings
from tag2mask.methods.tokenmasking import TokenMasking, TokenMaskingSettings
from tag2mask.methods.weaktr import WeakTr, WeakTrSettings
from tag2mask.registry import Registry
from tag2mask.settings import Settings
from tag2mask.vit.groups import ParameterGroup
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.vit import ViT
from tag2mask.vit.weights import Weights, WeightsReport, build_backbone

__all__ = [
    "METHODS", "TSCAM", "Ask", "Attended", "AttendedSettings", "DynamicAttended", "Evidence", "GradCAM", "LinearCAM",
    "MCTformer", "Method", "MethodEntry", "ParameterGroup", "Progress", "Rollout", "ToCo", "TokenMasking", "WeakTr",
    "build_method", "method_settings",
]  # fmt: skip


@dataclass(frozen=True)
class MethodEntry:
    """A method: its settings class, its deviations from that class's defaults, and the function that builds it."""

    settings_class: type[Settings]
    settings: Mapping[str, Any]
    build: Callable[[nn.Module, Classes, Any], Method]


def fault_of_method(found: Any) -> str:
    """Say why an entry point cannot be a method; empty if it can."""
    if not isinstance(found, MethodEntry):
        return "is not a MethodEntry"
    settings = found.settings_class
    if not (isinstance(settings, type) and issubclass(settings, Settings)):
        return "has a settings_class that is not a subclass of tag2mask.settings.Settings"
    return "" if callable(found.build) else "has a build that is not a function"


METHODS: Mapping[str, MethodEntry] = Registry(
    "tag2mask.methods",
    {
        "attended": MethodEntry(AttendedSettings, {}, Attended),
        "attended-dynamic": MethodEntry(DynamicSettings, {}, DynamicAttended),
        "tokenmasking": MethodEntry(TokenMaskingSettings, {}, TokenMasking),
        "tokenmasking-paper": MethodEntry(TokenMaskingSettings, {}, TokenMasking),  # its name in 0.1
        "tokenmasking-released": MethodEntry(
            TokenMaskingSettings,
            {"final_norm": False, "gates": "hard", "gate_start": "xavier", "heads": "all"},
            TokenMasking,
        ),
        "mctformer-v1": MethodEntry(MCTformerSettings, {"patches": "none"}, MCTformer),
        "mctformer-v2": MethodEntry(MCTformerSettings, {}, MCTformer),
        "mctformer-plus": MethodEntry(
            MCTformerSettings,
            {"patches": "rank", "contrast": 1.0, "fusion": "root", "map_layers": None},
            MCTformer,
        ),
        "weaktr": MethodEntry(WeakTrSettings, {}, WeakTr),
        "weaktr-random": MethodEntry(WeakTrSettings, {"query": "random"}, WeakTr),
        "toco": MethodEntry(ToCoSettings, {}, ToCo),
        "gradcam": MethodEntry(BaselineSettings, {}, GradCAM),
        "tscam": MethodEntry(TSCAMSettings, {}, TSCAM),
        "rollout": MethodEntry(BaselineSettings, {}, Rollout),
        "linear": MethodEntry(BaselineSettings, {}, LinearCAM),
    },
    fault_of_method,
)


def build_method(
    name: str, classes: Classes, backbone: BackboneSettings, method: Mapping[str, Any], weights: Weights
) -> tuple[Method, WeightsReport]:
    """Build a method for ``classes`` on a backbone with these ``weights``; ``method`` overrides its settings.

    Raises:
        SettingsError: unknown method, backbone or setting, or the method has no ``vit``.
        WeightsError: the weights are not available or do not fit.
    """
    settings = method_settings(name, method)
    model, report = build_backbone(backbone, weights)
    built = METHODS[name].build(model, classes, settings)
    if not isinstance(getattr(built, "vit", None), ViT):
        raise SettingsError(f"method {name}: it has no self.vit, a tag2mask.vit.vit.ViT; see docs/plugins.md")
    built.vit.place(backbone.positions, backbone.image_size)
    if built.teacher is not None:
        built.teacher.start()
    return built, report


def method_settings(name: str, method: Mapping[str, Any]) -> Settings:
    """Return all settings of a method: its class's defaults, then the method's own, then ``method``.

    Raises:
        SettingsError: unknown method or setting.
    """
    if name not in METHODS:
        raise SettingsError(f"method {name!r} is unknown; choose one of {', '.join(METHODS)}")
    entry = METHODS[name]
    return entry.settings_class.parse({**entry.settings, **method}, where=f"method {name}")
