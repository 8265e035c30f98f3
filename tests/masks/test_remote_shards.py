"""Shards by URL: what is at the end in the store is what a local command writes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import call
from object_store import BUCKET, s3_server, upload
from tag2mask import convert, evaluate, make_masks, merge, predict
from tag2mask.data import stores
from tag2mask.errors import MaskSetError, RemoteError
from tag2mask.painting import make
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.urls import views

MASKS: dict[str, Any] = {"split": "all", "batch_size": 2, "scores": True}
SHARDS = f"s3://{BUCKET}/shards"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(stores.PLACE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def s3(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A store with the run and its data."""
    with s3_server(monkeypatch) as store:
        upload(store, run, f"{BUCKET}/run")
        upload(store, run.parent / "squares", f"{BUCKET}/squares")
        yield store


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def there(store: Any) -> list[str]:
    """The names of all shards in the store."""
    store.invalidate_cache()
    return [key.rpartition("/")[2] for key in store.find(f"{BUCKET}/shards")]


def paint(number: int, of: int = 3) -> Any:
    return make_masks(f"s3://{BUCKET}/run", f"s3://{BUCKET}/squares", SHARDS, f"{number}/{of}", **MASKS)


def same_but(folder: Path, manifest: Path, key: str, value: Any) -> None:
    """Check that a mask set is that of the local command; an entry of its manifest is the URL."""
    found, local = content(folder), content(manifest)
    ours, theirs = (json.loads(each.pop("manifest.json")) for each in (found, local))
    assert found == local
    assert ours.pop(key) == value
    assert theirs.pop(key) != value
    assert ours == theirs


def test_masks_from_a_store_into_it(s3: Any, run: Path, tmp_path: Path, cache: Path) -> None:
    s3.pipe_file(f"{BUCKET}/squares/images/p04.png", b"no image")
    (run.parent / "squares/images/p04.png").write_bytes(b"no image")
    made = [paint(number) for number in (2, 1, 3)]
    assert made[0].to_json()["masks"] == f"{SHARDS}/shard-00002-of-00003.tar"
    assert there(s3) == [f"shard-{number:05}-of-00003.tar" for number in (1, 2, 3)]
    failures = {name: text for one in made for name, text in one.failures.items()}
    assert failures["p04"].startswith(f"s3://{BUCKET}/squares/images/p04.png: is not an image")
    merge(SHARDS, tmp_path / "merged")
    make_masks(run, out=tmp_path / "whole", **MASKS)
    whole = json.loads((tmp_path / "whole/manifest.json").read_text())
    merged = json.loads((tmp_path / "merged/manifest.json").read_text())
    assert merged.pop("failures") == failures
    assert {*whole.pop("failures")} == {"p04"}
    for folder, manifest in (("whole", whole), ("merged", merged)):
        (tmp_path / folder / "manifest.json").write_text(json.dumps(manifest))
    same_but(tmp_path / "merged", tmp_path / "whole", "data", f"s3://{BUCKET}/squares")
    assert not [path for path in views().rglob("*.tar") if not path.is_symlink()]
    assert not list(cache.rglob(".tag2mask-*"))


def test_predictions_from_a_store_into_it(s3: Any, student: Path, run: Path, tmp_path: Path) -> None:
    upload(s3, student, f"{BUCKET}/student")
    images = [f"s3://{BUCKET}/squares/images", run.parent / "single/x.png"]
    (run.parent / "single").mkdir()
    shutil.copy(run.parent / "squares/images/p00.png", run.parent / "single/x.png")
    for number in (1, 2):
        predict(f"s3://{BUCKET}/student", images, SHARDS, shard=f"{number}/2", overlay=True)
    predict(student, [run.parent / "squares/images", images[1]], tmp_path / "whole", overlay=True)
    merge(SHARDS, tmp_path / "merged")
    same_but(tmp_path / "merged", tmp_path / "whole", "photographs", [images[0], str(images[1])])


