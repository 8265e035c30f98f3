from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from trees import TREES
from trees_published import write_voc

from command import call
from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.cli import app
from tag2mask.data.sources import SOURCES, open_source
from tag2mask.errors import RunError, SettingsError
from tag2mask.masks.settings import MaskSettings
from tag2mask.methods import method_settings
from tag2mask.prediction.settings import PredictSettings
from tag2mask.recipes import recipe_names
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.training.settings import TrainSettings
from tag2mask.workflows.published import PUBLISHED
from tag2mask.workflows.reproduce import Reproduction, compare_scores

TINY = {
    "backbone.name": "vit_tiny_patch16_224",
    "backbone.image_size": 16,
    "backbone.patch": 8,
    "backbone.width": 12,
    "backbone.depth": 3,
    "backbone.heads": 2,
    "weights": "none",
    "epochs": 1,
    "batch_size": 4,
    "precision": "fp32",
}
OPTIONS = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_command_is_one(name: str, tmp_path: Path) -> None:
    row = PUBLISHED[name]
    assert row.source in SOURCES
    assert row.recipe in recipe_names()
    commands = app.commands
    for line in Reproduction(name, tmp_path, tmp_path / "out").lines():
        tool, verb, *words = shlex.split(line)
        assert tool == "tag2mask"
        commands[verb].make_context(verb, words)  # raises where an option is unknown


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_lists_are_the_sources(name: str, tmp_path: Path) -> None:
    row = PUBLISHED[name]
    splits = open_source(row.source, TREES[row.source](tmp_path).root, {}).splits
    assert {row.learn, row.split, *(["val"] if row.validate else [])} <= set(splits)


def test_every_setting_is_one(tmp_path: Path) -> None:
    """What stands behind --set is checked by the verbs' own schemas, which the shell's words alone are not."""
    readers = {
        "train": lambda words, recipe: TrainSettings.read({}, words, recipe),
        "masks": lambda words, recipe: MaskSettings.read({}, words, recipe),
        "segment": lambda words, recipe: SegmentSettings.read({}, words, recipe),
        "predict": lambda words, _: PredictSettings.read({}, words),
        "refine-train": lambda words, _: WalkSettings.read({}, words),
    }
    seen = set()
    for name in PUBLISHED:
        for line in Reproduction(name, tmp_path, tmp_path / "out").lines():
            _, verb, *words = shlex.split(line)
            recipe = words[words.index("--recipe") + 1] if "--recipe" in words else None
            assignments = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
            call = (verb, recipe, *assignments)
            if verb not in readers or call in seen:
                continue
            seen.add(call)
            settings = readers[verb](assignments, recipe)
            if verb == "train":
                method_settings(settings.method, settings.method_settings)
    assert {verb for verb, *_ in seen} == set(readers)


def lines_of(name: str) -> dict[str, str]:
    return {line.split()[1]: line for line in Reproduction(name, Path("ROOT"), Path("OUT")).lines()}


def test_rows_are_what_the_papers_did() -> None:
    for name, row in PUBLISHED.items():
        if row.source == "coco":  # all three papers have COCO 2014
            assert "year=2014" in lines_of(name)["prepare"]
        if name.startswith("mctformer") or row.recipe.startswith("voc-mctformer"):  # they say so
            assert "--tune-on-truth train" in lines_of(name)["masks"]
            assert "swept on the truth of train" in row.title
        else:
            assert "--tune-on-truth" not in lines_of(name)["masks"]
    assert "--tags predicted" in lines_of("tokenmasking-table3-ade20k")["masks"]
    assert "only in its GitHub README" in PUBLISHED["weaktr-cam-coco"].title
    assert "--windows" not in lines_of("weaktr-segmenter-voc")["predict"]
    assert "--set windows=flush --refine crf" in lines_of("weaktr-segmenter-voc")["predict"]
    assert "--set crf=segmenter-coco" in lines_of("weaktr-segmenter-coco")["predict"]


