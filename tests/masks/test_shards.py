"""Masks in shards: together they are the mask set of the command without shards."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import call
from tag2mask import convert, evaluate, make_masks, merge, predict
from tag2mask.data import Classes, Sample
from tag2mask.errors import DataError, MaskSetError, SettingsError, Tag2MaskError
from tag2mask.masks.sharding import SCHEDULERS, opened_writer, read_shard, share
from tag2mask.masks.shards import Shard
from tag2mask.masks.write import MaskSetWriter, Painted, open_finished
from tag2mask.painting import make
from tag2mask.reports.page import write_report
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment

CLASSES = Classes(("cat", "dog"), "background")
MASKS: dict[str, Any] = {"split": "all", "batch_size": 2, "scores": True}
VARIABLES = [name for number, count, _ in SCHEDULERS for name in (number, count)]


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_shards(run: Path, out: Path, of: int, **settings: Any) -> Path:
    for number in range(1, of + 1):
        make_masks(run, out=out, shard=f"{number}/{of}", **{**MASKS, **settings})
    return out


def write_shards(out: Path, names: list[list[str]], **origin: Any) -> Path:
    """Shards of these images, without a model."""
    for number, some in enumerate(names, start=1):
        shard = Shard(number=number, of=len(names))
        with opened_writer(out, CLASSES, {"settings": {}, **origin}, shard) as writer:
            for name in some:
                writer.add(name, Painted(np.zeros((2, 3), np.int64), ["cat"], fallback=name.endswith("1")))
            writer.finish({f"{name}-bad": "unreadable" for name in some})
    return out


@pytest.mark.parametrize("of", [1, 3, 20])
def test_merged_shards_are_the_mask_set_byte_for_byte(run: Path, tmp_path: Path, of: int) -> None:
    (run.parent / "squares/images/p04.png").write_bytes(b"no image")
    whole = make_masks(run, out=tmp_path / "whole", **MASKS)
    assert (whole.images, list(whole.failures)) == (11, ["p04"])
    shards = make_shards(run, tmp_path / "shards", of)
    assert sorted(path.name for path in shards.iterdir()) == [f"shard-{i:05}-of-{of:05}.tar" for i in range(1, of + 1)]
    merged = merge(shards, tmp_path / "merged")
    assert content(tmp_path / "merged") == content(tmp_path / "whole")
    assert merged.to_json() == {**whole.to_json(), "masks": str(tmp_path / "merged")}


def test_shards_of_predictions_hold_overlays_too(student: Path, trained: Path, tmp_path: Path) -> None:
    for folder in ("new/a/b", "new/c"):
        shutil.copytree(trained / "squares/images", tmp_path / folder)
    for odd in range(1, 12, 2):  # the others are of one size, in batches of several
        (tmp_path / f"new/a/b/p{odd:02}.png").unlink()
    for out, shards in (("whole", [None]), ("shards", ["2/3", "1/3", "3/3"])):
        for shard in shards:
            predict(student, tmp_path / "new", tmp_path / out, shard=shard, batch_size=4, overlay=True)
    merge(tmp_path / "shards", tmp_path / "merged")
    found = content(tmp_path / "merged")
    assert found == content(tmp_path / "whole")
    assert {"overlays/a/b/p00.jpg", "masks/c/p11.png"} <= found.keys()


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("of", [1, 2, 5, 40])
@pytest.mark.parametrize("count", [0, 1, 4, 23])
def test_every_image_is_in_exactly_one_shard(count: int, of: int, batch_size: int) -> None:
    names = [f"n{i}" for i in range(count)]
    listed = [Sample(name, Path(name)) for name in [*names, *names[:1]]]  # the first one twice
    shares = [share(listed, Shard(number=number, of=of), batch_size) for number in range(1, of + 1)]
    assert [sample.name for one in shares for sample in one] == names
    assert all(len(one) % batch_size == 0 or one[-1].name == names[-1] for one in shares)
    batches = [-(-len(one) // batch_size) for one in shares]
    assert max(batches) - min(batches) <= 1


def test_a_finished_shard_is_not_made_again(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_masks(run, out=tmp_path / "shards", shard="2/3", **MASKS)
    assert first.path == tmp_path / "shards/shard-00002-of-00003.tar"
    time = first.path.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.delattr(make.Painter, "paint")
        assert make_masks(run, out=tmp_path / "shards", shard="2/3", **MASKS) == first
    assert first.path.stat().st_mtime_ns == time
    again = make_masks(run, out=tmp_path / "again", shard="2/3", **MASKS)
    assert again.path.read_bytes() == first.path.read_bytes()


KILLED = """
import os, signal, sys
import tag2mask
from tag2mask.painting import make

