"""Folders that one process writes to."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from tag2mask import files
from tag2mask import tensors as tensor_files
from tag2mask.errors import RunError
from tag2mask.files import (
    BEGUN,
    LOCK,
    append_line,
    begin,
    held,
    in_one_move,
    own_path,
    regular,
    reserved,
    settle,
    vacant,
    write_text,
)
from tag2mask.stored import drop_torn_line
from tag2mask.tensors import write_tensors


def test_what_stays_empty_goes_again_and_what_does_not_stays(tmp_path: Path) -> None:
    with held(tmp_path / "a/b"):
        assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "a").exists()
    with held(tmp_path / "a/b"):
        (tmp_path / "a/file").write_text("kept")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]
    (tmp_path / "mine").mkdir()
    with held(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()


def test_another_process_is_told_so(tmp_path: Path) -> None:
    call = (
        f"from pathlib import Path; from tag2mask.files import held; held(Path({str(tmp_path / 'out')!r})).__enter__()"
    )
    with held(tmp_path / "out"):
        second = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=False)
    assert "out is in use by another tag2mask process; wait for it" in second.stderr
    assert subprocess.run([sys.executable, "-c", call], check=False).returncode == 0


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunError, match="out is a file; choose another --out"), held(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_text() == "mine"


def test_what_cannot_be_written_leaves_the_file_of_before_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "before")

    def fill() -> None:
        with in_one_move(tmp_path / "file") as beside:
            beside.write_text("half")
            (beside.parent / "a library's own").touch()
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space") as raised:
        fill()
    assert raised.value.filename == str(tmp_path / "file")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "before")]


def test_a_name_may_have_all_bytes_that_a_name_can_have(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".json")
    assert len(os.fsencode(path.name)) == 255
    write_text(path, "{}")
    with reserved(path):
        assert path.read_text() == "{}"


def test_tensors_that_do_not_fit_on_the_disk_are_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, path: Path, metadata: object) -> None:
        (path.parent / ".tmpAbCdEf").write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensor_files, "save_file", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write_tensors(tmp_path / "model", {"a": torch.zeros(2)}, {})
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path / "model"))
    assert list(tmp_path.iterdir()) == []


def test_temporaries_of_a_killed_process_are_swept_and_those_in_use_are_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "masks").mkdir(parents=True)
    (out / LOCK).touch()
    killed = [own_path(out / "a", ".new"), own_path(out / "masks/b.png", ".new")]
    in_use = [own_path(out / "page.html", ".new"), out / "inner" / own_path(out / "c", ".new").name]
    for path in killed + in_use:
        path.mkdir(parents=True)
        (path / "new").touch()
    own_path(out / "page.html", ".lock").touch()
    (out / "inner" / LOCK).touch()
    with held(out):
        assert [path.exists() for path in killed + in_use] == [False, False, True, True]
    assert not (out / LOCK).exists()


def test_a_beginning_with_nothing_to_go_on_from_is_as_good_as_nothing(tmp_path: Path) -> None:
    for name in ("config.yaml", "mine.txt"):
        (tmp_path / name).touch()
    assert not vacant(tmp_path)
    (tmp_path / "mine.txt").unlink()
    assert not vacant(tmp_path)  # perhaps somebody's own
    begin(tmp_path, ["config.yaml"])
    assert vacant(tmp_path)
    (tmp_path / "mine.txt").touch()
    assert not vacant(tmp_path)
    begin(tmp_path, ["config.yaml"])
    assert not (tmp_path / "config.yaml").exists()
    (tmp_path / "config.yaml").touch()
    settle(tmp_path)
    (tmp_path / "mine.txt").unlink()
    assert not vacant(tmp_path)


@pytest.mark.parametrize("named", ["../mine.txt", "{mine}", "sub/../../mine.txt", "..", ".", "..\\mine.txt"])
def test_a_foreign_marker_names_nothing_outside_of_its_folder(named: str, tmp_path: Path) -> None:
    mine, out = tmp_path / "mine.txt", tmp_path / "out"
    out.mkdir()
    mine.touch()
    (out / BEGUN).write_bytes(f"{named.format(mine=mine)}\n".encode() + b"\xff\n")
    (out / "config.yaml").touch()
    assert not vacant(out)
    begin(out, ["config.yaml"])
    assert mine.is_file()
    assert (out / "config.yaml").is_file()


def test_a_line_of_a_journal_that_was_cut_short_goes(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    append_line(journal, {"a": 1})
    journal.write_text(journal.read_text() + '{"b": ')
    drop_torn_line(journal)
    append_line(journal, {"c": 1})
    assert journal.read_text() == '{"a": 1}\n{"c": 1}\n'


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is a pipe, a socket or a device"):
        regular(tmp_path / "pipe")
    assert regular(tmp_path) == tmp_path


def test_a_sweep_passes_over_what_its_writer_has_just_moved_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = f"{files.OWN}0123456789abcdef{files.NEW}"
    monkeypatch.setattr(os, "walk", lambda folder: iter([(str(folder), [gone], [])]))
    files.sweep(tmp_path, older=3600.0)
