from __future__ import annotations

from pathlib import Path

import pytest

from tag2mask.errors import DataError
from tag2mask.names import inside, split_name


@pytest.mark.parametrize(
    ("name", "path"), [("a.png", "a.png"), ("a/./b..png", "a/b..png"), ("a/../b", "b"), ("...", "...")]
)
def test_names_stay_in_their_folder(name: str, path: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name, "here") == tmp_path / path
    assert inside(Path("data"), name, "here") == Path("data") / path
    assert inside(tmp_path, str(tmp_path / "a"), "here") == tmp_path / "a"
    assert inside(tmp_path, "../a", "here", tmp_path / "b") == tmp_path / "a"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a\0b", "b/../.."])
def test_names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match=r"^here: "):
        inside(tmp_path / "in", name, "here")


def test_a_folder_whose_name_begins_alike_is_another(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="points outside"):
        inside(tmp_path / "in", "../inner/x", "here")


def test_splits() -> None:
    for name in ("train", "val-2.b", "8", "entra\u00eenement", "a_b"):
        assert split_name(name, "here") == name
    for name in ("", ".", "..", ".a", "-a", "a b", "a/b", "a\\b", "a\n", "x" * 101, "a:b"):
        with pytest.raises(DataError, match=r"^here: .* cannot name a split; use letters"):
            split_name(name, "here")