def test_a_finished_shard_in_the_store_is_skipped(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = paint(1)
    with monkeypatch.context() as patch:
        patch.delattr(make.Painter, "paint")
        assert paint(1) == first
        with pytest.raises(MaskSetError, match=rf"{SHARDS}/shard-00001-of-00003\.tar was begun with settings\.look"):
            make_masks(f"s3://{BUCKET}/run", f"s3://{BUCKET}/squares", SHARDS, "2/3", **MASKS, flip=True)
        with pytest.raises(MaskSetError, match=rf"{SHARDS}/shard-00001-of-00003\.tar is one of 3 shards, not of 4"):
            paint(2, of=4)


def test_an_interrupted_upload_leaves_nothing(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(views())
    put = s3.put_file

    def lost(local: str, key: str) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    def stopped(local: str, key: str) -> None:
        raise KeyboardInterrupt

    def cut_off(local: str, key: str) -> None:  # by a store that does not check
        s3.pipe_file(key, Path(local).read_bytes()[:1000])

    for broken, error, message in (
        (
            lost,
            RemoteError,
            f"{SHARDS}/shard-00001-of-00003.tar: .*reset by peer; check the connection, then run again",
        ),
        (stopped, KeyboardInterrupt, None),
        (cut_off, RemoteError, "was not uploaded completely; run again"),
    ):
        monkeypatch.setattr(s3, "put_file", broken)
        with pytest.raises(error, match=message):
            paint(1)
        assert there(s3) == []
        assert content(views()).keys() - before.keys() <= set(map(str, inputs()))
    monkeypatch.setattr(s3, "put_file", put)
    paint(1)
    assert there(s3) == ["shard-00001-of-00003.tar"]


def inputs() -> Iterator[Path]:
    """The files of the run and the data in the views of this process."""
    for folder in ("run", "squares"):
        for path in (views() / "s3" / BUCKET / folder).rglob("*"):
            yield path.relative_to(views())


KILLED = """
import os, signal, sys
import tag2mask
from tag2mask.data import stores

stores.connect("s3").put_file = lambda local, key: os.kill(os.getpid(), signal.SIGKILL)
tag2mask.make_masks(*sys.argv[1:4], shard="1/3", split="all", batch_size=2, scores=True)
"""


def test_a_process_killed_before_its_upload_leaves_nothing_in_the_store(s3: Any) -> None:
    words = [f"s3://{BUCKET}/run", f"s3://{BUCKET}/squares", SHARDS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run([sys.executable, "-c", KILLED, *words], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    assert there(s3) == []
    assert paint(1).images == 4


def test_evaluate_convert_and_segment_read_shards_in_a_store(s3: Any, run: Path, tmp_path: Path) -> None:
    whole = make_masks(run, out=tmp_path / "whole").path
    for number in (1, 2):
        make_masks(run, out=SHARDS, shard=f"{number}/2")
    truth = run.parent / "squares/masks"
    local = evaluate(whole, truth).to_json()
    assert evaluate(SHARDS, f"s3://{BUCKET}/squares/masks").to_json() == local
    upload(s3, whole, f"{BUCKET}/whole")  # not packed
    assert evaluate(f"s3://{BUCKET}/whole", truth).to_json() == local
    for folder, name in ((str(whole), "a"), (SHARDS, "b")):
        convert(folder, "png", tmp_path / name)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    from tag2mask import segment as learn

    quick = {"epochs": 1, "batch_size": 4, "precision": "fp32", "clipping": {"tau": 9.0}}
    learn(run, SHARDS, tmp_path / "student", **quick)
    segment(run, whole, tmp_path / "same", SegmentSettings.parse(quick))
    students = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("student", "same")]
    assert students[0] == students[1]


def test_the_command_line_takes_urls(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["masks", f"s3://{BUCKET}/run", "--data", f"s3://{BUCKET}/squares", "--split", "val"]
    assert call(monkeypatch, *words, "--out", SHARDS, "--shard", "1/1") == 0
    assert f"{SHARDS}/shard-00001-of-00001.tar: 4 masks, 0 failures" in capsys.readouterr().out
    assert call(monkeypatch, "merge", SHARDS, "--out", tmp_path / "merged") == 0
    assert call(monkeypatch, *words, "--out", f"s3://{BUCKET}/other") == 2
    assert f"error: --out s3://{BUCKET}/other: a URL takes only shards; add --shard 1/1" in capsys.readouterr().err
    assert call(monkeypatch, "merge", SHARDS, "--out", f"s3://{BUCKET}/merged") == 2
    assert f"error: s3://{BUCKET}/merged: only a local path is possible here" in capsys.readouterr().err
    assert call(monkeypatch, "train", f"s3://{BUCKET}/squares", "--out", tmp_path / "run2") == 2
    assert f"error: s3://{BUCKET}/squares: only a local path is possible here" in capsys.readouterr().err
    assert call(monkeypatch, "predict", f"s3://{BUCKET}/none", "x.png", "--out", tmp_path / "p") == 2
    assert capsys.readouterr().err == f"error: s3://{BUCKET}/none: there is nothing; check the spelling\n"
