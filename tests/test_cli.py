from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from command import SMALL, call
from tag2mask.cli import app, reconfigure_streams
from tag2mask.data.check.report import CheckReport
from tag2mask.evaluation.evaluate import scores_shown
from tag2mask.shown import say
from tag2mask.workflows.run import whole_shown


def test_help_lists_the_verbs_in_the_order_of_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    sections = re.findall(r"^(\w[\w ]+):\n((?:  \S.*\n)+)", shown.partition("--help")[2], re.MULTILINE)
    listed = {title: " ".join(re.findall(r"^  ([\w-]+)  ", lines, re.MULTILINE)) for title, lines in sections}
    assert [*listed] == ["Start here", "Train", "Masks", "Segmenter", "Tools"]
    assert listed["Train"].split()[:2] == ["prepare", "train"]
    assert listed["Start here"].split()[0] == "doctor"
    shown_once = sorted(" ".join(listed.values()).split())
    assert shown_once == sorted(name for name, one in app.commands.items() if not one.hidden)
    assert call(monkeypatch) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("tag2mask tr", ["train", "train-probe"]), ("tag2mask train --ba", ["--backbone", "--batch-size"])],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_verbs_and_options(words: str, wanted: list[str], shell: str) -> None:
    variables = {"_TAG2MASK_COMPLETE": f"{shell}_complete", "COMP_WORDS": words}
    variables["COMP_CWORD"] = words.split()[-1] if shell == "fish" else str(len(words.split()) - 1)
    code = "import sys; sys.argv = ['tag2mask']; from tag2mask.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    assert [name for name in wanted if name in re.split(r"[\s,]", done.stdout)] == wanted
    assert "evaluate" not in done.stdout
    source = {**os.environ, "_TAG2MASK_COMPLETE": f"{shell}_source"}
    script = subprocess.run([sys.executable, "-c", code], env=source, capture_output=True, text=True, check=False)
    if shell != "bash" or "not supported" not in script.stderr:  # click asks bash for its version
        assert f"{shell}_complete" in script.stdout