def test_published_numbers() -> None:
    """Section 6 of the reference notes, one of every table."""
    wanted = {
        "tokenmasking-table4-coco": 41.9, "tokenmasking-table4-voc": 71.6, "tokenmasking-table5-coco": 42.8,
        "tokenmasking-table5-voc": 72.3, "tokenmasking-table6-coco": 41.7, "tokenmasking-table6-voc": 72.0,
        "mctformer-table1-seed": 61.7, "mctformer-table1-mask": 69.1, "mctformer-table2-voc": 71.9,
        "mctformer-table3-coco": 42.0, "mctformer-table5-v1-plain": 47.2, "mctformer-table5-v1": 55.2,
        "mctformer-table5-v2-plain": 58.2, "mctformer-table5-v2": 61.7, "mctformer-table5-tscam": 41.3,
        "mctformer-table6-v1-plain": 55.6, "mctformer-table6-v2": 62.6, "mctformer-table7-average": 47.2,
        "weaktr-aaf-voc": 67.2, "weaktr-cam-voc": 69.4, "weaktr-cam-coco": 42.6, "weaktr-table5-hidden18": 65.5,
        "weaktr-mask-voc-train": 76.5, "weaktr-mask-voc-val-eva02-s": 78.4, "weaktr-segmenter-voc-dinov2-s": 75.8,
        "weaktr-segmenter-coco-vit-s": 50.3, "weaktr-mask-coco-train-eva02-s": 52.2, "weaktr-tau0.8": 73.4,
        "weaktr-tau999.9": 54.2, "weaktr-tile96": 73.3, "weaktr-table7-naive": 71.5, "weaktr-table7-clipping": 73.0,
        "weaktr-segmenter-voc-mctformer": 74.4, "weaktr-table9-random": 11.4,
    }  # fmt: skip
    assert {name: PUBLISHED[name].published["miou"] for name in wanted} == wanted
    without = {name for name, row in PUBLISHED.items() if row.published["miou"] is None}
    assert without == {"mctformer-plus", *(f"tokenmasking-figure6-{ratio}" for ratio in (0, 20, 50, 80, 100))}
    assert compare_scores({"miou": None}, {"miou": 50.0}) == {
        "miou": {"ours": 50.0, "published": None, "difference": None}
    }


def test_a_row_is_run_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plan = Reproduction("mctformer-table5-v1", write_voc(tmp_path / "voc").root, tmp_path / "out", OPTIONS)
    result = plan.go()
    ours = result["results"]["miou"]
    assert ours["published"] == 55.2
    assert ours["difference"] == pytest.approx(ours["ours"] - 55.2, abs=0.01)
    made = (tmp_path / "out" / "run" / "model.safetensors").stat().st_mtime_ns
    assert plan.go() == result
    assert (tmp_path / "out" / "run" / "model.safetensors").stat().st_mtime_ns == made


def test_what_goes_wrong_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan = Reproduction("tokenmasking-table1-val", tmp_path / "none", tmp_path / "out")
    with pytest.raises(RunError, match="failed with exit code 2: tag2mask prepare voc --root "):
        plan.go()
    assert "the folder does not exist; expected: " in capfd.readouterr().err
    with pytest.raises(SettingsError, match="row 'table9' is unknown"):
        Reproduction("table9", tmp_path, tmp_path).lines()


def test_the_verb_lists_rows_and_prints_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "reproduce") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in PUBLISHED)
    assert call(monkeypatch, "reproduce", "weaktr-cam-voc", "--root", "VOC", "--set", "epochs=3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["prepare", "train", "masks", "evaluate"]
    assert lines[1].endswith("--set val_split=val --set epochs=3")


def test_results_of_another_command_are_not_taken_over(tmp_path: Path) -> None:
    root, out = write_voc(tmp_path / "voc").root, tmp_path / "out"
    plan = Reproduction("mctformer-table5-v1", root, out, OPTIONS)
    first = next(plan.commands())
    out.mkdir()
    for words in (first.line().replace(str(root), "elsewhere"), None):
        (out / "done.json").write_text(json.dumps({"prepare": {"command": words} if words else {}}))
        with pytest.raises(RunError, match="out holds prepare by another command than tag2mask prepare voc"):
            plan.go()
    assert [path.name for path in out.glob("[!.]*")] == ["done.json"]