paint, calls = make.Painter.paint, []

def killed(self, batch):
    calls.append(batch)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return paint(self, batch)

make.Painter.paint = killed
tag2mask.make_masks(sys.argv[1], out=sys.argv[2], shard="1/2", split="all", batch_size=2, scores=True)
"""


def kill(run: Path, shards: Path) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED, str(run), str(shards)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert list(shards.iterdir())


def interrupt(run: Path, shards: Path) -> None:
    paint, calls = make.Painter.paint, []

    def interrupted(self: make.Painter, batch: Any) -> list[Painted]:
        calls.append(batch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return paint(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make.Painter, "paint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_masks(run, out=shards, shard="1/2", **MASKS)
    assert not shards.exists()


@pytest.mark.parametrize("stop", [kill, interrupt])
def test_a_stopped_shard_begins_anew_and_leaves_nothing(
    run: Path, tmp_path: Path, stop: Callable[[Path, Path], None]
) -> None:
    shards = tmp_path / "shards"
    stop(run, shards)
    assert not list(shards.glob("shard-*"))
    make_shards(run, shards, 2)
    assert sorted(content(shards)) == ["shard-00001-of-00002.tar", "shard-00002-of-00002.tar"]
    make_masks(run, out=tmp_path / "whole", **MASKS)
    merge(shards, tmp_path / "merged")
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("variables", "number"),
    [
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16"}, 3),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "16"}, 1),
        ({"RANK": "15", "WORLD_SIZE": "16"}, 16),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16", "RANK": "2", "WORLD_SIZE": "16"}, 3),
    ],
)
def test_auto_reads_the_schedulers_variables(variables: dict[str, str], number: int) -> None:
    assert read_shard("auto", variables) == Shard(number=number, of=16)
    assert read_shard(f"{number}/16", {"RANK": "nonsense"}) == Shard(number=number, of=16)


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ("auto", {}, "no scheduler's variables are set .*SLURM_ARRAY_TASK_ID.*JOB_COMPLETIONS.*RANK"),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}, "JOB_COMPLETION_INDEX=0, JOB_COMPLETIONS=: both must be numbers"),
        ("auto", {"RANK": "x", "WORLD_SIZE": "2"}, "RANK=x, WORLD_SIZE=2: both must be numbers"),
        ("auto", {"RANK": "2", "WORLD_SIZE": "2"}, "there is no shard 3 of 2"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "4"}, "there is no shard 0 of 4"),
        (
            "auto",
            {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16", "RANK": "0", "WORLD_SIZE": "1"},
            "ID=3, SLURM_ARRAY_TASK_COUNT=16; RANK=0, WORLD_SIZE=1 contradict each other; give --shard I/N",
        ),
        ("3", {}, "--shard 3: expected I/N, such as 3/16, auto or ray/N"),
        ("0/3", {}, "there is no shard 0 of 3; I goes from 1 to N"),
        ("1/100000", {}, "N to 99999"),
    ],
)
def test_what_names_no_shard_is_one_line(text: str, variables: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_shard(text, variables)


def test_auto_on_the_command_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["masks", run, "--split", "val", "--shard", "auto", "--json"]
    assert call(monkeypatch, *words) == 2
    assert "error: --shard auto: no scheduler's variables are set" in capsys.readouterr().err
    for index in range(2):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        monkeypatch.setenv("JOB_COMPLETIONS", "2")
        assert call(monkeypatch, *words) == 0
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert said["masks"] == str(run / f"shards-val/shard-{index + 1:05}-of-00002.tar")
    assert call(monkeypatch, "merge", run / "shards-val", "--out", run / "merged") == 0
    assert f"{run / 'merged'}: 4 masks, 0 failures" in capsys.readouterr().out


def test_shards_of_something_else_are_refused(run: Path, trained: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    make_masks(run, out=shards, shard="1/3", **MASKS)
    before = content(shards)
    for shard, settings, message in (
        ("1/3", {"flip": True}, r"00001-of-00003\.tar was begun with settings\.look\.flip = False, not True"),
        ("2/3", {"flip": True}, r"00001-of-00003\.tar was begun with settings\.look\.flip = False, not True"),
        ("2/4", {}, r"00001-of-00003\.tar is one of 3 shards, not of 4; choose another --out"),
    ):
        with pytest.raises(MaskSetError, match=message):
            make_masks(run, out=shards, shard=shard, **{**MASKS, **settings})
    with pytest.raises(MaskSetError, match="shards is not empty and is not a mask set"):
        make_masks(run, out=shards, **MASKS)
    squares = run.parent / "squares"
    shutil.copy(squares / "images/p00.png", squares / "images/p12.png")
    with (squares / "labels.csv").open("a") as file:
        file.write("p12.png,red\n")
    with pytest.raises(MaskSetError, match="was painted when the list of images was another"):
        make_masks(run, out=shards, shard="2/3", **MASKS)
    assert content(shards) == before
    (tmp_path / "file").touch()
    with pytest.raises(MaskSetError, match="file is a file; choose another --out"):
        make_masks(run, out=tmp_path / "file", shard="1/3", **MASKS)
    make_masks(run, out=tmp_path / "set", split="val")
    with pytest.raises(MaskSetError, match=r"set holds classes\.json, which is no shard"):
        make_masks(run, out=tmp_path / "set", shard="1/3", split="val")


def test_merging_twice_changes_nothing(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", [["a1", "b"], ["c/d"], []])
    first = merge(shards, tmp_path / "merged")
    assert (first.images, first.fallbacks, list(first.failures)) == (3, 1, ["a1-bad", "b-bad", "c/d-bad"])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "merged/masks").rglob("*")}
    found = content(tmp_path / "merged")
    assert merge(shards, tmp_path / "merged") == first
    assert content(tmp_path / "merged") == found
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "merged/masks").rglob("*")} == before


def test_an_interrupted_merge_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = write_shards(tmp_path / "shards", [["a1", "b"], ["c1"]])
    merge(shards, tmp_path / "whole")
    note = MaskSetWriter.note

    def interrupted(self: MaskSetWriter, name: str, *rest: Any) -> None:
        if name == "b":
            raise KeyboardInterrupt
        note(self, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(MaskSetWriter, "note", interrupted)
        with pytest.raises(KeyboardInterrupt):
            merge(shards, tmp_path / "merged")
    with pytest.raises(MaskSetError, match="is not finished"):
        open_finished(tmp_path / "merged")
    merge(shards, tmp_path / "merged")
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


def test_what_cannot_be_merged_is_said(tmp_path: Path) -> None:
    def refused(message: str, folder: Path = tmp_path / "shards", out: Path = tmp_path / "merged") -> None:
        with pytest.raises(MaskSetError, match=message):
            merge(folder, out)
        assert not (tmp_path / "merged").exists()

    shards = write_shards(tmp_path / "shards", [["a"], ["b"], ["c"], ["d"]])
    refused("merged is inside .*shards, where only shards belong", out=shards / "merged")
    refused("none holds no shards; give the folder that tag2mask masks or predict --shard wrote", tmp_path / "none")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    refused("full is not empty and is not a mask set", out=tmp_path / "full")
    (shards / "shard-00002-of-00004.tar").rename(tmp_path / "second.tar")
    (shards / "shard-00004-of-00004.tar").rename(tmp_path / "fourth.tar")
    refused("of 4 shards these are missing: 2, 4; run their tag2mask command, with --shard 2/4 for the first")
    with pytest.raises(MaskSetError, match="of 4 shards these are missing: 2, 4"):
        open_finished(shards)
    shutil.copy(tmp_path / "second.tar", shards / "shard-00004-of-00004.tar")
    (tmp_path / "second.tar").rename(shards / "shard-00002-of-00004.tar")
    refused(r"shard-00004-of-00004\.tar is damaged \(it is shard 2 of 4\); delete it and run the command of that shard")
    shutil.copy(shards / "shard-00001-of-00004.tar", shards / "shard-00001-of-00005.tar")
    refused("holds shards of 4 and of 5")
    refused(
        r"shard-00002-of-00002\.tar was begun with torch = 2, not 1; make it and shard-00001-of-00002\.tar with",
        differing(tmp_path / "torch", {"torch": 1}, {"torch": 2}),
    )
    refused(
        r"00002-of-00003\.tar and shard-00001-of-00003\.tar both hold a",
        write_shards(tmp_path / "two", [["a"], ["a"], []]),
    )


def differing(out: Path, *origins: dict[str, Any]) -> Path:
    """Shards that were begun with different settings, at the same time."""
    for number, origin in enumerate(origins, start=1):
        shard = Shard(number=number, of=len(origins))
        with opened_writer(out, CLASSES, {"settings": {}, **origin}, shard) as writer:
            writer.finish({})
    return out


def rewritten(path: Path, change: Callable[[tarfile.TarFile, tarfile.TarInfo, bytes], None]) -> None:
    """Write a tar again; ``change`` adds each member, or others."""
    with tarfile.open(path) as old:
        members = [(info, old.extractfile(info).read()) for info in old]  # type: ignore[union-attr]
    with tarfile.open(path, "w") as new:
        for info, data in members:
            change(new, info, data)


def add(tar: tarfile.TarFile, name: str, data: bytes, kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    tar.addfile(info, io.BytesIO(data))


def renamed(name: str) -> Callable[[tarfile.TarFile, tarfile.TarInfo, bytes], None]:
    """The mask of image a is that of an image with another name."""

    def change(tar: tarfile.TarFile, info: tarfile.TarInfo, data: bytes) -> None:
        new = f"masks/{name}.png" if info.name == "masks/a.png" else info.name
        add(tar, new, data.replace(b'"a": [', f'"{name}": ['.encode()) if info.name == "manifest.json" else data)

    return change


def with_more(name: str, *more: Any) -> Callable[[tarfile.TarFile, tarfile.TarInfo, bytes], None]:
    """One more member, before the first."""

    def change(tar: tarfile.TarFile, info: tarfile.TarInfo, data: bytes) -> None:
        if info.name == "classes.json":
            add(tar, name, b"" if more else b"evil", *more)
        add(tar, info.name, data)

    return change


def backwards(tar: tarfile.TarFile, info: tarfile.TarInfo, data: bytes) -> None:
    """A first member of negative size: the next one begins before it."""
    if info.name == "classes.json":
        info.size = -1024
        tar.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))  # type: ignore[union-attr]
    else:
        add(tar, info.name, data)


HOSTILE = {
    "name above": (renamed("../../../evil"), "points outside"),
    "absolute name": (renamed("/tmp/tag2mask-evil"), "points outside"),
    "name within": (renamed("../classes"), "points outside"),
    "name with a way back": (renamed("x/../a"), "cannot name an image"),
    "member above": (with_more("masks/../../../evil.png"), "belongs to no image"),
    "absolute member": (with_more("/tmp/tag2mask-evil"), "belongs to no image"),
    "a script": (with_more("run.sh"), "belongs to no image"),
    "twice": (with_more("masks/a.png"), "occurs twice"),
    "link": (with_more("masks/b.png", tarfile.SYMTYPE, "/etc/passwd"), "is not a plain file"),
    "hard link": (with_more("masks/b.png", tarfile.LNKTYPE, "../../secret"), "is not a plain file"),
    "negative size": (backwards, "is cut off"),
    "device": (with_more("masks/b.png", tarfile.CHRTYPE), "is not a plain file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_tar_leads_nowhere(case: str, tmp_path: Path) -> None:
    change, message = HOSTILE[case]
    shards = write_shards(tmp_path / "deep/shards", [["a"]])
    rewritten(shards / "shard-00001-of-00001.tar", change)
    before = content(tmp_path)
    for read in (lambda: merge(shards, tmp_path / "deep/merged"), lambda: open_finished(shards)):
        with pytest.raises((MaskSetError, DataError), match=message):
            read()
    assert content(tmp_path) == before
    assert not Path("/tmp/tag2mask-evil").exists()


@pytest.mark.parametrize("end", [0, 100, 512, 1500, 2500, -10240])
def test_a_cut_tar_is_one_line(end: int, tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", [[f"n{i}" for i in range(40)]])
    path = shards / "shard-00001-of-00001.tar"
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(MaskSetError, match=r"shard-00001-of-00001\.tar is damaged"):
        merge(shards, tmp_path / "merged")


def test_any_changed_byte_of_a_header_is_an_error_of_ours_or_harmless(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", [["a", "b"]])
    path = shards / "shard-00001-of-00001.tar"
    whole = path.read_bytes()
    raised = 0
    for place in [*range(0, 512, 7), *range(len(whole) - 4096, len(whole), 97)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            open_finished(shards)
        except Tag2MaskError:
            raised += 1
    assert raised > 20


@pytest.fixture
def packed(run: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A mask set of the training images, and the same in shards."""
    whole = make_masks(run, out=tmp_path / "same/masks", scores=True)
    shards = tmp_path / "packed/masks"
    for number in range(1, 4):
        make_masks(run, out=shards, shard=f"{number}/3", scores=True)
    return whole.path, shards


