"""Other packages add methods, refiners, sources and converters: the examples of docs/plugins.md, as they stand."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tag2mask
from blocks import ROOT, blocks_of
from command import call
from tag2mask.data.sources import SOURCES, open_source
from tag2mask.errors import DataError, SettingsError
from tag2mask.exporters import CONVERTERS
from tag2mask.methods import METHODS
from tag2mask.refine.chain import PIXEL_REFINERS, refine_pixels

PAGE = ROOT / "docs/plugins.md"
REGISTRIES: tuple[Any, ...] = (METHODS, SOURCES, CONVERTERS, PIXEL_REFINERS)
Install = Callable[[Mapping[str, str], Mapping[str, Mapping[str, str]]], None]

WRONG = """
from pathlib import Path

from tag2mask.data.sources import Source
from tag2mask.methods import LinearCAM, MethodEntry
from tag2mask.methods.baselines import BaselineSettings


class Blind(LinearCAM):
    def __init__(self, backbone, classes, settings):
        super(LinearCAM, self).__init__(classes)


class Bare(Source):
    def names(self):
        return []


class Loose(Source):
    layout, settings_class = "ROOT", dict

    def __init__(self, root, settings):
        pass

    def names(self):
        return []

    def record(self, name):
        raise KeyError(name)


BLIND = MethodEntry(BaselineSettings, {}, Blind)
NO_SETTINGS = MethodEntry(dict, {}, Blind)
NO_BUILD = MethodEntry(BaselineSettings, {}, None)


def shrink(image, maps_KYX):
    return maps_KYX[:, 1:]


