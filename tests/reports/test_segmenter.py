"""The section about a segmenter: what it says, what it compares, what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from command import call
from tag2mask import make_masks, predict, segment
from tag2mask.data.reading import read_mask
from tag2mask.errors import MaskSetError, SettingsError
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.masks.write import MaskSetWriter, Painted
from tag2mask.reports.segmenter import FULL, OWN, WEAK, percent_of, segmenter_section
from tag2mask.training.run import open_run


@pytest.fixture(scope="module")
def place(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, two segmenters and what they predict: ``weak`` has all images, ``full`` the validation ones."""
    root = tmp_path_factory.mktemp("place")
    run, truth = Path(shutil.copytree(trained / "run", root / "run")), trained / "squares/masks"
    make_masks(run)
    tiny = {"batch_size": 4, "precision": "fp32"}
    segment(run, run / "masks-train", root / "student", truth=truth, epochs=2, **tiny)
    segment(run, None, root / "teacher", truth=truth, fully_supervised=True, epochs=1, **tiny)
    predict(root / "student", [], root / "weak", "all")
    predict(root / "teacher", [], root / "full", "val")
    return root


def test_both_are_scored_on_the_images_that_they_share(place: Path, trained: Path) -> None:
    section = segmenter_section(place / "run", place / "weak", place / "full")
    assert list(section.scores) == [WEAK, FULL]
    for name, masks in ((WEAK, "weak"), (FULL, "full")):
        alone = evaluate(place / masks, trained / "squares/masks", "val").to_json()
        assert section.scores[name] == {**alone, "images_without_truth": 0}
    assert section.ratio == pytest.approx(100 * section.scores[WEAK]["miou"] / section.scores[FULL]["miou"], abs=0.051)
    assert section.line().startswith("mIoU without tags on 4 images: segmenter ")
    assert section.html.count("<img") == 4 * 4  # image, truth, two masks
    for part in (
        "<th>precision</th><th>recall</th>",
        "Loss, segmenter",
        "Loss, fully supervised",
        ">correct<",
        "truth, fully supervised",
    ):
        assert part in section.html


def test_the_runs_own_masks_for_predicted_tags_stand_beside_them(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "place")
    run, weak = tmp_path / "place/run", tmp_path / "place/weak"
    make_masks(run, split="val", tags="predicted")
    assert list(segmenter_section(run, weak).scores) == [WEAK]  # the run has not painted all of them
    assert list(segmenter_section(run, weak, place / "full").scores) == [OWN, WEAK, FULL]
    shutil.rmtree(tmp_path / "place/student")
    assert "Loss, segmenter" not in segmenter_section(run, weak).html


def test_with_clipping_the_chart_also_shows_the_kept_labels(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "place")
    metrics = tmp_path / "place/student/metrics.jsonl"
    rows = [{**json.loads(line), "kept": 0.9} for line in metrics.read_text().splitlines()]
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = (">kept<", "correct, of all labels", "correct, of the kept ones")
    with_clipping = segmenter_section(tmp_path / "place/run", tmp_path / "place/weak").html
    assert all(title in with_clipping for title in kept)
    without = segmenter_section(place / "run", place / "weak").html
    assert not any(title in without for title in kept)


def test_the_verb_prints_the_ratio_and_the_page_stands_alone(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["--segmented", place / "weak", "--full", place / "full", "--out", tmp_path / "page.html"]
    assert call(monkeypatch, "report", place / "run", *sets) == 0
    assert "segmenter / fully supervised" in capsys.readouterr().out
    assert call(monkeypatch, "report", place / "run", *sets, "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["segmenter"]
    assert told["weak_of_full"] == segmenter_section(place / "run", place / "weak", place / "full").ratio
    page = (tmp_path / "page.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "<script" not in page
    assert page.count("<h2>Segmenter</h2>") == 1


def test_what_cannot_be_compared_is_one_line(place: Path, trained: Path, tmp_path: Path) -> None:
    run, weak, full = place / "run", place / "weak", place / "full"
    (tmp_path / "empty").mkdir()
    origin = {"labels_used": "image tags", "truth_used": "none", "settings": {"tags": "predicted"}}
    other = MaskSetWriter(tmp_path / "other", open_run(run).classes, origin)
    other.add("elsewhere", Painted(read_mask(trained / "squares/masks/p00.png"), []))
    other.finish({})
    for segmented, supervised, truth, error, message in (
        (full, None, None, SettingsError, "--segmented .*full: its segmenter learned from truth; give it as --full"),
        (weak, weak, None, SettingsError, "--full .*weak: its segmenter did not learn from truth"),
        (weak, full, tmp_path / "empty", MaskSetError, "weak and .*full: no image in both has truth in"),
        (tmp_path / "other", None, None, MaskSetError, "other: no image in it has truth in the data set"),
        (tmp_path, None, None, MaskSetError, "is not a mask set"),
    ):
        with pytest.raises(error, match=message):
            segmenter_section(run, segmented, supervised, truth=truth)


def test_a_ratio_needs_two_scores() -> None:
    assert percent_of(45.0, 60.0) == 75.0
    assert percent_of(None, 60.0) is percent_of(45.0, None) is percent_of(45.0, 0.0) is None