@pytest.mark.parametrize("verb", [[], *([name] for name in app.commands)], ids=" ".join)
def test_help_does_not_import_torch(verb: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['tag2mask', *{verb}, '--help']\n"
        "from tag2mask.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'pydantic' in sys.modules and len(sys.argv) == 2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout


def test_the_whole_way(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    scored, soft = ["--scores", "--unsure", 0.5], ["--target", "soft", "--potts", 0.1]
    verbs = [
        ["check", squares],
        ["train", squares, "--out", run, "--epochs", 1, *SMALL],
        ["masks", run, "--split", "val", "--flip", "--scales", "1.0,1.5", "--refine", "affinity,pamr", *scored],
        ["evaluate", run / "masks-val", "--truth", squares / "masks"],
        ["report", run, "--truth", squares / "masks"],
        ["segment", run, "--masks", run / "masks-val", "--out", tmp_path / "student", "--epochs", 1, *soft],
        [
            "predict",
            tmp_path / "student",
            squares / "images",
            "--out",
            tmp_path / "new",
            "--flip",
            "--scales",
            "1.0,1.5",
        ],
    ]
    keys = ["images", "best_ap", "images", "miou", "report", "kept", "images"]
    for verb, key in zip(verbs, keys, strict=True):
        assert call(monkeypatch, *verb, "--json") == 0
        assert key in json.loads(capsys.readouterr().out.splitlines()[-1])
    assert call(monkeypatch, *verbs[0]) == call(monkeypatch, *verbs[3]) == 0
    out = capsys.readouterr().out
    assert "painting at random among the tags" in out
    assert "errors: 0" in out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["train", "{data}", "--out", "{tmp}/run", "--weights", "{tmp}/none.pth"], "none.pth does not exist"),
        (["train", "{data}", "--out", "{data}", "--weights", "none"], "is not empty"),
        (["train", "{data}", "--out", "{tmp}/run", "--set", "epoch=1"], "did you mean epochs?"),
        (["train", "{tmp}/none", "--out", "{tmp}/run"], "the folder does not exist"),
        (["train", "{data}/labels.csv", "--out", "{tmp}/run"], "labels.csv: is a file, not a folder; give the one"),
        (
            ["train", "{data}", "--out", "{data}/labels.csv", *SMALL],
            "labels.csv is a file, not a folder; choose",
        ),
        (["check", "{data}", "--set", "data.label=other.csv"], "unknown setting label; did you mean labels?"),
        (["masks", "{tmp}"], "is not a run"),
        (["refine-train", "{tmp}", "--out", "{tmp}/run"], "is not a run"),
        (["compare", "{data}", "--out", "{tmp}/c", "--methods", "linear", "--seeds", "a"], "expected integers"),
        (["compare", "{data}", "--out", "{tmp}/c", "--methods", "linar", "--weights", "none"], "'linar' is unknown"),
        (["prepare", "vok", "--root", "{tmp}", "--out", "{tmp}/d"], "did you mean voc"),
        (["prepare", "voc", "--root", "{data}/labels.csv", "--out", "{tmp}/d"], "is a file, not a folder; expected: "),
        (["prepare", "voc", "--root", "{tmp}", "--out", "{tmp}/d"], "expected: ROOT/VOCdevkit/VOC2012/"),
        (["check", "{tmp}", "--source", "coco"], "expected: ROOT/annotations/"),
        (["evaluate", "{tmp}", "--truth", "{tmp}"], "is not a mask set"),
        (["convert", "{tmp}", "--to", "npz", "--out", "{tmp}/run"], "is not a mask set"),
        (["report", "{tmp}"], "is not a run"),
        (["report", "{tmp}", "--full", "{tmp}"], "needs masks to compare with"),
        (["run", "{data}", "--out", "{tmp}/run", "--set", "epochs=1"], "did you mean train.epochs?"),
        (["run", "{data}", "--out", "{data}"], "is not empty"),
        (["segment", "{tmp}", "--masks", "{tmp}", "--out", "{tmp}/s"], "is not a run"),
        (["segment", "{tmp}", "--masks", "{tmp}", "--out", "{tmp}/s", "--set", "crops=1"], "did you mean crop?"),
        (["predict", "{tmp}", "{data}/images", "--out", "{tmp}/p"], "is neither a segmenter nor a run"),
        (["export", "{tmp}"], "is neither a segmenter nor a run"),
        (["export", "{tmp}", "--format", "coreml"], "'coreml' is not"),
        (["predict", "{tmp}", "--out", "{tmp}/p", "--scales", "0"], "expected one scale or more, all from 0.01 to 32"),
        (["train", "{data}", "--out", "{data}/classes.txt/run", *SMALL], "Not a directory"),
        (
            ["train", "{data}", "--out", "/dev/null/run", *SMALL],
            "/dev/null/run cannot be created or opened: Not a directory",
        ),
        (["prepare", "csv", "--root", "{data}", "--out", "/dev/null/run"], "in --out, choose another --out"),
        (["train"], "Missing argument"),
        (["frobnicate"], "No such command"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str],
    part: str,
    squares: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [argument.format(data=squares, tmp=tmp_path) for argument in arguments]
    assert call(monkeypatch, *filled) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if line]
    assert len(lines) == 1
    assert part in lines[0]
    assert not (tmp_path / "run").exists()


def test_check_exits_with_1_if_training_could_not_work(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (squares / "images/p00.png").unlink()
    assert call(monkeypatch, "check", squares) == 1


def test_masks_exits_with_1_if_an_image_failed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(trained / "squares", tmp_path / "data"))
    (data / "images/p08.png").write_bytes(b"")
    assert call(monkeypatch, "masks", trained / "run", "--data", data, "--split", "val", "--out", tmp_path / "set") == 1
    assert "failed: p08:" in capsys.readouterr().err


