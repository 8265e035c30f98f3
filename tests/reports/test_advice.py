"""Every symptom by itself, made of a sound run's figures; and what a real run and mask set give."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tag2mask import make_masks
from tag2mask.cli import app
from tag2mask.data.reading import read_mask
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set, write_mask
from tag2mask.reports import page
from tag2mask.reports.advice import Advice, advise
from tag2mask.reports.figures import Figures, gather_figures
from tag2mask.reports.page import write_report
from tag2mask.training.run import open_run
from tag2mask.training.settings import TrainSettings

ROW = {"loss": {"bce": 0.7}, "val_ap": 0.6, "val_f1": 0.5, "val_ap_per_class": [0.6, 0.6, 0.6]}
EVEN = {"cow": 40, "grass": 45, "sky": 50}
SOUND = Figures(
    method="tokenmasking",
    weights="hub",
    epochs=10,
    lr_tokens=3e-3,
    threshold=0.1,
    given_tags=True,
    metrics=[ROW, *({**ROW, "loss": {"bce": loss}, "val_ap": 0.8} for loss in (0.4, 0.3, 0.2))],
    scores=None,
    background="background",
    images=100,
    tagged=EVEN,
    read=EVEN,
    painted=EVEN,
    background_share=0.4,
    likeness={("cow", "grass"): (0.2, 9), ("cow", "sky"): (0.99, 1)},
    together=[],
)


def scored(precision: float, recall: float) -> dict[str, Any]:
    """Scores of classes; those of the background say nothing of the classes."""
    return {
        "precision_per_class": {"background": 0.0, "cow": precision, "grass": None, "sky": precision},
        "recall_per_class": {"background": 100.0, "cow": recall, "grass": None, "sky": recall},
    }


def curve(losses: list[float], aps: list[float]) -> list[dict[str, Any]]:
    return [{**ROW, "loss": {"bce": loss}, "val_ap": ap} for loss, ap in zip(losses, aps, strict=True)]


SYMPTOMS: list[tuple[dict[str, Any], str, str]] = [
    ({"metrics": curve([0.7, 0.69], [0.8, 0.8])}, "Training collapsed", "loss went from 0.700 to 0.690"),
    ({"metrics": curve([0.7, 0.3], [0.8, 0.5])}, "Training collapsed", "AP fell from 0.800 to 0.500"),
    ({"metrics": curve([0.7, 0.5, 0.3], [0.6, 0.7, 0.8])}, "while it was still improving", "from 0.600 to 0.800"),
    ({"painted": {**EVEN, "cow": 5}}, "The background covers parts", "35 of 135 tags got no pixels, and 40 % of all"),
    ({"scores": scored(90, 60)}, "The background covers parts", "precision is 90.0, their recall 60.0"),
    ({"scores": scored(39, 84)}, "Classes spill into", "precision is 39.0, their recall 84.0"),
    ({"background_share": 0.01}, "Classes spill into", "Only 1.0 % of all pixels are background"),
    (
        {"painted": {**EVEN, "cow": 0}, "threshold": 0.2},
        "Classes that were not learned",
        "never painted: cow (40 images)",
    ),
    (
        {"metrics": [{**row, "val_ap_per_class": [0.41, 0.6, 0.6]} for row in SOUND.metrics]},
        "Classes that were not learned",
        "no better than chance: cow (AP 0.41)",
    ),
    ({"likeness": {("cow", "grass"): (0.95, 3)}}, "Classes share a map", "cow and grass (0.95 in 3 images)"),
    ({"together": [(("cow", "grass"), 40)]}, "Classes share a map", "always occur together: cow and grass (40 images)"),
    ({"tagged": {**EVEN, "cow": 2}}, "Unbalanced tags", "Sky has 50 images, but cow 2"),
]


@pytest.mark.parametrize(("change", "title", "evidence"), SYMPTOMS)
def test_a_symptom_is_named_with_its_figures(change: dict[str, Any], title: str, evidence: str) -> None:
    [found] = [found for found in advise(dataclasses.replace(SOUND, **change)) if title in found.title]
    assert evidence in found.figures
    assert found.tries


def test_epochs_without_the_aps_of_classes_say_nothing_of_them() -> None:
    bare = [{key: value for key, value in row.items() if key != "val_ap_per_class"} for row in SOUND.metrics]
    assert not advise(dataclasses.replace(SOUND, metrics=bare))
    assert not advise(dataclasses.replace(SOUND, metrics=[SOUND.metrics[0], bare[1], *SOUND.metrics[2:]]))


def test_sound_figures_give_no_advice() -> None:
    assert advise(SOUND) == []
    assert advise(dataclasses.replace(SOUND, metrics=[], scores=scored(80, 82), background_share=0.0)) == []


def test_without_a_background_nothing_is_said_of_one() -> None:
    bare = dataclasses.replace(
        SOUND, background=None, threshold=None, background_share=None, painted={**EVEN, "cow": 5}
    )
    assert advise(dataclasses.replace(bare, scores=scored(90, 60))) == []
    assert advise(dataclasses.replace(bare, scores=scored(39, 84))) == []


def test_masks_of_a_probe_have_no_threshold_to_change() -> None:
    for scores in (scored(90, 60), scored(39, 84)):
        [found] = advise(dataclasses.replace(SOUND, threshold=None, scores=scores))
        assert "masks from class maps alone" in found.tries[-1]
        assert not any("he threshold of the maps" in text for text in found.tries)


def test_predicted_tags_are_no_measure_of_the_data() -> None:
    rare = {**EVEN, "cow": 2}
    assert advise(dataclasses.replace(SOUND, given_tags=False, tagged=rare, read=rare, painted=rare)) == []


@pytest.mark.parametrize("change", [change for change, _, _ in SYMPTOMS])
@pytest.mark.parametrize("threshold", [0.1, 0.7, "otsu", "mean", None])
def test_what_is_to_be_tried_are_commands_that_exist(change: dict[str, Any], threshold: float | str | None) -> None:
    for advised in advise(dataclasses.replace(SOUND, **{"threshold": threshold, "weights": "none", **change})):
        for text in advised.tries:
            require_command(text)


def require_command(text: str) -> None:
    """The options in a hint are those of its verb, and their values can be read."""
    found = re.search(r"\b(train|masks|tag2mask compare) (--|DATA).*", text)
    if found is None:
        return
    verb = found.group(1).split()[-1]
    options = re.findall(r"--[a-z-]+", found.group())
    helped = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "300"}).output
    assert all(option in helped for option in options)
    words = shlex.split(found.group().replace(",", ", "))
    if "--threshold" in words:
        MaskSettings.read({"threshold": found.group().split("--threshold ")[1].split(" --")[0]})
    if "--set" in words:
        TrainSettings.read({}, [words[words.index("--set") + 1].rstrip(",")])


def test_the_figures_of_a_run_are_counted_from_tags_and_masks(trained: Path, tmp_path: Path) -> None:
    made = make_masks(trained / "run", out=tmp_path / "set", split="val")
    run, masks = open_run(trained / "run"), open_mask_set(made.path)
    spoiled = read_mask(masks.mask("p08"))
    write_mask(masks.mask("p08"), np.zeros_like(spoiled), run.classes)
    figures = gather_figures(run, masks, run.metrics(), None, [])
    tags = masks.manifest["image_tags"]
    wanted = {name: sum(name in own for own in tags.values()) for name in run.classes.names}
    assert figures.tagged == figures.read == wanted
    for name in run.classes.names:
        value = run.classes.names.index(name) + 1
        shares = [(read_mask(masks.mask(image)) == value).mean() for image, own in tags.items() if name in own]
        assert figures.painted[name] == sum(share >= 0.001 for share in shares)
    assert sum(figures.painted.values()) <= sum(wanted.values()) - len(tags["p08"])
    grounds = [(read_mask(masks.mask(image)) == 0).mean() for image in tags]
    assert figures.background_share == pytest.approx(np.mean(grounds))
    assert (figures.given_tags, figures.threshold, figures.scores) == (True, 0.1, None)


def test_the_page_shows_the_advice_and_opens_no_truth_for_it(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(shutil.copytree(trained / "squares", tmp_path / "data"))
    made = make_masks(trained / "run", data, tmp_path / "set", split="val")
    seen: list[Figures] = []

    def kept(figures: Figures) -> list[Advice]:
        seen.append(figures)
        return [*advise(figures), Advice("<b>A title</b>", "Its figures.", ("Try that",))]

    monkeypatch.setattr(page, "advise", kept)
    with_truth = write_report(trained / "run", made.path, out=tmp_path / "with.html").read_text()
    shutil.rmtree(data / "masks")
    without = write_report(trained / "run", made.path, out=tmp_path / "without.html").read_text()
    assert [figures.scores is None for figures in seen] == [False, True]
    pairs = {pair: value for pair, (value, _) in seen[0].likeness.items()}
    assert pairs
    assert all(-1 <= value <= 1 for value in pairs.values())
    for text in (with_truth, without):
        assert "<h2>What to try next</h2>" in text
        assert "&lt;b&gt;A title&lt;/b&gt;" in text
        assert "Training collapsed or never started" in text  # its loss hardly fell in two epochs
    assert "no truth was used" in without
    assert "no truth was used" not in with_truth
    monkeypatch.setattr(page, "advise", lambda figures: [])
    quiet = write_report(trained / "run", made.path, out=tmp_path / "quiet.html").read_text()
    assert "Nothing stands out" in quiet