def to_numpy(image, maps_KYX):
    return maps_KYX.numpy()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package: the texts of its modules by name, and its entry points by group."""
    site = tmp_path / "site"
    modules: list[str] = []

    def write(texts: Mapping[str, str], points: Mapping[str, Mapping[str, str]]) -> None:
        info = site / "other-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
        with (info / "entry_points.txt").open("w") as file:
            for group, named in points.items():
                file.writelines([f"[{group}]\n", *(f"{name} = {value}\n" for name, value in named.items())])
        for name, text in texts.items():
            (site / f"{name}.py").write_text(text)
            modules.append(name)
        monkeypatch.syspath_prepend(str(site))
        forget()

    yield write
    forget()
    for name in modules:
        sys.modules.pop(name, None)


def forget() -> None:
    """Entry points are looked up once a process."""
    for registry in REGISTRIES:
        registry.__dict__.pop("others", None)


@pytest.fixture
def page(install: Install) -> None:
    """The package of docs/plugins.md."""
    points: dict[str, dict[str, str]] = {}
    for block in blocks("toml"):
        points |= tomllib.loads(block)["project"]["entry-points"]
    texts = {match[1]: block for block in blocks("python") if (match := re.match(r"# (\w+)\.py\n", block))}
    assert len(points) == len(texts) == len(REGISTRIES)
    install(texts, points)


def blocks(language: str) -> list[str]:
    return [block.text for block in blocks_of(PAGE) if block.language == language]


@pytest.fixture
def wrong(install: Install) -> None:
    points = {
        "tag2mask.methods": {
            "func": "other_wrong:Blind",
            "loose": "other_wrong:NO_SETTINGS",
            "unbuilt": "other_wrong:NO_BUILD",
            "blind": "other_wrong:BLIND",
            "broken": "other_nowhere:ENTRY",
            "linear": "other_wrong:BLIND",
        },
        "tag2mask.refiners": {
            "kind": "other_wrong:Blind",
            "shrink": "other_wrong:shrink",
            "to_numpy": "other_wrong:to_numpy",
            "pamr": "other_wrong:shrink",
        },
        "tag2mask.sources": {
            "func": "other_wrong:shrink",
            "bare": "other_wrong:Bare",
            "loose": "other_wrong:Loose",
            "voc": "other_wrong:Bare",
        },
        "tag2mask.converters": {"func": "other_wrong:shrink", "npz": "other_wrong:shrink"},
    }
    install({"other_wrong": WRONG}, points)


def test_the_pages_method_refiner_and_converter_work(
    page: None, squares: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    small = {**small, "epochs": 1, "method_settings": {"power": 2}}
    tag2mask.train(squares, tmp_path / "run", method="mean", **small)
    made = tag2mask.make_masks(
        tmp_path / "run", out=tmp_path / "smooth", split="val", refine={"names": "affinity,smooth"}
    )
    assert made.images == 4
    tag2mask.convert(made.path, "areas", tmp_path / "areas.csv")
    rows = [line.split(",") for line in (tmp_path / "areas.csv").read_text().splitlines()]
    assert rows[0] == ["image", "class", "pixels"]
    sides = [48 * 48, 48 * 56, 48 * 48, 48 * 56]
    assert sum(int(pixels) for _, _, pixels in rows[1:]) == sum(sides)
    plain, smooth = (
        tag2mask.load(tmp_path / "run", refine={"names": names}).localize(squares / "images/p00.png", ["red"])["red"]
        for names in ("none", "smooth")
    )
    mean = torch.nn.functional.avg_pool2d(torch.from_numpy(plain)[None], 3, stride=1, padding=1)[0].numpy()
    np.testing.assert_allclose(smooth, mean / mean.max(), atol=1e-5)
    assert np.abs(smooth - plain).max() > 0.01


def test_the_pages_source_is_prepared(page: None, squares: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, tag in enumerate(["cow", "dog", "cow"]):
        (photos / f"{tag}-{number}.png").write_bytes((squares / f"images/p0{number}.png").read_bytes())
    with pytest.raises(DataError, match=r"holds no such images; expected: ROOT/TAG_NUMBER\.png"):
        open_source("stems", photos, {})
    made = tag2mask.prepare("stems", photos, tmp_path / "made", between="-")
    assert (made.images, made.tagged) == (3, 3)
    rows = (tmp_path / "made/labels.csv").read_text().splitlines()[1:]
    assert sorted(rows) == ["cow-0.png,cow", "cow-2.png,cow", "dog-1.png,dog"]


@pytest.mark.parametrize(
    ("registry", "name", "message"),
    [
        (METHODS, "func", r"entry point tag2mask\.methods func \(other_wrong:Blind\) is not a MethodEntry"),
        (METHODS, "loose", r"has a settings_class that is not a subclass of tag2mask\.settings\.Settings"),
        (METHODS, "unbuilt", r"has a build that is not a function"),
        (PIXEL_REFINERS, "kind", r"entry point tag2mask\.refiners kind \(other_wrong:Blind\) is not a function"),
        (SOURCES, "func", r"entry point tag2mask\.sources func \(other_wrong:shrink\) is not a subclass of Source"),
        (SOURCES, "bare", r"lacks __init__, record, layout"),
        (SOURCES, "loose", r"has a settings_class that is not a subclass of tag2mask\.settings\.Settings"),
        (CONVERTERS, "func", r"entry point tag2mask\.converters func \(other_wrong:shrink\) is not a Converter"),
    ],
)
def test_what_is_the_wrong_kind_of_thing_is_named(
    wrong: None, registry: Mapping[str, Any], name: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=rf"{message}; see docs/plugins\.md$"):
        registry[name]


@pytest.mark.parametrize(
    ("registry", "name"), [(METHODS, "linear"), (PIXEL_REFINERS, "pamr"), (SOURCES, "voc"), (CONVERTERS, "npz")]
)
def test_a_name_of_ours_is_refused(wrong: None, registry: Mapping[str, Any], name: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"{name} \(other_wrong:\w+\) has the name of tag2mask's own {name}; rename"
    ):
        registry[name]
    assert list(registry).count(name) == 1
    assert len(registry) == len(list(registry))


def test_what_cannot_be_loaded_is_named(wrong: None, squares: Path, tmp_path: Path) -> None:
    broken = r"entry point tag2mask\.methods broken \(other_nowhere:ENTRY\) cannot be loaded"
    with pytest.raises(SettingsError, match=broken):
        tag2mask.train(squares, tmp_path / "run", method="broken")
    with pytest.raises(SettingsError, match=r"method 'blinnd' is unknown; choose one of .*blind"):
        tag2mask.train(squares, tmp_path / "run", method="blinnd")


def test_a_method_without_a_transformer_is_refused(
    wrong: None, squares: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"method blind: it has no self\.vit, a tag2mask\.vit\.vit\.ViT"):
        tag2mask.train(squares, tmp_path / "run", method="blind", **{**small, "method_settings": {}})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "got"), [("shrink", r"\(2, 7, 9\)"), ("to_numpy", "ndarray")])
def test_a_refiner_must_return_maps(wrong: None, name: str, got: str) -> None:
    with pytest.raises(SettingsError, match=rf"refiner {name}: returned {got}, expected a tensor of shape \(2, 8, 9\)"):
        refine_pixels(torch.rand(3, 8, 9), torch.rand(2, 8, 9), [name])


@pytest.mark.parametrize("verb", ["prepare", "masks", "convert"])
def test_help_names_plug_ins(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, verb, "--help") == 0
    assert "installed plug-ins" in " ".join(capsys.readouterr().out.split())
