"""Another package adds a method, a source, a refiner and a converter: a file each, and no file of ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tag2mask
from tag2mask.data.sources import SOURCES
from tag2mask.errors import SettingsError
from tag2mask.exporters import CONVERTERS
from tag2mask.masks.write import open_mask_set
from tag2mask.methods import METHODS
from tag2mask.refine.chain import PIXEL_REFINERS

METHOD = """
from tag2mask.methods import LinearCAM, MethodEntry
from tag2mask.methods.baselines import BaselineSettings


class Mine(LinearCAM):
    pass


ENTRY = MethodEntry(BaselineSettings, {}, Mine)
"""
REFINER = """
def turn(image, maps_KYX):
    return maps_KYX.flip(-1)
"""
CONVERTER = """
from collections import Counter
from tag2mask.exporters import Converter


def write(out, mask_set, images):
    out.write_text("\\n".join(image.name for image in images))
    return Counter()


ENTRY = Converter(write, ".txt")
"""
SOURCE = """
from tag2mask.data.sources.imagefolder import ImageFolder


class Mine(ImageFolder):
    layout = "mine"
"""
ENTRY_POINTS = """
[tag2mask.methods]
mine = other_method:ENTRY
broken = other_nowhere:ENTRY
linear = other_method:ENTRY

[tag2mask.refiners]
turn = other_refiner:turn

[tag2mask.converters]
names = other_converter:ENTRY

[tag2mask.sources]
mine = other_source:Mine
"""
REGISTRIES: tuple[Any, ...] = (METHODS, SOURCES, CONVERTERS, PIXEL_REFINERS)


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    site = tmp_path / "site"
    (site / "other-1.0.dist-info").mkdir(parents=True)
    (site / "other-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (site / "other-1.0.dist-info/entry_points.txt").write_text(ENTRY_POINTS)
    texts = {"method": METHOD, "refiner": REFINER, "converter": CONVERTER, "source": SOURCE}
    for name, text in texts.items():
        (site / f"other_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(site))
    forget()
    yield
    forget()
    for name in texts:
        sys.modules.pop(f"other_{name}", None)


def forget() -> None:
    """Entry points are looked up once a process."""
    for registry in REGISTRIES:
        registry.__dict__.pop("others", None)


def test_a_method_from_outside_trains_and_paints(
    other_package: None, squares: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    small = {**small, "epochs": 1, "method_settings": {}}
    tag2mask.train(squares, tmp_path / "run", method="mine", **small)
    plain = tag2mask.make_masks(tmp_path / "run", out=tmp_path / "plain", split="val")
    turned = tag2mask.make_masks(tmp_path / "run", out=tmp_path / "turned", split="val", refine="turn")
    assert plain.images == turned.images == 4
    made = tag2mask.convert(turned.path, "names", tmp_path / "names.txt")
    assert (tmp_path / "names.txt").read_text().split() == open_mask_set(turned.path).names()
    assert made is not None
    maps = [tag2mask.load(tmp_path / "run", refine={"names": names}) for names in ("none", "turn")]
    one, other = (model.localize(squares / "images/p00.png", ["red"])["red"] for model in maps)
    np.testing.assert_allclose(one, other[:, ::-1], atol=1e-6)


def test_our_own_names_are_not_given_away(other_package: None) -> None:
    assert METHODS["linear"].build.__name__ == "LinearCAM"
    assert METHODS["mine"].build.__name__ == "Mine"
    assert "mine" in SOURCES
    assert SOURCES["mine"].layout == "mine"


def test_what_cannot_be_loaded_is_named(other_package: None, squares: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tag2mask\.methods: broken \(other_nowhere:ENTRY\) cannot be loaded"):
        tag2mask.train(squares, tmp_path / "run", method="broken")
    with pytest.raises(SettingsError, match=r"method 'minne' is unknown; choose one of .*mine"):
        tag2mask.train(squares, tmp_path / "run", method="minne")
