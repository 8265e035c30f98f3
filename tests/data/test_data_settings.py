from __future__ import annotations

from pathlib import Path

import pytest

from tag2mask.data.settings import DataSettings
from tag2mask.errors import SettingsError

OWN = "bands: 2\nclip: [[0, 10], [-5, 5]]\nmean: [0.1, 0.2]\nstd: [1, 2]\nrgb: [1, 0, 0]\nlabels: other.csv\n"


def test_the_data_set_says_what_the_user_leaves_open(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text(OWN)
    whole = DataSettings.parse({"rgb": [0, 0, 0], "labels": "labels.csv"}).completed(tmp_path)
    assert (whole.bands, whole.mean, whole.std) == (2, (0.1, 0.2), (1, 2))
    assert (whole.rgb, whole.labels) == ((0, 0, 0), "labels.csv")
    assert whole.clips() == ((0, 10), (-5, 5))
    assert DataSettings.parse(whole.model_dump(mode="json")).completed(tmp_path) == whole


@pytest.mark.parametrize("change", [{"scale": "maximum"}, {"clip": [0, 7]}])
def test_mean_and_std_are_of_values_that_are_taken_alike(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "dataset.yaml").write_text(OWN)
    with pytest.raises(
        SettingsError, match=f"mean and std were measured with {next(iter(change))} = .*; set data.mean"
    ):
        DataSettings.parse(change).completed(tmp_path)
    given = DataSettings.parse({**change, "mean": [0, 0], "std": [1, 1]}).completed(tmp_path)
    assert (given.mean, given.std) == ((0, 0), (1, 1))
    (tmp_path / "dataset.yaml").write_text("bands: 2\n")
    assert DataSettings.parse(change).completed(tmp_path).mean is None


def test_without_such_a_file_nothing_changes(tmp_path: Path) -> None:
    settings = DataSettings.parse({"bands": 3, "clip": [0, 1e4]})
    assert settings.completed(tmp_path) == settings
    assert settings.clips() == ((0, 1e4),) * 3 == DataSettings.parse({"clip": [[0, 1e4]]}).clips()
    assert DataSettings().completed(tmp_path).clips() is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("band: 3", r"dataset\.yaml: unknown setting band; did you mean bands\?"),
        ("mean: [1, 1, 1]", r"dataset\.yaml: mean and std belong together"),
        ("bands: 2\nmean: [1]\nstd: [1]", r"dataset\.yaml: mean has 1 values, bands is 2"),
        ("clip: [[0, 1], [0, 2]]", r"dataset\.yaml: clip has 2 values, bands is 3"),
        ("clip: [1, 0]", r"dataset\.yaml: clip\.0: .*the lower one first"),
        ("std: [0, 1, 1]", r"dataset\.yaml: std\.0: .*greater than 0"),
        ("rgb: [0, 1, 3]", r"dataset\.yaml: rgb names band 3, but the bands are 0 to 2"),
        ("stretch: [0, 101]", r"dataset\.yaml: stretch\.1"),
        ("scale: crop", r"dataset\.yaml: scale"),
        ("a: [", r"dataset\.yaml: is not valid YAML"),
    ],
)
def test_what_it_says_wrong_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "dataset.yaml").write_text(content)
    with pytest.raises(SettingsError, match=message) as error:
        DataSettings().completed(tmp_path)
    assert "\n" not in str(error.value)
