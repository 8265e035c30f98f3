from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tag2mask.errors import SettingsError
from tag2mask.masks.settings import MaskSettings
from tag2mask.prediction.settings import PredictSettings
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.settings import Settings, assign
from tag2mask.training.settings import TrainSettings


class Group(Settings):
    number: float = 1.0
    count: int = 1
    either: str | float = 1.0
    several: tuple[float, ...] = (1.0,)


class Whole(Settings):
    group: Group = Group()
    colour: int = 3


@pytest.mark.parametrize("key", ["number", "either"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_numbers_are_finite(key: str, value: float) -> None:
    with pytest.raises(
        SettingsError, match=rf"settings: group\.{key}: expected a finite number, 3\.4e\+38 at most, got "
    ):
        Whole.parse({"group": {key: value}})


@pytest.mark.parametrize("values", [{"several": [1.0, math.nan]}, {"count": 10**23}])
def test_every_number_of_a_list_and_integers_too(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="expected a finite number, "):
        Group.parse(values)


@pytest.mark.parametrize("scale", ["nan", "inf", "1e300", "1e9", "1e-9", "0", "-1", "1,nan"])
def test_scales_are_of_a_size_that_can_be_painted(scale: str) -> None:
    with pytest.raises(SettingsError, match=r"scales: expected one scale or more, all from 0\.01 to 32"):
        MaskSettings.read({"scales": scale})
    with pytest.raises(SettingsError, match=r"scales: expected one scale or more"):
        PredictSettings.parse({"scales": scale})


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optimiser.lr_tokens=1e300", "optimiser.lr_tokens: expected a number less than or equal to 100, got 1e+300"),
        ("optimiser.lr_tokens=inf", "optimiser.lr_tokens: expected a number less than or equal to 100"),
        ("optimiser.lr_gates=nan", "optimiser.lr_gates: expected a number less than or equal to 100"),
        ("optimiser.weight_decay=inf", "optimiser.weight_decay: expected a number less than or equal to 100"),
        ("optimiser.clip=1e300", "optimiser.clip: expected a finite number"),
        ("seed=99999999999999999999", "seed: expected a finite number, 9.22e+18 at most, got '99999999999999999999'"),
    ],
)
def test_what_training_multiplies_by_is_bounded(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        TrainSettings.read({}, [assignment])
    assert message in str(error.value)
    own = assignment.replace("lr_tokens", "lr").replace("lr_gates", "lr")
    with pytest.raises(SettingsError, match=own.partition("=")[0]):
        SegmentSettings.read({}, [own])


@pytest.mark.parametrize(
    "assignment",
    [
        "epochs=1000000",
        "batch_size=100000",
        "accumulate=100000",
        "data.bands=300000",
        "data.cache=22400",
        "backbone.image_size=22400",
        "backbone.depth=1200",
    ],
)
def test_what_can_only_be_a_typing_error_is_bounded(assignment: str) -> None:
    key, _, value = assignment.partition("=")
    with pytest.raises(SettingsError, match=rf"{key}: expected a number less than or equal to \d+, got {value}"):
        TrainSettings.read({}, [assignment])


@pytest.mark.parametrize("assignment", ["crop=22400", "epochs=1000000", "clipping.tile=22400", "augment.base=22400"])
def test_a_segmenters_too(assignment: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"{assignment.partition('=')[0]}: expected a number less than or equal to"
    ):
        SegmentSettings.read({}, [assignment])


@pytest.mark.parametrize(
    "key", ["look.side", "refine.side", "look.max_patches", "look.batch_size", "refine.crf.iterations"]
)
def test_masks_and_predictions_too(key: str) -> None:
    limit = "expected a number less than"
    if key == "look.side":
        limit = r"expected an integer from 1 to 8192 \(pixels\), or own"
    with pytest.raises(SettingsError, match=f" {key}: {limit}"):
        MaskSettings.read({}, [f"{key}=100000000"])
    with pytest.raises(SettingsError, match=f" {key}: {limit}"):
        PredictSettings.read({}, [f"{key}=100000000"])


def test_masks_and_predictions_begin_with_the_same_crf() -> None:
    masks, predictions = MaskSettings.read({}), PredictSettings()
    for group in ("look", "refine", "paint"):
        assert getattr(masks, group) == getattr(predictions, group)


OLD = {
    "scales": "1.0,1.5",
    "flip": True,
    "side": "own",
    "edges": "drop",
    "max_patches": 9,
    "batch_size": 2,
    "refine": "pamr,crf",
    "refine_side": 32,
    "crf": {"size": 100},
    "crf_engine": "pydensecrf2",
    "probe": "p",
    "walk": "w",
    "paint": "argmax",
    "relative": False,
    "threshold": 0.5,
    "class_thresholds": {"cow": 0.2},
    "background": {"value": 0.3},
    "unsure": 0.7,
}
NOW = {
    "look": {"scales": "1.0,1.5", "flip": True, "side": "own", "edges": "drop", "max_patches": 9, "batch_size": 2},
    "refine": {
        "names": "pamr,crf",
        "side": 32,
        "crf": {"size": 100},
        "crf_engine": "pydensecrf2",
        "probe": "p",
        "walk": "w",
    },
    "paint": {
        "rule": "argmax",
        "relative": False,
        "threshold": 0.5,
        "class_thresholds": {"cow": 0.2},
        "background": {"value": 0.3},
        "unsure": 0.7,
    },
}


def test_keys_of_version_0_1_are_understood() -> None:
    assert MaskSettings.parse(OLD) == MaskSettings.parse(NOW)
    paint = {key: OLD[key] for key in ("paint", "threshold", "background")}
    old = {"scales": [2.0], "windows": "flush", "overlap": 0.5, "refine": "crf", "masks": {**paint, "edges": "drop"}}
    assert PredictSettings.parse(old) == PredictSettings.parse(
        {
            "look": {"scales": [2.0], "windows": "flush", "overlap": 0.5, "edges": "drop"},
            "refine": {"names": "crf"},
            "paint": {"rule": "argmax", "threshold": 0.5, "background": {"value": 0.3}},
        }
    )
    old = ["scales=2", "crf.size=100", "refine=crf", "paint=ordered", "background.value=0.3", "refine.side=32"]
    assert MaskSettings.read({"threshold": "0.5"}, old) == MaskSettings.parse(
        {
            "look": {"scales": [2.0]},
            "refine": {"names": "crf", "crf": {"size": 100}, "side": 32},
            "paint": {"rule": "ordered", "threshold": 0.5, "background": {"value": 0.3}},
        }
    )
    assert PredictSettings.read({}, ["masks.background.value=0.3", "windows=flush"]) == PredictSettings.parse(
        {"look": {"windows": "flush"}, "paint": {"background": {"value": 0.3}}}
    )


def test_a_group_is_not_overwritten_by_a_value() -> None:
    with pytest.raises(SettingsError, match="setting group: is a group, not a value; set one of number"):
        assign({}, ["group.number=3", "group=4"])


def test_a_file_of_settings_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    for content, reason in (
        (b"\xff\xfe", "is not valid YAML: 'utf-8' codec"),
        (b"[" * 5000, "is not valid YAML: is nested too deeply"),
        (b"seed: !!timestamp 2024-99-99", "is not valid YAML: month must be in 1..12"),
        (b"seed: " + b"9" * 5000, "is not valid YAML: holds the integer 99999999999999999999, which is too large"),
        (b"1: 2", "1: Keys should be strings"),
        (b"- a", "holds no settings; expected lines such as epochs: 8"),
        (b"split: no", None),
    ):
        path.write_bytes(content)
        if reason is None:
            assert TrainSettings.read({}, config=path).split == "no"
            continue
        with pytest.raises(SettingsError) as error:
            TrainSettings.read({}, config=path)
        assert str(error.value).startswith(f"{path}: {reason}")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("numbr", "did you mean group.number?"),
        ("group.numbr", "did you mean group.number?"),
        ("grup", "did you mean group.KEY?"),
        ("color", "did you mean colour?"),
        ("foo", "there are group.number, group.count, group.either, group.several, colour"),
    ],
)
def test_only_a_near_key_is_taken_for_the_meant_one(key: str, hint: str) -> None:
    with pytest.raises(SettingsError) as error:
        Whole.parse(assign({}, [f"{key}=1"]))
    assert str(error.value) == f"settings: unknown setting {key}; {hint}"


