"""What settings classes say of their settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from tag2mask.data.sources import SOURCES
from tag2mask.fields import Form, Setting, settings_of
from tag2mask.methods import METHODS
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.settings import Settings
from tag2mask.workflows.settings import WholeSettings

LOADED = (SOURCES, METHODS, WholeSettings)  # their settings classes are


class Group(Settings):
    pair: tuple[float, ...] = Field((1.0, 2.0), description="Numbers")
    depth: int | None = Field(None, description="Blocks [the model's]")


class Whole(Settings):
    kind: Literal["a", "b"] = Field("a", description="Kind")
    name: Annotated[str, Form("FILE|none")] | None = Field(None, description="Name")
    flag: bool = Field(False, description="Whether")
    group: Group = Group()
    other: Group | None = Field(None, description="the first's")
    free: dict[str, Any] = Field(default_factory=dict, description="More")


def all_settings() -> Iterator[type[Settings]]:
    """Every settings class of the package that is loaded."""
    waiting = [Settings]
    while waiting:
        for one in waiting.pop().__subclasses__():
            waiting.append(one)
            if one.__module__.startswith("tag2mask."):
                yield one


def test_every_setting_is_described() -> None:
    for settings in all_settings():
        for setting in settings.listed():
            assert setting.description, f"{settings.__name__}.{setting.key}"
            assert setting.description.partition(" [")[0].strip() == setting.description.partition(" [")[0]
            assert not setting.description.endswith("."), setting
            assert "photograph" not in setting.description, setting


def test_a_class_lists_its_settings() -> None:
    assert settings_of(Whole) == [
        Setting("kind", Literal["a", "b"], "a|b", False, "a", "Kind"),
        Setting("name", str, "FILE|none", True, None, "Name"),
        Setting("flag", bool, "true|false", False, False, "Whether"),
        Setting("group.pair", tuple[float, ...], "[NUMBER, ...]", False, (1.0, 2.0), "Numbers"),
        Setting("group.depth", int, "INTEGER", True, None, "Blocks [the model's]"),
        Setting("other.pair", tuple[float, ...], "[NUMBER, ...]", False, None, "Numbers [the first's]"),
        Setting("other.depth", int, "INTEGER", True, None, "Blocks [the first's]"),
        Setting("free", dict[str, Any], "GROUP", False, {}, "More"),
    ]


@pytest.mark.parametrize(
    ("key", "help_text"),
    [
        ("kind", "Kind [a]."),
        ("name", "Name."),
        ("flag", "Whether [false]."),
        ("group.pair", "Numbers [1.0,2.0]."),
        ("group.depth", "Blocks [the model's]."),
        ("other.pair", "Numbers [the first's]."),
    ],
)
def test_help_says_what_holds_unless_a_setting_is_set(key: str, help_text: str) -> None:
    assert {setting.key: setting for setting in settings_of(Whole)}[key].help() == help_text


def test_settings_are_listed() -> None:
    known = {setting.key: setting for setting in SegmentSettings.listed()}
    assert known["batch_size"] == Setting("batch_size", int, "INTEGER", False, 4, "Crops per step and process")
    assert known["optimiser.lr"].help() == "Learning rate of the decoder [0.0001]."
    assert known["optimiser.kind"].form == "adamw|sgd"
    assert known["backbone.depth"].help() == "Number of blocks [the run's own]."  # not the model's
    assert (known["clipping.tau"].nullable, known["clipping.tau"].shown_default()) == (True, "")