def test_evaluate_convert_and_report_read_shards(run: Path, packed: tuple[Path, Path], tmp_path: Path) -> None:
    truth = run.parent / "squares/masks"
    scores = [evaluate(folder, truth).to_json() for folder in packed]
    assert scores[0] == scores[1]
    for to in ("voc", "png", "coco"):
        outs = [folder.parent / f"{to}{'.json' if to == 'coco' else ''}" for folder in packed]
        for folder, out in zip(packed, outs, strict=True):
            convert(folder, to, out)
        found = [content(out) if out.is_dir() else out.read_bytes() for out in outs]
        assert found[0] == found[1]
    pages = [write_report(run, folder, truth, folder.parent / "page.html").read_text() for folder in packed]
    assert pages[0].replace(str(packed[0]), "") == pages[1].replace(str(packed[1]), "")


@pytest.mark.parametrize("target", ["hard", "soft"])
def test_segment_learns_from_shards_as_from_the_mask_set(
    run: Path, packed: tuple[Path, Path], tmp_path: Path, target: str
) -> None:
    settings = SegmentSettings.parse(
        {"epochs": 1, "batch_size": 4, "precision": "fp32", "target": target, "clipping": {"tau": 9.0}}
    )
    for folder in packed:
        segment(run, folder, folder.parent / "student", settings)
    first, second = (folder.parent / "student" for folder in packed)
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    config = (second / "config.yaml").read_text().replace(str(packed[1]), str(packed[0]))
    assert config == (first / "config.yaml").read_text()