@pytest.mark.parametrize("assignment", ["=3", " =3", "group.=3", ".number=3", "group..number=3", "number"])
def test_an_assignment_has_a_key(assignment: str) -> None:
    with pytest.raises(SettingsError, match="expected KEY=VALUE, such as epochs=8"):
        assign({}, [assignment])


@pytest.mark.parametrize("text", ["5", "0", "nan", "-1", "foo", "", "0.1,7"])
def test_a_wrong_threshold_is_named_as_it_was_given(text: str) -> None:
    with pytest.raises(SettingsError) as error:
        MaskSettings.read({"threshold": text})
    wrong = text.rpartition(",")[2]
    assert str(error.value) == f"--threshold {wrong}: expected mean, otsu, agreement or a number above 0, at most 1"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("threshold=5", "masks: paint.threshold: expected mean, otsu or a number from 0 to 1, got 5"),
        (
            "class_thresholds.cow=foo",
            "masks: paint.class_thresholds.cow: expected mean, otsu or a number from 0 to 1, got 'foo'",
        ),
        (
            "background.value=0",
            "masks: paint.background.value: expected mean, otsu, agreement or a number above 0, got 0",
        ),
        ("background.policy=power", "masks: paint.background: the policy power needs a number as value"),
    ],
)
def test_a_wrong_threshold_among_settings(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        MaskSettings.read({"background": {"value": "otsu"}}, [assignment])
    assert str(error.value) == message