def test_ctrl_c_is_one_line_exit_code_130_and_nothing_is_lost(squares: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tag2mask", "train", squares, "--out", tmp_path / "run", "--epochs", "400", *SMALL]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"})
    while not (tmp_path / "run/metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("interrupted: finished work is saved")
    assert "Traceback" not in error
    assert (tmp_path / "run/state.safetensors").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "{data}", "--weights", "none"],
        ["train", "{data}", *SMALL],
        ["refine-train", "{run}"],
        ["masks", "{run}"],
        ["compare", "{data}", "--methods", "linear", "--weights", "none"],
        ["segment", "{run}", "--masks", "{masks}"],
        ["segment", "{run}", "--masks", "{masks}", "--rounds", "2"],
        ["predict", "{run}", "{data}/images"],
        ["predict", "{run}", "--split", "val"],
        ["convert", "{masks}", "--to", "voc", "--images", "{data}/images"],
    ],
    ids=" ".join,
)
def test_no_verb_writes_among_the_images(
    arguments: list[str],
    run: Path,
    masks: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = run.parent / "squares"
    before = set((data / "images").rglob("*"))
    filled = [argument.format(data=data, run=run, masks=masks) for argument in arguments]
    assert call(monkeypatch, *filled, "--out", str(data / "images/new/out")) == 2
    assert "images, where files are read as images; choose a folder outside" in capsys.readouterr().err
    assert set((data / "images").rglob("*")) == before


@pytest.mark.parametrize("verb", ["recipes", "presets"])
def test_a_recipe_is_printed(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, verb, "voc-weaktr") == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["train"]["method"] == "weaktr"
    assert shown.startswith("# ")
    assert call(monkeypatch, verb, "voc-weaktr", "--json") == 0
    assert json.loads(capsys.readouterr().out)["train"] == yaml.safe_load(shown)["train"]
    assert call(monkeypatch, verb) == 0
    assert "voc-mctformer-plus" in capsys.readouterr().out
    assert call(monkeypatch, verb, "voc-weakt") == 2
    assert "recipe 'voc-weakt' is unknown" in capsys.readouterr().err


MARKUP = ("[/red]", "[bold]x[/bold]", ":smile:", "[link=http://x]y")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_class_names_that_look_like_markup_are_printed_as_they_are(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"miou": None, "random_miou": 5.0, "pixel_accuracy": 1.0, "precision": 1.0, "recall": 1.0, "fp": 1.0}
    scores |= {"fn": None, "miou_interval_95": [None, None], "images": 1, "images_without_truth": 0}
    scores |= {
        "corrected": 0,
        "classes": 4,
        "classes_averaged": 0,
        "tags": "[/given]",
        "per_class": dict.fromkeys(MARKUP, 3.0),
    }
    scores |= {"precision_per_class": scores["per_class"], "recall_per_class": scores["per_class"]}
    report = CheckReport(images=3, tagged=3, splits={"[/x]": 3}, tags_per_image={1: 3})
    report.images_per_class = dict.fromkeys((*MARKUP, "a\udcff", "Kühe"), 1)
    report.error("images/[/red]\udcff.jpg: is damaged")
    row = {"mask_set": "[/red]", "images": 1, "tags": "given", "miou": None, "random_miou": None}
    whole = {"run": "[/r]", "masks": "m", "segmenter": "s", "predicted": {}, "report": "[b]"}
    whole |= {"scores": [{**row, "miou_interval_95": [None, None]}]}
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    reconfigure_streams()
    say(scores_shown(scores))
    say(report.shown())
    say(whole_shown(whole))
    out.flush()
    printed = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    for name in (*MARKUP, "[/given]", "[/x]", "[/r]", "images/[/red]\\udcff.jpg"):
        assert name in printed
    assert ("Kühe" if encoding == "utf-8" else "K\\xfche") in printed
    assert "(mIoU's 95 % interval over images - to -)" in printed
    assert "no scores: no pixel of the truth has a class" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_file_names_that_are_no_utf8_are_named_on_a_terminal_of_ascii(squares: Path, tmp_path: Path) -> None:
    odd = os.fsencode(squares / "images") + b"/p\xff.png"
    os.link(squares / "images/p00.png", odd)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "1"}
    tool = [sys.executable, "-m", "tag2mask"]
    checked = subprocess.run([*tool, "check", squares], env=environment, capture_output=True, check=False)
    assert checked.returncode in (0, 1)
    assert b"p\\udcff" in checked.stdout
    folders = tmp_path / "folders"
    Path(os.fsdecode(os.fsencode(folders) + b"/k\xff")).mkdir(parents=True)
    os.link(squares / "images/p00.png", os.fsencode(folders) + b"/k\xff/a.png")
    prepared = [*tool, "prepare", "imagefolder", "--root", folders, "--out", tmp_path / "out"]
    refused = subprocess.run(prepared, env=environment, capture_output=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr == b"error: class 'k\\udcff': the name is not UTF-8; rename it\n"
    assert not (tmp_path / "out").exists()
